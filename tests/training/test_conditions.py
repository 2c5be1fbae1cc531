"""Experiments: what is done to images and first kernels, what is kept of a run and made of it, and a run by a user."""

import html
import itertools

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from conftest import ROOT, ROWS, SMALL, copy_project, make_sheet, numbers_missing, snakemake
from drawing import texts_of
from images import bright_and_dark
from PIL import Image
from safetensors.torch import load_file

from kernel_atlas.core import vocabulary
from kernel_atlas.core.errors import AtlasError
from kernel_atlas.core.kernels import centre_and_normalise
from kernel_atlas.core.patterns import read_patterns
from kernel_atlas.figures.experiments import FIGURES
from kernel_atlas.figures.style import atlas_style
from kernel_atlas.findings.experiments import state
from kernel_atlas.io.tables import write_table
from kernel_atlas.model.assign import Assigner
from kernel_atlas.model.encoder import read_encoder
from kernel_atlas.training import conditions as experiments
from kernel_atlas.training import summaries, zoo
from kernel_atlas.training.conditions import Condition
from kernel_atlas.training.dynamics import measure_run, noise_level
from kernel_atlas.training.images import ImageSet

ENCODER, FILTERS = ROOT / "resources/encoder.safetensors", ROOT / "resources/master_key_filters.csv"
PATTERNS = ROOT / "resources/patterns/v1.tsv"
PLAIN = Condition("cifar10", "depthwise", 7, False, "noise", "", False, "", 0, True, zoo.KERNEL_DECAY, 12)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A folder with a few images of each data set."""
    folder = tmp_path_factory.mktemp("images")
    for name, shape in (("cifar10", (32, 32, 3)), ("fashion_mnist", (28, 28)), ("chars74k", (28, 28))):
        encoded, labels = bright_and_dark(240, shape)
        split = ["test" if i < 80 else "train" for i in range(240)]
        pq.write_table(pa.table({"image": encoded, "label": labels, "split": split}), folder / f"{name}.parquet")
    return folder


def textured(number: int) -> ImageSet:
    """Images with edges."""
    random = np.random.default_rng(0)
    pixels = np.kron(random.integers(0, 255, (number, 4, 4, 3)), np.ones((1, 8, 8, 1))).astype(np.uint8)
    labels = torch.arange(number) % 5
    return ImageSet(torch.from_numpy(pixels), labels, torch.from_numpy(pixels[::-1].copy()), labels.flip(0), 5)


def test_scrambled_phases_keep_the_spectrum_and_lose_the_edges():
    data = textured(40)
    data = data._replace(train=data.train // 4 + 96)  # so that nothing is clipped
    changed = experiments._phase_scrambled(data, torch.Generator().manual_seed(0))
    before, after = (torch.fft.fft2(each.train.float(), dim=(1, 2)).abs() for each in (data, changed))
    error = (before - after).abs().amax((1, 2)) / before[:, 1:].amax((1, 2))
    assert error.max() < 0.02  # rounding to whole grey values
    differences = [each.train.float().diff(dim=2).abs() for each in (data, changed)]
    assert (differences[0] < 0.5).float().mean() > 0.8 and (differences[1] < 0.5).float().mean() < 0.3


def test_grey_images_are_those_of_fashion_mnist_in_shape():
    changed = experiments._grey28(textured(10), torch.Generator())
    assert changed.train.shape == (10, 28, 28, 3) and changed.train.dtype == torch.uint8
    assert (changed.train == changed.train[..., :1]).all()
    assert (changed.train.float().mean((1, 2, 3)) - textured(10).train.float().mean((1, 2, 3))).abs().max() < 40


def test_random_labels_keep_their_numbers_and_the_test():
    data = textured(50)
    changed = experiments._random_labels(data, torch.Generator().manual_seed(0))
    assert (changed.train_labels.bincount() == data.train_labels.bincount()).all()
    assert (changed.train_labels != data.train_labels).float().mean() > 0.5
    assert (changed.test_labels == data.test_labels).all() and (changed.train == data.train).all()


def test_permuted_pixels_are_the_same_in_all_images():
    pixels = textured(6).train
    scatter = torch.randperm(32 * 32, generator=torch.Generator().manual_seed(1))
    plain, permuted = (zoo.Batches(pixels, torch.zeros(6), False, 0, 0, order) for order in (None, scatter))
    wanted = plain.normalise(pixels).flatten(2)[:, :, scatter]
    assert torch.equal(permuted.normalise(pixels).flatten(2), wanted)


def test_a_subset_has_the_same_images_whatever_is_done_to_them(images):
    small = PLAIN._replace(subset=30)
    first, second = (experiments.load_images(images, small)[0] for _ in range(2))
    assert len(first.train) == len(first.train_labels) == 30 and torch.equal(first.train, second.train)
    other = experiments.load_images(images, small._replace(images="cifar10_random_labels"))[0]
    assert torch.equal(first.train, other.train) and (first.train_labels != other.train_labels).any()
    assert len(experiments.load_images(images, PLAIN)[0].train) == 160


@pytest.mark.parametrize("size", [3, 7])
def test_dense_networks_keep_parameters_and_operations(size):
    depthwise, dense = (zoo.ZooNet(size, 10, convolution) for convolution in ("depthwise", "dense"))
    operations = np.zeros(2)
    for stage, pair in enumerate(zip(depthwise.stages, dense.stages, strict=True)):
        weights = [sum(each.numel() for each in net.parameters() if each.ndim == 4) for net in pair]
        assert np.isclose(*weights, rtol=0.05), stage
        operations += np.array(weights) / 4**stage  # all convolutions of a stage see maps of one size
    parameters = [sum(each.numel() for each in net.parameters()) for net in (depthwise, dense)]
    assert np.isclose(*parameters, rtol=0.02) and np.isclose(*operations, rtol=0.02)
    weight = dense.stages[0][1].spatial.weight
    assert weight.shape[0] == weight.shape[1] > 1 and weight.std() < 2 * zoo.KERNEL_STD


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The file of a network of another seed, whose kernels stand for trained ones."""
    path = tmp_path_factory.mktemp("trained") / "net.safetensors"
    zoo.write_net(zoo.new_net(7, 10, 9), {}, path)
    return path


@pytest.mark.parametrize("control", ["", "scrambled", "gaussian"])
@pytest.mark.parametrize("start", ["prototypes", "formulas", "master_keys", "patterns", "trained"])
def test_first_kernels_are_what_they_start_from(trained, start, control):
    files = {"prototypes": ENCODER, "master_keys": FILTERS, "patterns": PATTERNS, "trained": trained}
    condition, file = PLAIN._replace(start=start, control=control), files.get(start)
    net, noise = experiments.start_net(condition, 10, 0, file), experiments.start_net(PLAIN, 10, 0)
    pairs = zip(experiments.first_blocks(net), experiments.first_blocks(noise), strict=True)
    for layer, (block, plain) in enumerate(pairs):
        units = experiments.unit_kernels(start, condition, file, layer, 0)
        taps = block.spatial.weight.detach().numpy().reshape(-1, 49)
        nearest = centre_and_normalise(taps) @ units.T
        assert nearest.max(1).min() > 0.999
        if len(units) >= len(taps):  # each at most once
            assert len(set(nearest.argmax(1))) == len(taps)
        assert np.isclose(np.linalg.norm(taps), plain.spatial.weight.detach().norm(), rtol=0.1)
    assert torch.equal(net.stages[1][1].spatial.weight, noise.stages[1][1].spatial.weight)


def test_trained_kernels_are_those_of_the_same_layer(trained):
    state = load_file(trained)
    for layer in range(3):
        units = experiments.unit_kernels("trained", PLAIN, trained, layer)
        taps = state[f"stages.0.{layer + 1}.depthwise.weight"].numpy().reshape(-1, 49)
        assert np.allclose(units, centre_and_normalise(taps))


def test_controls_keep_spectra_or_mean_and_covariance_and_no_pattern():
    units = experiments.unit_kernels("patterns", PLAIN, PATTERNS)
    scrambled, gaussian = (
        experiments.unit_kernels("patterns", PLAIN._replace(control=control), PATTERNS)
        for control in ("scrambled", "gaussian")
    )
    before, after = (np.abs(np.fft.fft2(each.reshape(-1, 7, 7))) for each in (units, scrambled))
    assert np.allclose(before, after, atol=1e-3)
    # normalised afterwards, the normal kernels keep means and covariance in proportion
    covariances = [np.cov(each.T, bias=True).ravel() for each in (units, gaussian)]
    assert np.corrcoef(*covariances)[0, 1] > 0.97
    matched = [Assigner(read_patterns(), {}).label(each)["similarity"] for each in (units, scrambled, gaussian)]
    assert matched[0].min() > 0.99 and max(np.median(each) for each in matched[1:]) < 0.8


def test_a_skip_connection_and_a_decay_are_what_the_condition_says(images, tmp_path):
    def first(net):
        return [block.skip for block in experiments.first_blocks(net)]

    assert first(experiments.start_net(PLAIN._replace(skip=True), 2, 0)) == [True] * 3
    assert first(experiments.start_net(PLAIN, 2, 0)) == [False] * 3
    norms = {}
    for decay in (0.0, 30.0):
        experiments.train_run(images, PLAIN._replace(decay=decay), 0, None, files(tmp_path / f"{decay}"), log=str)
        state = load_file(tmp_path / f"{decay}/net.safetensors")
        norms[decay] = state["stages.0.1.depthwise.weight"].norm(), state["stages.0.1.pointwise.weight"].norm()
    assert norms[30.0][0] < 0.8 * norms[0.0][0] and norms[30.0][1] > 0.9 * norms[0.0][1]


def files(folder):
    return tuple(folder / name for name in ("net.safetensors", "kernels.parquet", "curve.csv", "answers.parquet"))


def test_a_run_can_be_repeated_and_keeps_what_it_was(images, tmp_path):
    lines = []
    for name in ("a", "b"):
        experiments.train_run(images, PLAIN, 3, None, files(tmp_path / name), log=lines.append)
    one, other = (load_file(tmp_path / name / "net.safetensors") for name in ("a", "b"))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert (tmp_path / "a/kernels.parquet").read_bytes() == (tmp_path / "b/kernels.parquet").read_bytes()
    curve = pd.read_csv(tmp_path / "a/curve.csv")
    assert list(curve["step"]) == experiments.check_steps(12) and list(curve["step"])[:3] == [0, 1, 2]
    assert curve["loss"].iloc[-1] < curve["loss"].iloc[1] - 0.1 and curve["test_images"].iloc[-1] == 80
    answers = pq.read_table(tmp_path / "a/answers.parquet").to_pandas()
    assert answers["image"].tolist() == list(range(80))
    assert 100 * answers["right"].mean() == pytest.approx(curve["top1"].iloc[-1])
    kernels = pq.read_table(tmp_path / "a/kernels.parquet").to_pandas()
    last = kernels[(kernels["step"] == 12) & (kernels["layer_index"] == 1)]
    state = load_file(tmp_path / "a/net.safetensors")
    assert np.array_equal(np.stack(last["weight"]), state["stages.0.2.depthwise.weight"].numpy().reshape(-1, 49))
    assert any("images a second" in line for line in lines)


def test_frozen_kernels_only_get_a_number_added(images, tmp_path):
    condition = PLAIN._replace(start="master_keys", frozen=True)
    experiments.train_run(images, condition, 0, FILTERS, files(tmp_path), log=lambda line: None)
    state, start = load_file(tmp_path / "net.safetensors"), experiments.start_net(condition, 2, 0, FILTERS)
    for row, block in enumerate(experiments.first_blocks(start), 1):
        added = (state[f"stages.0.{row}.depthwise.weight"] - block.spatial.weight.detach()).reshape(-1, 49)
        assert added.std(1).max() < 1e-6 and added.abs().max() > 1e-5
    assert set(state) == set(zoo.new_net(7, 2, 0).state_dict())  # a plain network again


def test_kernels_are_pulled_to_the_nearest_and_keep_their_mean_and_place_along_it():
    units = torch.from_numpy(experiments.unit_kernels("prototypes", PLAIN, ENCODER))
    net = zoo.new_net(7, 2, 0)
    weight = experiments.first_blocks(net)[0].spatial.weight
    random = torch.Generator().manual_seed(0)
    nearest = units[torch.arange(len(weight)) % len(units)]
    noise = torch.randn(nearest.shape, generator=random)
    noise -= noise.mean(1, keepdim=True)
    noise -= (noise * nearest).sum(1, keepdim=True) * nearest
    weight.data = (5 * nearest + 0.05 * noise + 0.3).view_as(weight)
    experiments.pull_kernels(net, units, 0.1)
    left = 1 - 0.1 * zoo.KERNEL_DECAY
    wanted = 5 * nearest + left * 0.05 * noise + 0.3
    assert torch.allclose(weight.detach().flatten(1), wanted, atol=1e-5)


def test_a_pulled_network_is_nearer_to_what_pulls_it(images, tmp_path):
    units = experiments.unit_kernels("prototypes", PLAIN, ENCODER)
    near = {}
    for name, towards in (("free", ""), ("pulled", "prototypes")):
        condition = PLAIN._replace(towards=towards, steps=60)
        experiments.train_run(images, condition, 0, ENCODER, files(tmp_path / name), log=lambda line: None)
        kernels = pq.read_table(tmp_path / name / "kernels.parquet").to_pandas()
        last = np.stack(kernels.loc[kernels["step"] == 60, "weight"])
        near[name] = (centre_and_normalise(last) @ units.T).max(1)
    assert np.median(near["pulled"] - near["free"]) > 0.01


@pytest.mark.parametrize(
    ("change", "file", "message"),
    [
        ({"images": "imagenet"}, None, "experiments: unknown images 'imagenet'; known are cifar10, "),
        ({"start": "zeros"}, None, "experiments: unknown kernels 'zeros'; known are prototypes, "),
        ({"towards": "zeros"}, None, "experiments: unknown kernels 'zeros'; known are prototypes, "),
        ({"start": "formulas", "control": "zeros"}, None, "unknown kernels 'zeros'; known are scrambled, gaussian"),
        ({"convolution": "grouped"}, None, "a convolution is depthwise or dense, not 'grouped'"),
        ({"convolution": "dense", "frozen": True}, None, "and dense ones none of these"),
        (
            {"start": "formulas", "towards": "prototypes"},
            ENCODER,
            "depthwise kernels start from others, or frozen, or ",
        ),
        ({"start": "prototypes", "kernel": 13}, ENCODER, "has no prototypes of 13x13 kernels"),
        ({"start": "master_keys", "kernel": 5}, FILTERS, "the published master keys are 7x7, not 5x5"),
    ],
)
def test_what_is_unknown_is_one_line(images, tmp_path, change, file, message):
    with pytest.raises(AtlasError) as caught:
        experiments.train_run(images, PLAIN._replace(**change), 0, file, files(tmp_path), log=print)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_known_kernels_are_measured_as_what_they_are(tmp_path):
    """Kernels that begin as noise and end as prototypes."""
    atlases = read_encoder(ENCODER)
    ends = experiments.unit_kernels("prototypes", PLAIN, ENCODER)
    steps = {0: np.random.default_rng(0).standard_normal(ends.shape).astype(np.float32), 5: -ends, 9: ends}
    place = {"layer_index": 0, "channel": np.arange(len(ends)), "kh": 7, "kw": 7}
    rows = [pd.DataFrame({"step": step, **place, "weight": list(taps)}) for step, taps in steps.items()]
    write_table(pa.Table.from_pandas(pd.concat(rows), preserve_index=False), tmp_path / "kernels.parquet")
    pd.DataFrame({"step": list(steps), "top1": [10.0, 20.0, 30.0]}).to_csv(tmp_path / "curve.csv", index=False)
    measured = measure_run(
        tmp_path / "kernels.parquet", tmp_path / "curve.csv", atlases, noise_level(7, 0), 0
    ).set_index("step")
    assert measured.loc[0, "clustered"] == 0 and measured.loc[9, "clustered"] == len(ends)
    assert measured.loc[0, "explained"] <= 1 and measured.loc[9, "explained"] >= len(ends) - 1
    labels = Assigner(read_patterns(), {}).label(ends)["label"]
    assert measured.loc[9, "First-Derivative"] == sum(label.startswith("First") for label in labels) > 0
    assert measured.loc[5, "cosine_to_last"] < -0.99 and measured.loc[9, "cosine_to_last"] > 0.99
    assert measured.loc[0, "cosine_to_first"] > 0.99 and abs(measured.loc[9, "cosine_to_first"]) < 0.3
    assert measured.loc[9, "relabelled"] == 0 and measured.loc[5, "relabelled"] > 0.8 * len(ends)
    assert measured.loc[9, "code_to_last"] == 0 and measured.loc[5, "code_to_last"] > 0.1
    assert measured.loc[0, "beyond"] <= 2 and measured.loc[9, "beyond"] > 0.5 * len(ends)
    assert list(measured["top1"]) == [10, 20, 30]


# clustered at the end, of 50 kernels: of each network, in every layer, and the condition held against
MADE_UP = {"natural": ((10, 10), ""), "permuted": ((30, 30), "natural"), "grey": ((5, 15), "natural")}


def made_up() -> pd.DataFrame:
    """Two networks with three layers under each condition, whose kernels are clustered from step 4 on."""
    rows = []
    for condition, (clustered, against) in MADE_UP.items():
        for seed, layer, step in itertools.product((0, 1), range(3), (0, 2, 4, 8)):
            there = clustered[seed] if step >= 4 else 0
            names = [*vocabulary.MEASURES, *vocabulary.FORMULAS]
            counts = dict.fromkeys(vocabulary.FAMILIES, 0) | {"On-Cross": there, "other": 50 - there}
            about = {"condition": condition, "title": condition, "against": against, "seed": seed, "params": 100}
            about |= {"step": step, "layer_index": layer, "size": "7x7", "kernels": 50} | counts
            about |= dict.fromkeys(names, there) | {"top1": clustered[seed] + step, "train_top1": 60.0}
            moved = {"relabelled": 0, "cosine_to_first": 0.5, "cosine_to_last": 1.0, "code_to_last": 0.1}
            rows.append(about | moved)
    return pd.DataFrame(rows)


def test_the_summary_of_known_runs():
    summary = summaries.summarise_runs(made_up(), 0)
    whole = summary[(summary["layer"] == "all") & (summary["measure"] == "clustered")].set_index("condition")
    interval = ["difference", "difference_low", "difference_high"]
    assert whole["share"].tolist() == [0.2, 0.6, 0.2] and whole["untrained"].eq(0).all()
    assert whole.loc["permuted", interval].tolist() == pytest.approx([0.4] * 3) and whole.loc["permuted", "agree"]
    assert whole.loc["grey", "difference"] == pytest.approx(0) and not whole.loc["grey", "agree"]
    assert np.isnan(whole.loc["natural", "difference"]) and not whole.loc["natural", "agree"]
    assert whole["half_after"].eq(2).all() and whole["half_until"].eq(4).all() and whole["units"].eq(6).all()
    top1 = whole[["top1_difference", "top1_lowest", "top1_highest"]]
    assert top1.loc["grey"].tolist() == [0, -5, 5] and top1.loc["permuted"].tolist() == [20, 20, 20]
    said = " ".join(state("data", summary))
    assert "Against natural, more kernels are beyond spectrum: permuted; not told apart: grey." in said
    assert "against natural with the same seed, is higher: permuted (20.0); not told apart: grey (0.0)." in said


def test_kernels_that_stayed_as_they_were_are_not_compared():
    table = made_up()
    table.loc[table["condition"] == "permuted", "cosine_to_first"] = 1.0
    said = " ".join(state("init", summaries.summarise_runs(table, 0)))
    assert "Against natural, not told apart: grey." in said and "higher: permuted (20.0)" in said


@pytest.mark.parametrize("name", ["covariance", "data", "decay", "dense", "dynamics", "init", "pull"])
def test_every_experiment_is_drawn_and_stated(name):
    table = made_up()
    title, draw = FIGURES[name]
    summary = summaries.summarise(name, table, 0)
    with atlas_style():
        drawing = draw(table, summary, title)
    page, boxes = drawing.figure.bbox, texts_of(drawing)
    for text, box in boxes.items():
        assert page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1, text
    for (a, box), (b, other) in itertools.combinations(boxes.items(), 2):
        assert not box.padded(-1).overlaps(other.padded(-1)), (a, b)
    assert drawing.title == title and drawing.alt.endswith(".")
    assert state(name, summary)


@pytest.mark.parametrize("name", pd.read_csv(ROOT / "resources/experiments/experiments.tsv", sep="\t")["experiment"])
def test_every_number_of_a_sentence_is_a_cell(tested, name):
    summary = pd.read_csv(tested / f"results/figures/experiment_{name}.csv")
    there = summary.apply(pd.to_numeric, errors="coerce").to_numpy(float).ravel()
    report = html.unescape((tested / "results/report.html").read_text())
    for sentence in state(name, summary):
        assert sentence in report
        assert numbers_missing(sentence, there[np.isfinite(there)]) == [], sentence


def test_a_user_tries_all_experiments(images, tmp_path):
    project = copy_project(tmp_path / "project")
    (project / "config.yaml").write_text(SMALL)
    make_sheet(project, ROWS)
    names = ["covariance", "data", "decay", "dense", "dynamics", "init", "pull"]
    targets = [f"experiment_{name}" for name in names]
    snakemake(project, *targets, "--config", f"images={images}", "smoke=true")
    conditions = pd.read_csv(ROOT / "config/experiments.tsv", sep="\t").set_index("condition")["experiments"]
    tables = yaml.safe_load((ROOT / "schemas/tables.yaml").read_text())
    for pattern in (pattern for pattern in tables if pattern.startswith("experiments/")):
        for path in (project / "results").glob(pattern.replace("experiments/", "smoke/")):
            read = pd.read_csv if path.suffix == ".csv" else pd.read_parquet
            assert list(read(path)) == list(tables[pattern]["columns"]), path
    for name in names:
        folder = project / "results/smoke" / name
        runs = pd.read_csv(folder / "runs.csv")
        assert set(runs["condition"]) == {condition for condition, where in conditions.items() if name in where.split()}
        assert {"figure.svg", "figure.pdf", "figure.json", "summary.csv"} <= {path.name for path in folder.iterdir()}
    verdict = pd.read_csv(project / "results/smoke/verdict/verdict.csv")
    assert len(verdict) == len(pd.read_csv(ROOT / "config/verdict.tsv", sep="\t")) and verdict["seeds"].eq(1).all()
    with Image.open(project / "results/smoke/dynamics/kernels.gif") as animation:
        assert animation.n_frames == len(experiments.check_steps(2))
    assert not (project / "results/experiments").exists()  # a trial does not take the place of real runs
    again = snakemake(project, *targets, "--config", f"images={images}", "smoke=true")
    assert "Nothing to be done" in again.stdout
