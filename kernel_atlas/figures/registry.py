"""Which figures there are, the tables of each, and which the report shows; plain data, which rules read too.

A figure is a module of this folder. `draw(size, threshold, **tables)` draws one size, for
`results/figures/NAME_KxK.*`; `draw(**tables)` draws all sizes at once, for `results/figures/NAME.*`. Endings:

- `.svg` is 8 inches wide, for a page and for print; `.phone.svg` is the same figure 3.4 inches wide, for phones.
  Text has 11 pixels or more where a page shows the one at least 800 pixels wide and the other at least 340.
- `.pdf`, `.csv` (the data) and `.json` (title, caption, text for those who cannot see it).

`publish/page.py` makes an SVG a part of a page: inks and ground become the colours of the page, light or dark.
"""

SAMPLE = "results/samples/{size}.parquet"


def _statistics(*tables: str) -> dict[str, str]:
    return {table: f"results/statistics/{table}.csv" for table in tables}


def _evidence(*tables: str) -> dict[str, str]:
    return {table: f"results/evidence/{table}.csv" for table in tables}


def _codes(folder: str) -> dict[str, str]:
    return {"spectrum": f"{folder}/spectrum.parquet", "clusters": f"{folder}/clusters.tsv", "sample": SAMPLE}


FIGURES = {  # of one size each
    "gallery": {"sample": SAMPLE, **_statistics("totals")},
    "spectrum_posed": _codes("results/autoencoder/{size}/posed"),
    "spectrum": _codes("results/autoencoder/{size}"),
    "kmeans": {"centres": "results/kmeans/{size}.parquet"},
}
OVERVIEWS = {  # of all sizes in one
    "controls": _evidence("controls"),
    "shares_models": _statistics("models", "labels"),
    "networks_depth": _evidence("depth"),
    "held_out": _evidence("held_out"),
    "stability": _evidence("stability"),
}
# What the report shows, in its order; the others are files only.
REPORT = ("gallery", "controls", "shares_models", "networks_depth", "held_out", "stability")
REPORT += ("spectrum_posed", "spectrum")


def is_evidence(name: str) -> bool:
    """Whether a figure needs tables of the evidence, which a run may do without."""
    return any(path.startswith("results/evidence/") for path in (FIGURES | OVERVIEWS)[name].values())
