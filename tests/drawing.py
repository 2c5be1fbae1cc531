"""What the tests of figures share: made-up tables, a figure drawn by name, and the boxes of its words."""

import importlib
from itertools import combinations

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from kernel_atlas.core.kernels import centre_and_normalise
from kernel_atlas.core.patterns import templates
from kernel_atlas.core.vocabulary import FAMILIES, FITTED, KINDS, METHODS
from kernel_atlas.figures.registry import FIGURES, OVERVIEWS
from kernel_atlas.figures.style import PAGE, atlas_style
from kernel_atlas.figures.write import Drawing

SIZE, SIDE, SAMPLES = "5x5", 5, 200
HELD_OUT = ("held_out_share", "low", "high")
LONGEST = "Off-Second-Derivative-NW-SE"


def drawn(
    name: str, tables: dict[str, pd.DataFrame], size: str = SIZE, threshold: float = 0.2, width: float = PAGE
) -> Drawing:
    """A figure, from those of the tables that the registry names for it."""
    figure = importlib.import_module(f"kernel_atlas.figures.{name}")
    of_size = {"size": size, "threshold": threshold} if name in FIGURES else {}
    with atlas_style(width):
        return figure.draw(**of_size, **{table: tables[table] for table in (FIGURES | OVERVIEWS)[name]})


def texts_of(drawing: Drawing) -> dict[Text, object]:
    """The texts of a drawing and the boxes they fill; ticks are left to matplotlib."""
    canvas = FigureCanvasAgg(drawing.figure)
    canvas.draw()
    texts = [*drawing.figure.texts, *(text for legend in drawing.figure.legends for text in legend.get_texts())]
    for axes in drawing.figure.axes:
        texts += [*axes.texts, axes.xaxis.label, axes.yaxis.label, axes._left_title]
        texts += axes.get_legend().get_texts() if axes.get_legend() else []
    return {
        text: text.get_window_extent(canvas.get_renderer()) for text in texts if text.get_text() and text.get_visible()
    }


def check_words(drawing: Drawing, *, apart: float | None) -> None:
    """Words are sentences without missing numbers, lie on the page and, if asked, apart by so many pixels."""
    assert len(drawing.data) and drawing.title
    for words in (drawing.caption, drawing.alt):
        assert words.endswith(".") and "nan" not in words.lower().replace("[", " ").replace(",", " ").split()
    page, boxes = drawing.figure.bbox, texts_of(drawing)
    for text, box in boxes.items():
        assert page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1, text
    if apart is not None:
        for (a, box), (b, other) in combinations(boxes.items(), 2):
            assert not box.padded(-apart).overlaps(other.padded(-apart)), (a, b)


def cluster_tables(clusters: int = 6, models: int = 3, clustered: bool = True) -> dict[str, pd.DataFrame]:
    """Tables as the workflow writes them, of random kernels; every other cluster has the longest of names."""
    random = np.random.default_rng(0)
    names = [label for label in dict.fromkeys(templates(SIDE).labels) if label != LONGEST]
    labels = [LONGEST if n % 2 else names[n % len(names)] for n in range(clusters)]
    edges = np.sort(np.append(random.choice(np.arange(1, SAMPLES), clusters - 1, replace=False) / SAMPLES, [0, 1]))
    table = pd.DataFrame({"cluster": range(clusters), "code_low": edges[:-1], "code_high": edges[1:], "label": labels})
    decoded = centre_and_normalise(random.normal(size=(SAMPLES, SIDE**2)))
    counts = random.integers(0, 50, SAMPLES)
    spectrum = pd.DataFrame({"code": (np.arange(SAMPLES) + 0.5) / SAMPLES, "kernels": counts, "decoded": list(decoded)})

    shown = [(n, labels[n]) for n in range(clusters)] if clustered else []
    sample = pd.DataFrame([*shown, (-1, "other")] * 8, columns=["cluster", "label"])
    sample["weight"] = list(random.normal(size=(len(sample), SIDE**2)).astype(np.float32))
    sample["dissimilarity"] = random.random(len(sample))
    sample = sample.assign(model="net", layer_index=0, layer="a", channel=range(len(sample)), code=0.5)
    sample = sample.assign(similarity=1 - sample["dissimilarity"], second="On-Square", margin=0.1)
    sample = sample.assign(pose=3, pose_code=0.5, pose_dissimilarity=sample["dissimilarity"])

    nets = [f"net{n}" for n in range(models)] + ["chance"] * clustered
    use = ["control" if net == "chance" else "train" for net in nets]
    shares = pd.DataFrame(
        {
            "model": nets,
            "size": SIZE,
            "use": use,
            "kernels": 100,
            "dead": 0,
            "group": None,
            "recipe": None,
            "convolution": "depthwise",
        }
    )
    shares["clustered_share"] = [0.75 * clustered * (net != "chance") for net in nets]
    shares["share_low"], shares["share_high"] = shares["clustered_share"] * 0.9, shares["clustered_share"] * 1.1
    for name, same in (("share", "clustered_share"), ("low", "share_low"), ("high", "share_high")):
        shares[f"pattern_{name}"] = shares[same]
    shares["phase_share"] = 0.05
    part = shares.set_index("model")["clustered_share"]
    rows = [
        (net, layer, label, share) for net in nets for layer in (0, 2) for label, share in _split(part[net], labels)
    ]
    layers = pd.DataFrame(rows, columns=["model", "layer_index", "label", "share"]).assign(size=SIZE)
    centres = pd.DataFrame({"cluster": range(clusters), "label": labels, "kernels": 10, "clustered": 4})
    totals = pd.DataFrame([*_split(0.75 * clustered, labels), ("without a row", 0.3)], columns=["label", "share"])
    return {
        "spectrum": spectrum,
        "clusters": table,
        "sample": sample,
        "models": shares,
        "labels": layers[layers["layer_index"] == 0].drop(columns="layer_index"),
        "layers": layers,
        "totals": totals.assign(size=SIZE, share_low=totals["share"] * 0.9, share_high=totals["share"] * 1.1),
        "centres": centres.assign(centre=list(decoded[:clusters])),
    }


def _split(share: float, labels: list[str]) -> list[tuple[str, float]]:
    """A share in equal parts over the labels that occur, and the rest for `other`."""
    names = list(dict.fromkeys(labels))
    return [*((name, share / len(names)) for name in names if share), ("other", 1 - share), ("dead", 0.1)]


def evidence_tables(clusters: int = 6, intervals: bool = True, sizes: tuple[str, ...] = ("5x5", "3x3")) -> dict:
    """Tables as the workflow writes them, of several sizes; numbers are random."""
    random = np.random.default_rng(0)

    def frame(rows, names, value, low, high):
        table = pd.DataFrame([(size, *row) for size in sizes for row in rows], columns=["size", *names.split()])
        table[value] = random.uniform(0.02, 0.95, len(table))
        wide = 0.02 if intervals else np.nan
        return table.assign(**{low: table[value] - wide, high: table[value] + wide})

    encoders = [(kind, by, 900) for kind in KINDS for by in ("main", "posed", "own")]
    labels = list(dict.fromkeys(templates(SIDE).labels))[::-1] * 2
    stretches = [
        (method, n, labels[n], kind, 0.9, 0.7)
        for method in ("autoencoder", "posed")
        for n in range(clusters)
        for kind in ("all", "restart")
    ]
    steady = frame(stretches, "method cluster label kind recurs jaccard", "chance", "x", "y").assign(stable="yes")
    steady.loc[steady["cluster"] == 0, ["recurs", "stable"]] = [0.3, "no"]
    methods = frame([(method, 0.1, 0.01) for method in METHODS], "method phase_share noise_share", *HELD_OUT)
    curves = [(family, depth) for family in ("Cross", *FAMILIES) for depth in np.linspace(0, 1, 21)]
    fitted = [(kind, family, 500) for kind in KINDS for family in (*FITTED, "all")]
    both = ("first_derivative", "second_derivative")
    directions = [(kind, family, which) for kind in KINDS for family in both for which in ("explained", "all")]
    crosses = frame([("free", 40), ("0", 40), ("-1", 40)], "weight kernels", "error_median", "error_q10", "error_q90")
    known = {"sigma": (0.5, 0.85, 2), "elongation": (3, 3.7, 6), "centre_weight": (-1.7, -0.4, 0.5)}
    for name, values in known.items():
        crosses[[f"{name}_q10", f"{name}_median", f"{name}_q90"]] = values
    return {
        "controls": frame(encoders, "control encoder kernels", "clustered_share", "low", "high"),
        "held_out": methods.assign(equal_null_share=0.5, equal_null_low=0.4, equal_null_high=0.6),
        "stability": steady.drop(columns=["x", "y"]),
        "depth": frame(curves, "family depth", "share", "low", "high"),
        "fit_explained": frame(
            fitted, "subject family kernels", "explained_share", "explained_low", "explained_high"
        ).assign(threshold=0.7, cosine_median=0.9),
        "fit_cardinal": frame(directions, "subject family which", "cardinal", "cardinal_low", "cardinal_high"),
        "fit_crosses": crosses.assign(at_bounds=0.4),
    }
