"""Maps of kernels: moments, controls, what is known of planted kernels, and a run by a user."""

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from conftest import ROOT, SMALL, copy_project, snakemake
from drawing import check_words
from images import bright_and_dark
from scipy.stats import skew
from torch import nn

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.core.vocabulary import FAMILIES
from kernel_atlas.figures.maps import draw_maps
from kernel_atlas.figures.style import atlas_style
from kernel_atlas.findings.maps import find_maps
from kernel_atlas.io.tables import columns_of, read_csv
from kernel_atlas.training import map_summaries, maps, zoo

SIDE = 5


def test_merged_moments_are_those_of_all_data_at_once():
    random = np.random.default_rng(0)
    data = random.gamma(2, 1, (7, 3, 6, 5)) + np.array([0, 1e4, -3]).reshape(3, 1, 1)  # a mean far from 0, too
    moments = maps.Moments(3)
    for part in (data[:1], data[1:5], data[5:]):
        moments.add(torch.from_numpy(part))
    found, whole = moments.describe(), data.transpose(1, 0, 2, 3).reshape(3, -1)
    np.testing.assert_allclose(found["mean"], whole.mean(1), rtol=1e-12)
    np.testing.assert_allclose(found["variance"], whole.var(1), rtol=1e-10)
    np.testing.assert_allclose(found["skewness"], skew(whole, axis=1), rtol=1e-8)
    np.testing.assert_allclose(found["relative_mean"], whole.mean(1) / whole.std(1), rtol=1e-10)


def test_skewness_of_known_data_and_none_of_constant_maps():
    moments = maps.Moments(2)
    moments.add(torch.tensor([0.0, 0, 0, 1, 5, 5, 5, 5]).view(1, 2, 2, 2))
    found = moments.describe()
    assert found["skewness"][0] == pytest.approx(2 / 3**0.5)  # Bernoulli, p = 1/4: (1 - 2 p) / sqrt(p (1 - p))
    assert np.isnan(found["skewness"][1]) and np.isnan(found["relative_mean"][1]) and found["mean"][1] == 5


@pytest.mark.parametrize("name", maps.CONTROLS)
def test_controls_have_the_norm_and_two_of_them_the_sum(name):
    kernels = np.random.default_rng(0).normal(0.3, 1, (20, SIDE**2))
    drawn = maps.draw_control(name, kernels, 0)
    np.testing.assert_allclose(np.linalg.norm(drawn, axis=1), np.linalg.norm(kernels, axis=1), rtol=1e-5)
    sums = np.abs(drawn.sum(1) - kernels.sum(1))
    assert sums.max() < 1e-4 if name != "free" else sums.min() > 1e-3
    assert np.abs(drawn - kernels).max(1).min() > 0.1
    assert (drawn == maps.draw_control(name, kernels, 0)).all() and (drawn != maps.draw_control(name, kernels, 1)).any()
    spectra = [np.abs(np.fft.fft2(some.reshape(-1, SIDE, SIDE))) for some in (kernels, drawn)]
    assert np.allclose(*spectra, atol=1e-4) == (name == "phase")


class Planted(nn.Module):
    """A derivative, a Gaussian and a dead kernel, with a bias and without padding, and a layer that is not run."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 3, 1, bias=False)
        self.depthwise = nn.Conv2d(3, 3, SIDE, groups=3)
        self.idle = nn.Conv2d(3, 3, SIDE, groups=3)
        x = torch.arange(SIDE) - SIDE // 2
        gaussian = torch.exp(-(x[:, None] ** 2 + x**2) / 2)
        with torch.no_grad():
            self.stem.weight.copy_(torch.eye(3).view(3, 3, 1, 1))
            self.depthwise.weight.copy_(torch.stack([x * gaussian, gaussian, 0 * gaussian])[:, None])
            self.depthwise.bias.fill_(7)

    def forward(self, x):
        return self.depthwise(self.stem(x)).mean((2, 3))


def measured(images: torch.Tensor) -> tuple[Planted, pd.DataFrame]:
    net = Planted().eval()
    return net, maps.measure_maps(net, {"depthwise.weight": net.depthwise}, images, 3, 0)


def test_a_derivative_of_a_constant_image_is_zero_and_a_gaussian_its_sum():
    net, table = measured(torch.full((20, 3, 16, 16), 2.0))
    total = net.depthwise.weight[1].sum().item()
    assert table["mean"].to_numpy() == pytest.approx([0, 2 * total, 0], abs=1e-5)
    assert table["sd"].max() < 1e-5 and table.loc[1:, "skewness"].isna().all()
    assert table["tap_sum"][0] == pytest.approx(0, abs=1e-7) and np.isnan(table["tap_sum"][2])
    assert table["tap_sum"][1] == pytest.approx(total / (SIDE * net.depthwise.weight[1].norm().item()))
    assert (table["places"] == 20 * 12 * 12).all()


def test_noise_goes_through_by_the_norm_of_a_kernel():
    """White noise of mean 1: the mean of the map is the sum of taps, its variance the squared norm."""
    images = torch.randn((64, 3, 40, 40), generator=torch.Generator().manual_seed(0)) + 1
    net, table = measured(images)
    weight = net.depthwise.weight.detach().flatten(1)
    assert table["mean"].to_numpy() == pytest.approx(weight.sum(1).tolist(), abs=0.05)
    assert table["sd"].to_numpy() == pytest.approx(weight.norm(dim=1).tolist(), rel=0.02)
    squares = weight.square().sum(1).numpy()
    assert table["variance_share"].to_numpy() == pytest.approx(squares / squares.sum(), abs=0.01)
    assert table["unit_variance_share"].to_numpy() == pytest.approx([0.5, 0.5, 0], abs=0.01)
    assert table["relative_mean"][1] == pytest.approx((weight[1].sum() / weight[1].norm()).item(), rel=0.03)
    # a control of the same sum and norm is as far from 0 as the kernel; one of any sum is not near 0
    for name in ("noise", "phase"):
        assert table[f"{name}_relative_mean"][1] == pytest.approx(table["relative_mean"][1], rel=0.03)
        assert table[f"{name}_absolute_relative_mean"][0] < 0.02
    assert table["free_absolute_relative_mean"][0] > 0.3
    shares = [column for column in table if column.endswith("variance_share")]
    assert table[shares].sum().to_numpy() == pytest.approx(np.ones(len(shares)))


def test_the_network_is_left_as_it_was():
    net = Planted().eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    images = torch.randn(3, 3, 12, 12)
    with torch.no_grad():
        expected = net(images)
    first = maps.measure_maps(net, {"a": net.depthwise}, images, 2, 0)
    with pytest.raises(AtlasError, match=r"does not run its layer b, which has no maps; take it out") as fault:
        maps.measure_maps(net, {"a": net.depthwise, "b": net.idle}, images, 2, 0)
    assert "\n" not in str(fault.value)
    assert not net.depthwise._forward_hooks and not net.idle._forward_hooks
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    with torch.no_grad():
        torch.testing.assert_close(net(images), expected)  # in another order in memory sums are rounded differently
    pd.testing.assert_frame_equal(first, maps.measure_maps(net, {"a": net.depthwise}, images, 2, 0))


def test_hooks_go_when_the_network_fails():
    net = Planted().eval()
    with pytest.raises(RuntimeError):
        maps.measure_maps(net, {"a": net.depthwise}, torch.randn(2, 3, 2, 2), 2, 0)
    assert not net.depthwise._forward_hooks


# --- Summaries, figure and findings


def kernel_table(model: str, sizes: dict[str, int], kernels: int = 40, seed: int = 0) -> pd.DataFrame:
    """A table as `measure_model` writes it, of random numbers: size -> layers."""
    random, rows, first = np.random.default_rng(seed), [], 0
    labels = ["First-Derivative-N", "First-Derivative-SE", "Off-Second-Derivative-NW-SE", "On-Centre", "other"]
    for size, layers in sizes.items():
        for layer in range(first, first + layers):
            columns = columns_of("maps/models/*.csv")
            table = pd.DataFrame(random.lognormal(0, 0.5, (kernels, len(columns))), columns=columns)
            about = {"model": model, "layer_index": layer, "layer": f"l{layer}", "size": size, "channels": kernels}
            table = table.assign(**about, channel=range(kernels), label=[labels[n % 5] for n in range(kernels)])
            shares = [column for column in table if column.endswith("variance_share")]
            table[shares] /= table[shares].sum()
            rows.append(table)
        first += layers
    return pd.concat(rows, ignore_index=True)


def layer_table(units: int, sizes: tuple[str, ...] = ("7x7", "3x3")) -> pd.DataFrame:
    tables = [
        map_summaries.sum_up_layers(kernel_table(f"net{n}", dict.fromkeys(sizes, 2), seed=n), f"unit{n % units}")
        for n in range(units + 1)
    ]
    return pd.concat(tables, ignore_index=True)


def test_layers_and_families_are_summed_up():
    kernels = kernel_table("net", {"7x7": 1})
    kernels.loc[0, ["skewness", "relative_mean", "absolute_relative_mean"]] = np.nan
    table = map_summaries.sum_up_layers(kernels, "unit").set_index("label")
    first = kernels[kernels["label"].str.startswith("First")]
    assert table.loc["First-Derivative", "kernels"] == 16 and table.loc["First-Derivative", "silent"] == 1
    assert table.loc["First-Derivative", "skewness"] == pytest.approx(first["skewness"].median())
    ratio = table.loc["First-Derivative", "variance_ratio"]
    assert ratio == pytest.approx(first["variance_share"].sum() / (len(first) / len(kernels)))
    assert (table["variance_ratio"] * table["kernels"]).sum() == pytest.approx(len(kernels))  # 1 is an equal share
    assert table.loc["On-Centre", "phase_skewness"] == pytest.approx(
        kernels.loc[kernels["label"] == "On-Centre", "phase_skewness"].median()
    )


def test_networks_of_one_recipe_count_once():
    table = layer_table(5)  # net5 is of the unit of net0
    summary = map_summaries.summarise_maps(table, 0)
    assert summary.columns.tolist() == columns_of("maps/summary.csv")
    row = summary.set_index(["size", "label", "measure"]).loc[("7x7", "On-Centre", "skewness")]
    part = table[(table["size"] == "7x7") & (table["label"] == "On-Centre")]
    nets = part.groupby(["unit", "model"])[["skewness", "noise_skewness"]].mean()  # as many kernels in each layer
    units = nets.groupby("unit").mean()
    assert row["networks"] == 6 and row["units"] == 5 and row["kernels"] == part["kernels"].sum()
    assert row["value"] == pytest.approx(units["skewness"].mean())
    assert row["value_lowest"] == pytest.approx(units["skewness"].min())
    assert row["noise_difference"] == pytest.approx((units["skewness"] - units["noise_skewness"]).mean())
    assert row["value_low"] < row["value"] < row["value_high"]
    few = map_summaries.summarise_maps(layer_table(4), 0)
    assert few["value_low"].isna().all() and (few["value_lowest"] < few["value_highest"]).all()
    assert list(few["size"].unique()) == ["7x7", "3x3"]
    order = [list(FAMILIES).index(label) for label in few.loc[few["size"] == "7x7", "label"].unique()]
    assert order == sorted(order)


def test_layers_weigh_by_their_kernels_and_constant_maps_not_at_all():
    few, many = (map_summaries.sum_up_layers(kernel_table("net", {"7x7": 1}, n), "net") for n in (10, 90))
    few["skewness"], many["skewness"] = 1.0, 2.0
    table = pd.concat([few, many.assign(layer_index=1), many.assign(layer_index=2, skewness=np.nan)])
    found = map_summaries.over_layers(table)
    assert found["skewness"].to_numpy() == pytest.approx([1.9] * len(found))
    assert found["kernels"].sum() == 190


def test_common_labels_of_several_networks_are_shown():
    mixed = pd.concat([layer_table(2, ("3x3",)), layer_table(1, ("9x9",))])
    found = map_summaries.shown(map_summaries.summarise_maps(mixed, 0))
    assert set(found["size"]) == {"3x3"} and found["kernels"].min() >= 20
    assert set(map_summaries.shown(map_summaries.summarise_maps(layer_table(1, ("9x9",)), 0))["size"]) == {"9x9"}
    rare = mixed.assign(kernels=np.where(mixed["label"] == "On-Centre", 1, mixed["kernels"]))
    found = map_summaries.shown(map_summaries.summarise_maps(rare, 0))
    assert "On-Centre" not in set(found["label"]) and "other" in set(found["label"])


@pytest.mark.parametrize("units", [1, 3, 6])
def test_numbers_of_the_findings_are_cells(units):
    summary = map_summaries.summarise_maps(layer_table(units), 0)
    numbers = {f"{value:z.2f}" for value in summary.select_dtypes("number").to_numpy().ravel() if np.isfinite(value)}
    said = find_maps(summary)
    assert said[0].startswith("Maps of first derivatives are off mean 0: |mean| / sd is ")
    found = set(re.findall(r"-?\d+\.\d+", said[0]))
    assert found and found <= numbers
    assert ("[" in said[0]) == (units >= 5) == (len(said) == 3) and (" to " in said[0]) == (1 < units < 5)


@pytest.mark.parametrize("units", [1, 6])
def test_words_stay_inside_and_apart(units):
    table = layer_table(units)
    with atlas_style():
        drawing = draw_maps(table, map_summaries.summarise_maps(table, 0), "What kernels make of images")
        check_words(drawing, apart=1)


def test_the_kept_table_is_drawn_and_stated():
    table = read_csv(ROOT / "resources/experiments/maps.csv")
    assert table.columns.tolist() == columns_of("maps/maps.csv")
    summary = map_summaries.summarise_maps(table, 0)
    numbers = {f"{value:z.2f}" for value in summary.select_dtypes("number").to_numpy().ravel() if np.isfinite(value)}
    for sentence in find_maps(summary):
        assert set(re.findall(r"-?\d+\.\d+", sentence)) <= numbers, sentence
    with atlas_style():
        check_words(draw_maps(table, summary, "What kernels make of images"), apart=1)


# --- A run


@pytest.fixture(scope="module")
def measured_project(tmp_path_factory) -> Path:
    """A project with two small networks after `snakemake maps`."""
    folder = tmp_path_factory.mktemp("maps")
    project = copy_project(folder / "project")
    rows = []
    for split, count in (("train", 40), ("test", 20)):
        images, labels = bright_and_dark(count, (16, 16, 3))
        rows += [(image, label, split) for image, label in zip(images, labels, strict=True)]
    columns = dict(zip(("image", "label", "split"), map(list, zip(*rows, strict=True)), strict=True))
    pq.write_table(pa.table(columns), folder / "cifar10_tiny.parquet")
    (project / "nets").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zoo, "BATCH", 5)
        for seed in (0, 1):
            file = project / f"nets/tiny{seed}.safetensors"
            zoo.train_net(folder, "cifar10", SIDE, seed, 1, file, log=lambda line: None)
    lines = ["model source use architecture recipe"]
    lines += [f"tiny{seed} file:nets/tiny{seed}.safetensors train zoonet_5x5 one" for seed in (0, 1)]
    (project / "sheet.tsv").write_text("\n".join(lines).replace(" ", "\t") + "\n")
    settings = "ablation: {test_images: 16, draws: 10, part_images: 12}"
    (project / "config.yaml").write_text(f"{SMALL}images: {folder}\n{settings}\n")
    snakemake(project, "maps")
    return project


def test_a_run_makes_what_the_schemas_say(measured_project):
    folder = measured_project / "results/maps"
    schema = yaml.safe_load((ROOT / "schemas/tables.yaml").read_text())
    for pattern in ("maps/models/*.csv", "maps/maps.csv", "maps/summary.csv"):
        for path in (measured_project / "results").glob(pattern):
            assert pd.read_csv(path).columns.tolist() == list(schema[pattern]["columns"]), path
    written = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    tables = {"maps.csv", "summary.csv", "models/tiny0.csv", "models/tiny1.csv"}
    assert written == tables | {"maps.svg", "maps.phone.svg", "maps.pdf", "maps.json"}
    kernels = pd.read_csv(folder / "models/tiny0.csv")
    live = pd.read_parquet(measured_project / "results/assignments/tiny0.parquet").query("label != 'dead'")
    assert len(kernels) == len(live) and (kernels["images"] == 16).all()
    shares = kernels[kernels["layer_index"] == 0]
    assert shares["variance_share"].sum() == pytest.approx(1, abs=1e-3)
    summary = pd.read_csv(folder / "summary.csv")
    assert (summary["units"] == 1).all() and summary["networks"].max() == 2
    assert str(measured_project) not in (folder / "maps.svg").read_text()


def test_it_is_no_part_of_the_main_job_and_repeats(measured_project, tmp_path):
    project = Path(shutil.copytree(measured_project, tmp_path / "project"))
    assert "measure_maps" not in snakemake(project, "-n").stdout
    before = (project / "results/maps/models/tiny0.csv").read_bytes()
    (project / "results/maps/models/tiny0.csv").unlink()
    snakemake(project, "results/maps/models/tiny0.csv")
    assert (project / "results/maps/models/tiny0.csv").read_bytes() == before
    config = (project / "config.yaml").read_text()
    (project / "config.yaml").write_text(config.replace("part_images: 12", "part_images: 11"))
    assert "measure_maps" not in snakemake(project, "-n", "maps").stdout  # the ablation's own settings rerun nothing


def test_labels_meet_their_kernels(measured_project):
    """Of a layer, channel by channel: the norm in the table is that of the weights."""
    from safetensors.torch import load_file

    kernels = pd.read_csv(measured_project / "results/maps/models/tiny0.csv")
    weights = load_file(measured_project / "nets/tiny0.safetensors")
    for layer, rows in kernels.groupby("layer"):
        norm = weights[layer].flatten(1).norm(dim=1).numpy()[rows["channel"]]
        np.testing.assert_allclose(rows["norm"], norm, rtol=1e-3)
    shards = pd.read_parquet(measured_project / "results/inventory.parquet").query("model == 'tiny0'")
    assert dict(zip(shards["layer_index"], shards["layer"], strict=True)) == dict(
        zip(kernels["layer_index"], kernels["layer"], strict=True)
    )
