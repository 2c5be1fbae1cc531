"""What the tests of figures share: made-up tables, a figure drawn by name, and the boxes of its words."""

import importlib
from itertools import combinations

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from kernel_atlas.core.kernels import centre_and_normalise
from kernel_atlas.core.patterns import templates
from kernel_atlas.core.vocabulary import FAMILIES, FITTED, KINDS
from kernel_atlas.figures.keys import SETS
from kernel_atlas.figures.layers import MEASURES
from kernel_atlas.figures.registry import EVIDENCE, FIGURES
from kernel_atlas.figures.style import atlas_style
from kernel_atlas.figures.write import Drawing

SIZE, SIDE, SAMPLES = "5x5", 5, 200
LONGEST = "Off-Second-Derivative-NW-SE"
MANY = {"kinds": list(KINDS), "clusters": 23, "runs": 10}
FEW = {"kinds": ["real", "gaussian"], "clusters": 1, "runs": 1, "intervals": False}
FIFTHS = ("0.0-0.2", "0.2-0.4", "0.4-0.6", "0.6-0.8", "0.8-1.0")


def drawn(name: str, tables: dict[str, pd.DataFrame], size: str = SIZE, threshold: float = 0.2) -> Drawing:
    """A figure, from those of the tables that the registry names for it."""
    figure = importlib.import_module(f"kernel_atlas.figures.{name}")
    with atlas_style():
        return figure.draw(size, threshold, **{table: tables[table] for table in (FIGURES | EVIDENCE)[name]})


def texts_of(drawing: Drawing) -> dict[Text, object]:
    """The texts of a drawing and the boxes they fill; ticks are left to matplotlib."""
    canvas = FigureCanvasAgg(drawing.figure)
    canvas.draw()
    texts = [*drawing.figure.texts, *(text for legend in drawing.figure.legends for text in legend.get_texts())]
    for axes in drawing.figure.axes:
        texts += [*axes.texts, axes.xaxis.label, axes.yaxis.label, axes._left_title]
        texts += axes.get_legend().get_texts() if axes.get_legend() else []
    return {text: text.get_window_extent(canvas.get_renderer()) for text in texts if text.get_text()}


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
    shares["family"] = [None if net == "chance" else f"family{net[-1]}" for net in nets]
    shares["clustered_share"] = [0.75 * clustered * (net != "chance") for net in nets]
    shares["share_low"], shares["share_high"] = shares["clustered_share"] * 0.9, shares["clustered_share"] * 1.1
    for name, same in (("share", "clustered_share"), ("low", "share_low"), ("high", "share_high")):
        shares[f"pattern_{name}"] = shares[same]
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
        "chance": pd.DataFrame({"size": SIZE, "control": ["random phases"], "pattern_share": [0.05]}),
        "noise": pd.DataFrame({"kh": SIDE, "label": ["other"] * 95 + ["On-Centre"] * 5, "code": random.random(100)}),
        "thresholds": pd.DataFrame(thresholds, columns=["model", "threshold", "clustered_share"]).assign(size=SIZE),
        "centres": centres.assign(centre=list(decoded[:clusters])),
    }


def _split(share: float, labels: list[str]) -> list[tuple[str, float]]:
    """A share in equal parts over the labels that occur, and the rest for `other`."""
    names = list(dict.fromkeys(labels))
    return [*((name, share / len(names)) for name in names if share), ("other", 1 - share), ("dead", 0.1)]


def evidence_tables(
    kinds: list[str] = MANY["kinds"], clusters: int = 6, runs: int = 3, intervals: bool = True
) -> dict[str, pd.DataFrame]:
    """Tables as the workflow writes them, with the rows of another size as well; numbers are random."""
    random = np.random.default_rng(0)
    by_size = [_evidence_of(size, random, kinds, clusters, runs, intervals) for size in (SIZE, "3x3")]
    tables = {name: pd.concat([part[name] for part in by_size], ignore_index=True) for name in by_size[0]}
    labels = (list(dict.fromkeys(templates(SIDE).labels))[::-1] * 2)[:clusters]
    edges = np.linspace(0, 1, clusters + 1)
    rows = {"cluster": range(clusters), "code_low": edges[:-1], "code_high": edges[1:], "label": labels}
    decoded = centre_and_normalise(random.normal(size=(SAMPLES, SIDE**2)))
    codes = (np.arange(SAMPLES) + 0.5) / SAMPLES
    units = list(centre_and_normalise(random.normal(size=(12, SIDE**2))))
    one = {"dissimilarity": np.linspace(0, 1.9, 12), "kernel": units, "reconstruction": units}
    examples = [pd.DataFrame({"control": kind, "encoder": by, **one}) for kind in kinds for by in ("main", "own")]
    return tables | {
        "clusters": pd.DataFrame(rows),
        "spectrum": pd.DataFrame({"code": codes, "kernels": 1, "decoded": list(decoded)}),
        "examples": pd.concat(examples, ignore_index=True),
    }


def _evidence_of(size, random, kinds, clusters, runs, intervals):
    def shares(n, *names):
        share, wide = random.uniform(0.02, 0.95, n), 0.02 if intervals else np.nan
        return dict(zip(names, (share, share - wide, share + wide), strict=True))

    def frame(rows, names, *ends):
        table = pd.DataFrame(rows, columns=names.split())
        for these in ends:
            table = table.assign(**shares(len(table), *these.split()))
        table.insert(0, "size", size)
        return table

    plain, explained = "clustered_share low high", "explained_share explained_low explained_high"
    methods = [("autoencoder", 1), *(("retrained", k) for k in (1, 2, 3)), *(("pca", k) for k in range(1, 9))]
    methods += [(name, k) for name in ("kmeans", "gaussian_mixture") for k in (4, 8, 10, 16, 32)] + [("hdbscan", 0)]
    methods += [("codebook", 5), ("patterns", 38)]
    baselines = frame(methods, "method k", plain, "held_out_share held_out_low held_out_high").assign(
        noise_share=0.02, splits=10
    )
    baselines.loc[0, ["held_out_share", "held_out_low", "held_out_high"]] = np.nan
    pairs = [("autoencoder", 1, *method) for method in methods if "means" in method[0] or "mix" in method[0]]
    stretches = [(n, f"First-Derivative-{n}", 20, kind) for n in range(clusters) for kind in ("all", "restart")]
    steady = frame(stretches, "cluster label kernels kind").assign(runs=runs, recurs=0.9, jaccard=0.7, chance=0.1)
    steady["stable"] = "yes"
    steady.loc[steady["cluster"] == 0, ["label", "recurs", "stable"]] = ["Off-Second-Derivative-NW-SE", 0.3, "no"]
    again = [("main", 0, 9), *(("restart", run, 7) for run in range(1, runs + 1))]
    every = [*FITTED, "all"]
    cosines = [(kind, low / 50, (low + 1) / 50, 1 / 20) for kind in kinds for low in range(30, 50)]
    labels = [(label, family, 99) for label in dict.fromkeys([*templates(5).labels, "other"]) for family in every]
    depths = [(family, low / 5, (low + 1) / 5, 50) for family in FITTED for low in range(5)]
    turns = [("first_derivative", k * 15 - 7.5, k * 15 + 7.5, 2, 1 / 24) for k in range(24)]
    turns += [("second_derivative", k * 15 - 7.5, k * 15 + 7.5, 2, 1 / 12) for k in range(12)]
    both = ("first_derivative", "second_derivative")
    directions = [(kind, family, which) for kind in kinds for family in both for which in ("explained", "all")]
    crosses = frame([("free", 40), ("0", 40), ("-1", 40)], "weight kernels")
    for name, values in {
        "sigma": (0.5, 0.85, 2),
        "elongation": (3, 3.7, 6),
        "centre_weight": (-1.7, -0.4, 0.5),
    }.items():
        crosses[[f"{name}_q10", f"{name}_median", f"{name}_q90"]] = values
    crosses[["error_q10", "error_median", "error_q90"]] = 0.1, 0.2, 0.3
    crosses["at_bounds"] = 0.4
    sigmas = {f"sigma_q{q}": q / 50 for q in (10, 25, 75, 90)} | {"sigma_median": 1.0}
    return {
        "controls": frame(
            [(kind, by, 900) for kind in kinds for by in ("main", "posed", "own")][: None if intervals else -1],
            "control encoder kernels",
            plain,
        ),
        "baselines": baselines,
        "agreement": frame(pairs, "method_a k_a method_b k_b", "adjusted_rand low high"),
        "stability": steady,
        "restarts": frame(again, "kind run clusters").assign(clustered_share=np.linspace(0.3, 0.6, runs + 1)),
        "fit_cosines": frame(cosines, "subject cosine_low cosine_high share"),
        "fit_explained": frame(
            [(kind, family, 500) for kind in kinds for family in every], "subject family kernels", explained
        ).assign(threshold=0.7, cosine_median=0.9),
        "fit_labels": frame(labels, "assigned family kernels", explained),
        "fit_scales": frame(depths, "family depth_low depth_high kernels").assign(**sigmas),
        "fit_orientations": frame(turns, "family angle_low angle_high kernels share"),
        "fit_cardinal": frame(directions, "subject family which", "cardinal cardinal_low cardinal_high"),
        "fit_crosses": crosses,
        "synthetic": _synthetic(size, random),
    }


def _synthetic(size, random):
    labels = list(dict.fromkeys(label for label in templates(5).labels if "Square" not in label)) * 4
    family = {"First": "first_derivative", "Second": "second_derivative", "Cross": "cross"}
    families = [next((name for word, name in family.items() if word in label), "centre") for label in labels]
    truth = {
        name: random.uniform(0, high, len(labels)) for name, high in (("sigma", 2), ("angle", 90), ("x", 1), ("y", 1))
    }
    table = pd.DataFrame({"size": size, "snr_db": 10.0, "true_family": families, "true_label": labels})
    table = table.assign(family=families, label=labels, between_names=False)
    found = {name: values + 0.01 for name, values in truth.items()}
    return table.assign(**{f"true_{name}": values for name, values in truth.items()}, **found)


def network_tables(models: int = 40, intervals: bool = True, size: str = "7x7") -> dict[str, pd.DataFrame]:
    """Tables as the workflow writes them, with the rows of another size as well; numbers are random."""
    parts = [_networks_of(each, models, intervals) for each in (size, "3x3")]
    tables = {name: pd.concat([part[name] for part in parts], ignore_index=True) for name in parts[0]}
    tables["datasets"] = pd.DataFrame({"pattern": ["set [0-4]$", "set (5|6)"], "images": [1000, 2_000_000]})
    tables["filters"] = pd.DataFrame(np.random.default_rng(3).normal(size=(8, 49)))
    tables["filters"].insert(0, "filter", range(1, 9))
    return tables


def _networks_of(size: str, models: int, intervals: bool) -> dict[str, pd.DataFrame]:
    random, wide = np.random.default_rng(3), 0.05 if intervals else np.nan

    def frame(rows, names, value, low, high):
        table = pd.DataFrame(rows, columns=names.split())
        table[value] = random.uniform(0.1, 0.9, len(table))
        table.insert(0, "size", size)
        return table.assign(**{low: table[value] - wide, high: table[value] + wide})

    names = [f"network_with_a_long_name_{n}" for n in range(models)]
    nets = frame(
        [(name, n + 9) for n, name in enumerate(names)], "model kernels", "pattern_share", "pattern_low", "pattern_high"
    )
    nets["dataset"], nets["use"], nets["convolution"] = [f"set {n % 12}" for n in range(models)], "train", "depthwise"
    nets["top1"], nets["params"] = np.linspace(60, 85, models), np.geomspace(1e6, 1e8, models)
    nets["group"] = nets["recipe"] = None
    pairs = frame(list(combinations(names, 2)), "model_a model_b", "jensen_shannon", "x", "y")
    families = ["Cross", *(name for name in FAMILIES if "Cross" not in name)]
    curve = frame([(f, d) for f in families for d in np.linspace(0, 1, 21)], "family depth", "share", "low", "high")
    trends = frame([(family,) for family in families], "family", "spearman", "low", "high")
    known = frame(
        [("top1", "set 0"), ("log10_params", "set 1"), ("log10_images", "all")],
        "variable dataset",
        "pearson",
        "pearson_low",
        "pearson_high",
    )
    contrasts = [("seed", a, b, 0.2, 0.3) for a, b in combinations(names[:14], 2)]
    contrasts += [("images", *names[:2], 0.2, 0.3)]
    contrasts = frame(contrasts, "contrast model against jensen_shannon chance_high", "difference", "low", "high")
    depths = [(s, d, m, 0.5) for s in ("real", "untrained", "dense") for d in ("all", *FIFTHS) for m in MEASURES]
    labels = [*FAMILIES, "all", "First-Derivative-NE", "On-Second-Derivative-NW-SE", "pattern-12"]
    places = [(label, p) for label in labels for p in ("all", "same", "symmetric", "unknown")]
    offsets = frame(places, "label padding", "dx", "dx_low", "dx_high").assign(subject="real", stride="all")
    offsets["dy"] = -offsets["dx"]
    offsets["dy_low"], offsets["dy_high"] = offsets["dy"] - wide, offsets["dy"] + wide
    greedy = frame([(k,) for k in range(1, 33)], "keys", "residual", "residual_low", "residual_high")
    filters = [(str(n), s, "all") for n in [*range(1, 9), "all"] for s in ("real", "gaussian", "untrained", "phase")]
    return {
        "models": nets,
        "architectures": pairs,
        "depth": curve.assign(models=models),
        "trends": trends,
        "correlation": known.assign(n=models),
        "contrasts": contrasts,
        "contrast_kinds": frame(
            [("seed", 91, 2, 0.4), ("images", 1, 0, 0.1)],
            "contrast pairs beyond jensen_shannon",
            "difference",
            "low",
            "high",
        ),
        "layer_depths": frame(depths, "subject depth measure chance", "mean", "low", "high"),
        "banding": frame([("real",)], "subject", "difference", "low", "high"),
        "offsets": offsets,
        "padding": frame([("square - centre",)], "test", "value", "low", "high"),
        "key_sets": frame([(name, 8, "real") for name in SETS], "set keys subject", "mean", "mean_low", "mean_high"),
        "greedy_sets": greedy.assign(residual_gaussian=0.95, within_tolerance=greedy["keys"] > 7),
        "master_key_shares": frame(filters, "filter subject depth", "share", "share_low", "share_high"),
    }
