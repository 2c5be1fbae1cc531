"""Every figure on small made-up tables: what it shows, what its data hold, and that its words fit and stay the same."""

import base64
import html
import io
import json
import re
import xml.etree.ElementTree as ET
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from fontTools.ttLib import TTFont
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.image import AxesImage
from matplotlib.text import Text
from PIL import Image

from kernel_atlas import draw, draw_comparisons, draw_evidence, draw_fits
from kernel_atlas.core.kernels import centre_and_normalise
from kernel_atlas.core.patterns import family_of, templates
from kernel_atlas.core.vocabulary import FAMILIES
from kernel_atlas.figures import style as canvas
from kernel_atlas.figures.style import lighten, write_drawing

SIZE, SIDE, SAMPLES = "5x5", 5, 200
LONGEST = "Off-Second-Derivative-NW-SE"
USED = {
    "spectrum": ["spectrum", "clusters"],
    "members": ["spectrum", "clusters", "sample"],
    "models": ["models", "labels", "noise"],
    "layers": ["models", "layers"],
    "codes": ["clusters", "sample", "noise"],
    "projection": ["sample"],
    "tap_sums": ["clusters", "sample"],
    "thresholds": ["models", "thresholds"],
    "kmeans": ["centres"],
}


def make_tables(clusters: int = 6, models: int = 3, clustered: bool = True) -> dict[str, pd.DataFrame]:
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

    nets = [f"net{n}" for n in range(models)] + ["chance"] * clustered
    use = ["control" if net == "chance" else "train" for net in nets]
    shares = pd.DataFrame(
        {"model": nets, "size": SIZE, "use": use, "kernels": 100, "dead": 0, "group": None, "convolution": "depthwise"}
    )
    shares["family"] = [None if net == "chance" else f"family{net[-1]}" for net in nets]
    shares["clustered_share"] = [0.75 * clustered * (net != "chance") for net in nets]
    shares["share_low"], shares["share_high"] = shares["clustered_share"] * 0.9, shares["clustered_share"] * 1.1
    part = shares.set_index("model")["clustered_share"]
    rows = [
        (net, layer, label, share) for net in nets for layer in (0, 2) for label, share in _split(part[net], labels)
    ]
    layers = pd.DataFrame(rows, columns=["model", "layer_index", "label", "share"]).assign(size=SIZE)
    thresholds = [(net, t, t**2 if net == "noise" else t) for net in [*nets, "noise"] for t in np.arange(1, 51) / 50]
    centres = pd.DataFrame({"cluster": range(clusters), "label": labels, "kernels": 10, "clustered": 4})
    return {
        "spectrum": spectrum,
        "clusters": table,
        "sample": sample,
        "models": shares,
        "labels": layers[layers["layer_index"] == 0].drop(columns="layer_index"),
        "layers": layers,
        "noise": pd.DataFrame({"kh": SIDE, "label": ["other"] * 95 + ["On-Centre"] * 5, "code": random.random(100)}),
        "thresholds": pd.DataFrame(thresholds, columns=["model", "threshold", "clustered_share"]).assign(size=SIZE),
        "centres": centres.assign(centre=list(decoded[:clusters])),
    }


def _split(share: float, labels: list[str]) -> list[tuple[str, float]]:
    """A share in equal parts over the labels that occur, and the rest for `other`."""
    names = list(dict.fromkeys(labels))
    return [*((name, share / len(names)) for name in names if share), ("other", 1 - share), ("dead", 0.1)]


def drawn(name: str, tables: dict[str, pd.DataFrame]) -> draw.Drawing:
    return draw.draw(name, SIZE, 0.2, {table: tables[table] for table in USED[name]})


def texts_of(drawing: draw.Drawing) -> dict[Text, object]:
    """The texts of a drawing and the boxes they fill; ticks are left to matplotlib."""
    canvas = FigureCanvasAgg(drawing.figure)
    canvas.draw()
    texts = [*drawing.figure.texts, *(text for legend in drawing.figure.legends for text in legend.get_texts())]
    for axes in drawing.figure.axes:
        texts += [*axes.texts, axes.xaxis.label, axes.yaxis.label, axes._left_title]
        texts += axes.get_legend().get_texts() if axes.get_legend() else []
    return {text: text.get_window_extent(canvas.get_renderer()) for text in texts if text.get_text()}


def test_used_tables_are_those_of_the_workflow():
    elsewhere = draw_evidence.FIGURES | draw_fits.FIGURES | draw_comparisons.FIGURES
    assert USED.keys() == draw.FIGURES.keys() - elsewhere.keys()


@pytest.mark.parametrize("name", USED)
@pytest.mark.parametrize("case", [{"clusters": 1, "models": 1}, {"clusters": 18}, {"clustered": False}], ids=str)
def test_words_stay_inside_and_apart(name, case):
    drawing = drawn(name, make_tables(**case))
    assert len(drawing.data) and drawing.title
    for words in (drawing.caption, drawing.alt):
        assert words.endswith(".") and "nan" not in words.lower().split()
    page = drawing.figure.bbox
    boxes = texts_of(drawing)
    for text, box in boxes.items():
        assert page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1, text
    if name in ("spectrum", "members", "kmeans"):  # laid out by hand, at places that depend on the data
        for (a, box), (b, other) in combinations(boxes.items(), 2):
            assert not box.padded(-0.5).overlaps(other.padded(-0.5)), (a, b)


@pytest.mark.parametrize("name", USED)
def test_files_are_small_valid_and_repeat(name, tmp_path):
    tables = make_tables()
    for run in "ab":
        folder = tmp_path / run
        folder.mkdir()
        write_drawing(drawn(name, tables), *(folder / f"{name}_{SIZE}.{end}" for end in ("svg", "pdf", "csv", "json")))
    for path in sorted((tmp_path / "a").iterdir()):
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name
    svg = (tmp_path / f"a/{name}_{SIZE}.svg").read_text()
    root = ET.fromstring(svg)
    assert root.tag.endswith("svg") and len(svg) < 1_000_000
    assert len(list(root.iter("{http://www.w3.org/2000/svg}text"))) > 5  # text stays text
    pdf = (tmp_path / f"a/{name}_{SIZE}.pdf").read_bytes()
    assert b"/FontFile2" in pdf and b"/Type3" not in pdf and b"Date" not in pdf  # TrueType, embedded
    data, words = (
        pd.read_csv(tmp_path / f"a/{name}_{SIZE}.csv"),
        json.loads((tmp_path / f"a/{name}_{SIZE}.json").read_text()),
    )
    assert len(data) and words.keys() == {"title", "caption", "alt"}


def test_a_lighter_drawing_shows_the_same():
    def encoded(pixels):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "png")
        return base64.b64encode(file.getvalue()).decode()

    random = np.random.default_rng(0)
    colours = random.integers(0, 256, (200, 4), np.uint8)
    few, many = colours[random.integers(0, 200, (40, 50))], random.integers(0, 256, (40, 50, 4), np.uint8)
    svg = '<path d="M 0.004 -1.23456 L 12.0000001 3.5"/><text x="0.123456" transform="rotate(-0 1 2)">0.123456</text>'
    lighter = lighten(
        svg + "".join(f'<image xlink:href="data:image/png;base64,\n{encoded(image)}"/>' for image in (few, many))
    )
    assert '<path d="M 0 -1.23 L 12 3.5"/><text x="0.12">0.123456</text>' in lighter
    for old, new in zip((few, many), re.findall('base64,([^"]+)"', lighter), strict=True):
        image = Image.open(io.BytesIO(base64.b64decode(new)))
        assert (np.asarray(image.convert("RGBA")) == old).all() and (image.mode == "P") == (old is few)


def test_a_drawing_brings_the_glyphs_of_its_words(tmp_path):
    write_drawing(
        drawn("models", make_tables()), *(tmp_path / f"models.{end}" for end in ("svg", "pdf", "csv", "json"))
    )
    svg = (tmp_path / "models.svg").read_text()
    words = html.unescape(re.sub("<.*?>", "", "".join(re.findall(r"<text.*?</text>", svg, re.DOTALL))))
    glyphs = set()
    for face in re.findall(r"font/woff;base64,([^)]+)\)", svg):
        font = TTFont(io.BytesIO(base64.b64decode(face)))
        assert font["name"].getDebugName(1) == "DejaVu Sans"
        glyphs |= set(font.getBestCmap())
    assert {ord(character) for character in words} - {ord("\n")} <= glyphs and len(glyphs) < 150


def test_each_cluster_shows_its_best_and_worst_fitted_and_no_kernel_twice():
    tables = make_tables()
    tables["sample"] = pd.concat([tables["sample"]] * 5, ignore_index=True)
    tables["sample"]["channel"] = range(len(tables["sample"]))
    tables["sample"]["dissimilarity"] = np.random.default_rng(1).random(len(tables["sample"]))
    members = drawn("members", tables).data
    for cluster, part in members.groupby("cluster"):
        of_sample = (
            tables["sample"][tables["sample"]["cluster"] == cluster].sort_values("dissimilarity")["channel"].tolist()
        )
        blocks = part.groupby("chosen")["channel"].apply(list)
        assert (blocks["best"], blocks["worst"]) == (of_sample[:5], of_sample[-5:])
        assert part["channel"].is_unique and len(blocks["random"]) == 6


def test_models_stand_with_their_family():
    tables = make_tables(models=6)
    tables["models"]["family"] = ["a", "b", None, "a", "b", "a", None]
    tables["models"]["clustered_share"] = [0.1, 0.5, 0.9, 0.7, 0.6, 0.2, 0.05]
    families = drawn("models", tables).data["family"].tolist()
    assert families == ["controls", "a", "a", "a", "b", "b", "no family stated"]  # from below


def test_data_are_what_is_drawn():
    tables = make_tables()
    spectrum = drawn("spectrum", tables).data
    assert spectrum["share"].sum() == pytest.approx(1)
    np.testing.assert_allclose(spectrum.filter(like="tap_"), np.stack(tables["spectrum"]["decoded"]))
    assert (spectrum.groupby("cluster")["code"].min() >= tables["clusters"].set_index("cluster")["code_low"]).all()

    models = drawn("models", tables).data
    families = models.columns[models.columns.isin(list(canvas.FAMILIES)) & (models.columns != "other")]
    np.testing.assert_allclose(models[families].sum(axis=1), models["clustered_share"])
    assert (models["noise_share"] == 0.05).all()

    layers = drawn("layers", tables).data
    np.testing.assert_allclose(layers.drop(columns=["model", "layer_index"]).sum(axis=1), 1)
    assert "chance" not in layers["model"].tolist()

    members = drawn("members", tables).data
    assert all(part["dissimilarity"].is_monotonic_increasing for _, part in members.groupby("cluster"))
    assert members["cluster"].nunique() == 7

    sums = drawn("tap_sums", tables).data.set_index("cluster")
    weights = np.stack(tables["sample"].query("cluster == 2")["weight"]).astype(float)
    ratio = weights.sum(axis=1) / (SIDE * np.linalg.norm(weights, axis=1))
    assert sums.at[2, "med"] == pytest.approx(np.median(ratio))

    thresholds = drawn("thresholds", tables).data
    assert set(thresholds["model"]) == {"net0", "net1", "net2", "chance", "noise", "median"}
    assert drawn("kmeans", tables).data["share"].sum() == pytest.approx(1)


def test_projection_is_a_principal_component_analysis():
    from sklearn.decomposition import PCA

    tables = make_tables(clusters=12)
    ours = drawn("projection", tables).data.filter(like="component_").to_numpy()
    theirs = PCA(4, svd_solver="full").fit_transform(centre_and_normalise(np.stack(tables["sample"]["weight"])))
    np.testing.assert_allclose(np.abs(ours), np.abs(theirs), atol=1e-4)


def test_many_models_are_cut_to_the_largest_and_the_caption_says_so():
    tables = make_tables(models=40)
    tables["models"].loc[tables["models"]["model"] == "net39", "kernels"] = 500
    drawing = drawn("models", tables)
    assert len(drawing.data) == draw.MODELS + 1  # and the control
    assert {"net39", "chance"} < set(drawing.data["model"])
    assert "The 30 of 40 independent networks" in drawing.caption


def test_networks_that_share_weights_count_once():
    tables = make_tables()
    tables["models"]["group"] = "same"
    assert "The one independent network" in drawn("layers", tables).caption


def test_stretches_that_share_a_cluster_share_a_row():
    tables = make_tables(clusters=6)
    for name in ("clusters", "sample"):
        third = tables[name]["cluster"] == 2
        tables[name].loc[third, "cluster"] = 0
        tables[name].loc[third, "label"] = tables["clusters"]["label"][0]
    assert drawn("members", tables).data["cluster"].nunique() == 6  # five clusters and other
    assert drawn("tap_sums", tables).data.set_index("cluster").at[0, "kernels"] == 16
    spectrum = drawn("spectrum", tables)
    share = spectrum.data.groupby("cluster")["share"].sum()
    assert f"and cluster {share.idxmax()} (" in spectrum.caption
    assert f"{100 * share.max():.1f} %." in spectrum.caption


def test_taps_are_coloured_from_minus_to_plus_the_largest():
    for image in drawn("members", make_tables()).figure.findobj(AxesImage):
        assert image.norm.vmin == -image.norm.vmax


def test_each_family_has_its_own_colour_and_off_its_hatch():
    colours = [colour for colour, _ in canvas.FAMILIES.values()]
    assert len(set(colours)) == len(colours)
    assert all(bool(hatch) == name.startswith("Off") for name, (_, hatch) in list(canvas.FAMILIES.items())[:9])
    families = {family_of(label) for label in templates(7).labels}
    assert families == set(FAMILIES[:9]) and tuple(canvas.FAMILIES) == FAMILIES
    assert family_of("pattern-3") == family_of("Named by hand") == "Further patterns"


def test_labels_are_shortened_without_loss():
    labels = set(templates(7).labels)
    assert len({canvas.short(label) for label in labels}) == len(labels)
    assert canvas.short("Off-Second-Derivative-NE-SW") == "Off 2nd deriv. NE\N{EN DASH}SW"
    assert canvas.short("First-Derivative-N") == "1st deriv. N"
