"""Kernels replaced: what stays of them, controls of equal distance, what networks answer, and a run by a user."""

import io
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
from conftest import PATTERNS, ROOT, SMALL, copy_project, numbers_missing, snakemake
from drawing import check_words
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.core.kernels import centre_and_normalise
from kernel_atlas.core.patterns import templates
from kernel_atlas.evidence import families
from kernel_atlas.evidence.controls import make_control
from kernel_atlas.evidence.fit import draw_fits, fit_kernels
from kernel_atlas.figures.ablation import draw_ablation
from kernel_atlas.figures.style import atlas_style
from kernel_atlas.findings.ablation import find_ablation
from kernel_atlas.model.assign import Labeller
from kernel_atlas.training import ablation, images, networks, zoo
from kernel_atlas.training.bench import Answers, Bench
from kernel_atlas.training.networks import Images
from kernel_atlas.training.replacements import REPLACEMENTS, Replaced, Tools, at_right_angles, make_units, move
from kernel_atlas.training.summaries import (
    CONTROLS,
    COSINES,
    DIRECTIONS,
    LABELLED,
    NAMES,
    UNCONTROLLED,
    compare_top1,
    summarise_ablation,
    summarise_cosines,
    tell_apart,
)

SIDE, SIZE = 5, "5x5"
TIMM = "test_efficientnet"  # timm's own smallest with depthwise kernels


class Nearest:
    """A coder that knows `PATTERNS` and nothing else: what an autoencoder that was trained on them comes to."""

    taps = SIDE**2
    known = centre_and_normalise(np.stack([templates(SIDE).taps[templates(SIDE).labels.index(n)] for n in PATTERNS]))

    def encode(self, units: np.ndarray) -> np.ndarray:
        return ((units @ self.known.T).argmax(1) + 0.5) / len(PATTERNS)

    def decode(self, codes: np.ndarray) -> np.ndarray:
        return self.known[(codes * len(PATTERNS)).astype(int)]


class NearestPosed(Nearest):
    """The same of kernels in one pose, of which it finds none but the standard one."""

    def reconstruct(self, units: np.ndarray) -> tuple[np.ndarray, np.ndarray, None]:
        return np.zeros(len(units), int), self.encode(units), None

    def decode(self, poses: np.ndarray, codes: np.ndarray) -> np.ndarray:
        return super().decode(codes)


@pytest.fixture(scope="module")
def tools() -> Tools:
    edges = np.linspace(0, 1, len(PATTERNS) + 1)
    clusters = pd.DataFrame({"cluster": range(4), "code_low": edges[:-1], "code_high": edges[1:], "label": PATTERNS})
    prototypes = clusters[["cluster", "label"]].assign(kernel=list(Nearest.known))
    labeller = Labeller(Nearest(), clusters, 0.2, prototypes, NearestPosed())
    return Tools(labeller, templates(SIDE), templates(SIDE).taps[:8])


def kernels_of(*labels: str) -> np.ndarray:
    """Raw kernels like templates, with means and norms of their own."""
    family, random = templates(SIDE), np.random.default_rng(1)
    units = np.stack([family.taps[family.labels.index(label)] for label in labels])
    return (units * random.lognormal(0, 1, (len(units), 1)) + random.normal(0, 0.5, (len(units), 1))).astype(np.float32)


def some_kernels() -> np.ndarray:
    return np.concatenate(
        [kernels_of("On-Centre", "First-Derivative-E"), np.random.default_rng(2).normal(size=(9, 25))]
    )


@pytest.fixture(scope="module")
def replaced(tools) -> Replaced:
    return Replaced(some_kernels(), tools, 3, 0)


def moved(replaced: Replaced) -> dict[tuple, np.ndarray]:
    """Everything that kernels become but zero."""
    found = {(name,): replaced.replace(name) for name in replaced.names() if name != "zero"}
    for name in set(replaced.names()) - set(UNCONTROLLED):
        found |= {(name, kind, draw): replaced.control(name, kind, draw) for kind in CONTROLS for draw in range(3)}
    return found | {(name, c): replaced.move(name, c, 1) for name in DIRECTIONS for c in COSINES}


def test_mean_and_norm_are_kept(replaced):
    kernels = some_kernels()
    for what, new in moved(replaced).items():
        np.testing.assert_allclose(new.mean(1), kernels.mean(1), atol=1e-5, err_msg=str(what))
        np.testing.assert_allclose(new.std(1), kernels.std(1), rtol=1e-4, err_msg=str(what))
        assert new.shape == kernels.shape and new.dtype == np.float32
    assert not replaced.replace("zero").any()


def test_what_replaces_a_kernel(tools):
    kernels = kernels_of(*PATTERNS)
    replaced, units = Replaced(kernels, tools, 1, 0), centre_and_normalise(kernels)
    for name in ("fit", "reconstruction", "posed", "pattern", "prototype"):
        assert replaced.cosines(name).min() > 0.9, name
        new = centre_and_normalise(replaced.replace(name))
        np.testing.assert_allclose((new * units).sum(1), replaced.cosines(name), atol=1e-5)
    np.testing.assert_allclose(replaced.cosines("pattern"), 1, atol=1e-6)  # they are patterns themselves
    np.testing.assert_allclose(centre_and_normalise(replaced.replace("opposite")), -units, atol=1e-5)
    np.testing.assert_allclose(replaced.cosines("opposite"), -1, atol=1e-6)
    turned = centre_and_normalise(replaced.replace("turned")).reshape(-1, SIDE, SIDE)
    np.testing.assert_allclose(turned, [np.rot90(unit.reshape(SIDE, SIDE)) for unit in units], atol=1e-5)
    keyed = centre_and_normalise(Replaced(-tools.keys, tools, 1, 0).replace("master_key"))
    np.testing.assert_allclose(keyed, -tools.keys, atol=1e-5)  # the sign of a kernel is its own


def test_another_family_is_the_nearest_that_is_not_the_own(tools):
    kernels, drawn = some_kernels(), templates(SIDE)
    cosines = centre_and_normalise(kernels) @ drawn.taps.T
    found = Replaced(kernels, tools, 1, 0)
    for row, near in enumerate(cosines):
        own = drawn.families[near.argmax()]
        others = [place for place, family in enumerate(drawn.families) if family != own]
        assert found.cosines("other_family")[row] == pytest.approx(near[others].max(), abs=1e-5)
        assert found.cosines("pattern")[row] == pytest.approx(near.max(), abs=1e-5)


def test_controls_are_exactly_as_far_as_what_they_control(replaced, tools):
    units = make_units(some_kernels())
    for (name, *more), new in moved(replaced).items():
        expected = more[0] if len(more) == 1 else replaced.cosines(name)
        np.testing.assert_allclose((make_units(new) * units).sum(1), expected, atol=2e-6, err_msg=str((name, *more)))
    draws = [replaced.move("random", 0.5, draw) for draw in range(3)]
    again = Replaced(some_kernels(), tools, 3, 0)
    assert (draws[0] != draws[1]).any() and (again.move("random", 0.5, 1) == draws[1]).all()


def test_directions_lie_at_right_angles_and_where_they_should(tools):
    units = make_units(some_kernels())
    noise, phases = np.random.default_rng(3).normal(size=(2, *units.shape))
    for towards in (noise, np.stack([noise, phases])):
        found = at_right_angles(towards, units, phases)
        assert found.shape == towards.shape
        np.testing.assert_allclose((found * units).sum(-1), 0, atol=1e-12)
        np.testing.assert_allclose(np.linalg.norm(found, axis=-1), 1, atol=1e-12)
        np.testing.assert_allclose(found.mean(-1), 0, atol=1e-12)
    # in the plane of both: at its own cosine a kernel comes out as it was
    other = make_units(noise)
    back = move(units, at_right_angles(noise, units, phases), (other * units).sum(1))
    np.testing.assert_allclose(back, other, atol=1e-9)
    # what is parallel has no direction of its own
    parallel = at_right_angles(3 * units + 1, units, noise)
    np.testing.assert_allclose(parallel, at_right_angles(noise, units, noise), atol=1e-12)
    # scrambled directions are those of copies with random phases, which have the kernel's power spectrum
    copy = make_control("phase", units.astype(np.float32), 0)
    images = (-1, SIDE, SIDE)
    power = [np.abs(np.fft.fft2(some.reshape(images))) for some in (copy, units)]
    np.testing.assert_allclose(*power, atol=1e-5)
    along = make_units(Replaced(some_kernels(), tools, 1, 0).move("scrambled", 0.0, 0))
    np.testing.assert_allclose(along, at_right_angles(copy, units, noise), atol=1e-5)


def test_a_fit_is_drawn_as_it_was_measured():
    kernels = centre_and_normalise(np.random.default_rng(0).normal(size=(40, 25)) + kernels_of("On-Centre") * 3)
    drawn = draw_fits(kernels)
    np.testing.assert_allclose((drawn * kernels).sum(1), fit_kernels(kernels)["cosine"], atol=1e-4)


def test_a_fit_has_as_many_free_numbers_as_the_findings_say():
    free = {np.less(*families.bounds(family, 7)).sum() for family in families.FAMILIES.values()}
    assert free == {5, 6}


class Planted(nn.Module):
    """Tells horizontal from vertical gratings by depthwise kernels alone: by the energy that two kinds let through."""

    def __init__(self, channels: int = 20):
        super().__init__()
        self.stem = nn.Conv2d(3, channels, 1, bias=False)
        self.depthwise = nn.Conv2d(channels, channels, SIDE, padding=2, groups=channels, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.head = nn.Linear(channels, 2)
        half = channels // 2
        kinds = np.repeat(["First-Derivative-E", "First-Derivative-N"], half)
        with torch.no_grad():
            self.stem.weight.fill_(1 / 3)
            self.depthwise.weight.copy_(torch.from_numpy(kernels_of(*kinds)).view(channels, 1, SIDE, SIDE))
            self.depthwise.weight /= self.depthwise.weight.flatten(1).std(1).view(-1, 1, 1, 1)
            self.depthwise.weight -= self.depthwise.weight.mean((2, 3), keepdim=True)
            self.head.weight.copy_(torch.tensor([[1.0] * half + [-1.0] * half, [-1.0] * half + [1.0] * half]))
            self.head.bias.zero_()
        self.kinds = kinds

    def forward(self, x):
        return self.head(self.norm(self.depthwise(self.stem(x))).abs().mean((2, 3)))


def gratings(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    truth = torch.arange(count) % 2
    phase = torch.rand((count, 1, 1), generator=random) * 6
    y, x = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    waves = torch.where(truth[:, None, None] == 0, torch.sin(x + phase), torch.sin(y + phase))
    images = waves[:, None].repeat(1, 3, 1, 1) + 0.3 * torch.randn((count, 3, 16, 16), generator=random)
    return images, truth


def planted(draws: int = 4) -> tuple[Bench, int, pd.DataFrame, list[np.ndarray]]:
    net = Planted()
    given = Images(*gratings(160, 0), gratings(32, 1)[0])
    net.train()
    net.norm.momentum = None
    with torch.no_grad():
        net(gratings(200, 2)[0])
    bench, batches = ablation.set_up(net, {"depthwise.weight": net.depthwise}, given, 80, draws, "cpu")
    kernels = pd.DataFrame(
        {"layer": "depthwise.weight", "layer_index": 0, "channel": range(20), "size": SIZE, "cluster": 0}
    )
    return bench, batches, kernels.assign(label=net.kinds), list(net.depthwise.weight.detach().flatten(1).numpy())


def test_replacing_nothing_changes_nothing():
    bench, batches, *_ = planted()
    before = {name: value.clone() for name, value in bench.net.state_dict().items()}
    with torch.no_grad():
        expected = bench.net(torch.cat(bench.test)).argmax(1) == torch.cat(bench.truth)
    first = bench.answer([{}])
    bench.answer([{"depthwise.weight": np.zeros((20, 25), np.float32)}] * 3)
    second = bench.answer([{}, {}, {}])
    for answers in (first, second):
        assert (answers.kept == expected.numpy()).all() and answers.kept.mean() > 0.95
    assert (first.reestimated == second.reestimated).all() and len(bench.answer([{}], batches).kept) == 80
    assert all(torch.equal(before[name], value) for name, value in bench.net.state_dict().items())


def ablate(tools, folder, bench=None, draws=4, **more) -> tuple[pd.DataFrame, pd.DataFrame]:
    made, batches, kernels, taps = planted(draws)
    lines = more.pop("lines", [])
    return ablation.ablate(bench or made, kernels, taps, {SIDE: tools}, draws, batches, 0, folder, report=lines.append)


def test_a_network_that_needs_its_kernels_drops_to_chance_without(tools, tmp_path):
    table, _ = ablate(tools, tmp_path)
    assert table["baseline_top1"].min() > 95 and set(table["replacement"]) == set(REPLACEMENTS)
    whole = table[(table["size"] == SIZE) & (table["label"] == "") & table["layer_index"].isna()].set_index(
        "replacement"
    )
    assert abs(whole.loc["zero", "top1"] - 50) < 5 and whole.loc["zero", "high"] < -35
    assert whole.loc[["fit", "reconstruction", "posed", "pattern", "prototype"], "top1"].min() > 90
    assert whole.loc["turned", "top1"] < 10  # one direction stands for the other
    assert whole.loc["opposite", "difference"] == 0  # only the energy is read
    assert (whole["draws"] == [1 if name in UNCONTROLLED else 4 for name in whole.index]).all()
    assert (
        (whole["kernels"] == 20).all() and (whole["images"] == 160).all() and (whole["images_reestimated"] == 32).all()
    )
    # at right angles to its kernel a quarter turn is worse than other directions are
    assert whole.loc["turned", "cosine"] == pytest.approx(0, abs=1e-6)
    for kind in CONTROLS:
        assert whole.loc["turned", f"beyond_{kind}"] < -5
        assert table[f"beyond_{kind}"].sub(table["difference"] - table[kind]).abs().max() < 1e-9
        assert table.loc[table["replacement"].isin(UNCONTROLLED), f"beyond_{kind}"].isna().all()
        held = table.dropna(subset=f"beyond_{kind}")
        assert (held[f"beyond_{kind}_low"] <= held[f"beyond_{kind}"]).all()
        assert (held[f"{kind}_low"] <= held[kind]).all() and (held[kind] <= held[f"{kind}_high"]).all()
    # single labels, those with a pattern, clustered ones and layers are replaced by what their label names only
    parts = table[(table["label"] != "") | table["layer_index"].notna()]
    assert set(parts["replacement"]) == set(LABELLED) and (parts["images"] == 80).all()
    assert set(parts["label"]) == {"", "clustered", "with a pattern", "First-Derivative-E", "First-Derivative-N"}
    assert (table["low"] <= table["difference"]).all() and (table["difference"] <= table["high"]).all()


def test_loss_against_cosine(tools, tmp_path):
    _, cosines = ablate(tools, tmp_path)
    found = cosines.set_index(["direction", "cosine"])
    assert len(found) == len(DIRECTIONS) * len(COSINES) and set(found.index) == {
        (name, cosine) for name in DIRECTIONS for cosine in COSINES
    }
    assert found.loc["random", "draws"].eq(4).all() and found.loc["pattern", "draws"].eq(1).all()
    assert found.loc[("random", 0.95), "difference"] > -3  # a small step costs little wherever it leads
    assert found.loc[("turned", 0.0), "top1"] < 10 < found.loc[("random", 0.0), "top1"]
    assert (found["low"] <= found["difference"]).all() and (found["difference"] <= found["high"]).all()
    assert (found["difference"] == found["top1"] - found["baseline_top1"]).all()


class Interrupted(Bench):
    """A bench that is stopped after so many trials, and counts them."""

    left, asked = 10**9, 0

    def answer(self, draws, batches=None) -> Answers:
        if not self.left:
            raise KeyboardInterrupt
        self.left, self.asked = self.left - 1, self.asked + 1
        return super().answer(draws, batches)


def interrupted(left: int) -> Interrupted:
    made, *_ = planted()
    bench = Interrupted(made.net, made.convolutions, Images(*gratings(160, 0), gratings(32, 1)[0]), 20)
    bench.left = left
    return bench


def test_an_interrupted_run_goes_on_where_it_was(tools, tmp_path):
    lines = []
    whole, expected = interrupted(10**9), ablate(tools, tmp_path / "whole", lines=lines)
    assert [re.fullmatch(r"(\d+) of (\d+) trials, \d+ s", line) is not None for line in lines]
    ablate(tools, tmp_path / "counted", whole)
    stopped = interrupted(25)
    with pytest.raises(KeyboardInterrupt):
        ablate(tools, tmp_path / "trials", stopped)
    assert stopped.asked == 25 == len(list((tmp_path / "trials").iterdir()))
    (tmp_path / "trials" / "cut.npy.0123.partial").write_bytes(b"of a run that was killed while it wrote")
    going_on = interrupted(10**9)
    found = ablate(tools, tmp_path / "trials", going_on)
    assert going_on.asked == whole.asked - 25
    for one, other in zip(found, expected, strict=True):
        pd.testing.assert_frame_equal(one, other)
    # another network, other images or other kernels find nothing of it
    other = interrupted(1)
    with torch.no_grad():
        other.net.head.bias.add_(1e-3)
    with pytest.raises(KeyboardInterrupt):
        ablate(tools, tmp_path / "trials", other)


def test_statistics_estimated_again_mend_a_change_of_scale():
    bench, *_ = planted()
    smaller = {"depthwise.weight": bench.weights["depthwise.weight"].flatten(1).numpy() * np.float32(0.2)}
    baseline, changed = bench.answer([{}]), bench.answer([smaller])
    assert (changed.reestimated == baseline.reestimated).mean() > 0.98
    with torch.no_grad():
        bench.net.depthwise.weight.mul_(0.2)
        logits = bench.net(torch.cat(bench.test))
    assert logits.abs().max() < 5 and (changed.kept == (logits.argmax(1) == torch.cat(bench.truth)).numpy()).all()


def test_without_batch_norm_or_training_images_nothing_is_estimated():
    bench, *_ = planted()
    none = Images(torch.cat(bench.test), torch.cat(bench.truth), torch.cat(bench.test)[:0])
    assert Bench(bench.net, bench.convolutions, none, 16).answer([{}]).reestimated is None


def test_parts_of_a_network():
    random = np.random.default_rng(0)
    kernels = pd.DataFrame({"size": ["7x7"] * 60 + ["3x3"] * 60, "layer_index": np.repeat(range(6), 20)})
    kernels["label"] = random.choice(["a", "b", "other"], 120, p=[0.25, 0.25, 0.5])
    kernels["cluster"] = kernels["label"].map({"a": 0, "b": -1, "other": -1})
    parts = {part[:3]: part for part in ablation.find_parts(kernels)}
    labels = {"", "a", "b", "other", "clustered", "with a pattern"}
    assert {key for key in parts if key[2] is None} == {("", "", None)} | {
        (size, label, None) for size in ("7x7", "3x3") for label in labels
    }
    assert {key[:3:2] for key in parts if key[2] is not None} == {("7x7", n) for n in range(3)} | {
        ("3x3", n) for n in range(3, 6)
    }
    inside = kernels["size"] == "3x3"
    assert (parts["3x3", "with a pattern", None].chosen == inside & (kernels["label"] != "other")).all()
    assert (parts["3x3", "clustered", None].chosen == inside & (kernels["label"] == "a")).all()
    assert parts["", "", None].chosen.all() and parts["7x7", "", None].is_whole and not parts["7x7", "", 2].is_whole


@pytest.mark.parametrize("draws", [1, 8])
def test_intervals_cover_a_known_difference(draws):
    random, inside, wide = np.random.default_rng(0), 0, []
    number = np.arange(800) % draws
    for trial in range(200):
        rate = np.clip(random.normal(0.08, 0.03 * (draws > 1), draws), 0, 1)[number]  # of images lost, by draw
        draw = random.random(800)
        change = np.where(draw < rate, -1, np.where(draw < rate + 0.03, 1, 0))
        low, high = ablation.paired_interval(change, number, trial)
        inside += low <= 100 * (0.03 - 0.08) <= high
        wide.append(high - low)
    assert inside >= 0.9 * 200 and np.mean(wide) < 8
    assert ablation.paired_interval(np.zeros(50, int), np.zeros(50, int), 0) == (0, 0)


# --- Networks and images


def encode(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def bright_and_dark(count: int, side: int = 16) -> tuple[list[np.ndarray], list[int]]:
    random, labels = np.random.default_rng(count), [n % 2 for n in range(count)]
    return [random.integers(128 * label, 128 * label + 100, (side, side, 3), np.uint8) for label in labels], labels


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    """The same images as a folder of classes and as a Parquet file, which is also an image set of the zoo."""
    folder = tmp_path_factory.mktemp("pictures")
    rows = []
    for split, count in (("train", 100), ("test", 60)):
        for number, (pixels, label) in enumerate(zip(*bright_and_dark(count), strict=True)):
            path = (
                folder / "classes" / {"test": "val"}.get(split, split) / ("dark", "light")[label] / f"{number:03}.png"
            )
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode(pixels))
            rows.append((encode(pixels), label, split))
    columns = dict(zip(("image", "label", "split"), map(list, zip(*rows, strict=True)), strict=True))
    pq.write_table(pa.table(columns), folder / "cifar10_tiny.parquet")
    return folder


@pytest.fixture(scope="module")
def nets(pictures, tmp_path_factory) -> Path:
    """A trained network of the zoo and a random one of timm, as files."""
    import timm

    folder = tmp_path_factory.mktemp("nets")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zoo, "BATCH", 5)
        zoo.train_net(pictures, "cifar10", SIDE, 0, 6, folder / "tiny.safetensors", log=lambda line: None)
    torch.manual_seed(0)
    net = timm.create_model(TIMM, num_classes=2)
    save_file(net.state_dict(), folder / "mobile.safetensors")
    torch.save({"state_dict": net.state_dict()}, folder / "mobile.pth")
    return folder


@pytest.mark.parametrize("file", ["mobile.safetensors", "mobile.pth"])
def test_timm_networks_are_those_of_the_file(nets, pictures, file):
    network = networks.load_network(f"file:{file}", nets, TIMM)
    assert network.classes == 2 and network.dataset is None
    expected = load_file(nets / "mobile.safetensors")
    assert all(torch.equal(value, expected[name]) for name, value in network.net.state_dict().items())
    found = [
        networks.load_images(network, pictures, str(pictures / where), 0, 12, 0)
        for where in ("classes", "cifar10_tiny.parquet")
    ]
    for given in found:
        assert given.test.shape == (60, 3, 160, 160) and given.train.shape == (12, 3, 160, 160)
        bright = given.test.mean((1, 2, 3)) > 0
        assert (bright.long() == given.truth).all()  # classes by the order of their names


def test_weights_under_other_names_are_taken_by_their_order(nets, tmp_path):
    """As those of another implementation of the same network; another order or shape is refused as before."""
    state = torch.load(nets / "mobile.pth")["state_dict"]  # in the order of the modules
    theirs = {f"_{place}.{name.rpartition('.')[2]}": value for place, (name, value) in enumerate(state.items())}
    torch.save(theirs, tmp_path / "foreign.pth")
    network = networks.load_network("file:foreign.pth", tmp_path, TIMM)
    assert all(torch.equal(value, state[name]) for name, value in network.net.state_dict().items())
    torch.save(dict(reversed(theirs.items())), tmp_path / "turned.pth")
    with pytest.raises(AtlasError, match="cannot build 'test_efficientnet' with these weights"):
        networks.load_network("file:turned.pth", tmp_path, TIMM)


IDS = ("n01440764", "n02102040", "n02979186", "n03888257")  # outputs 0, 217, 482 and 701 of ImageNet-1k


@pytest.mark.parametrize(
    ("labels", "classes", "outputs"),
    [
        (IDS, 1000, (0, 217, 482, 701)),
        (IDS, 4, (0, 1, 2, 3)),  # a network for these four
        (("cat", "ant"), 2, (1, 0)),
        ((0, 217, 482, 701), 1000, (0, 217, 482, 701)),
        ((0, 1, 2), 3, (0, 1, 2)),
        ((0, 2), 3, (0, 2)),
        (tuple(range(1, 1000)), 1000, tuple(range(1, 1000))),
    ],
)
def test_classes_are_the_outputs_of_the_network(labels, classes, outputs):
    found = images.number_classes(set(labels), classes, Path("set"))
    assert tuple(found[label] for label in labels) == outputs


@pytest.mark.parametrize(
    ("labels", "classes", "message"),
    [
        (range(10), 1000, "set: labels up to 9, but the network knows 1000 classes, and nothing tells which"),
        ((0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11), 1000, "labels up to 11, but"),
        (range(1000), 1001, "labels up to 999, but the network knows 1001"),  # a first output for the background
        (
            ("cat", "dog"),
            1000,
            "2 classes, but the network knows 1000, and nothing tells which these are; name the fold",
        ),
        (("n01440764", "tench"), 1000, "2 classes, but the network knows 1000"),
        (("n01440764", "n99999999"), 1000, "n99999999 is none of the 1000 classes of the network; take it out"),
        (IDS, 3, "4 classes, but the network knows 3"),
        ((0, 3), 3, "class 3, but the network knows 3 from 0"),
        ((-1, 2), 3, "but the network knows 3 from 0"),
        ((0, None), 3, "labels must be whole numbers, or names"),
        ((0.0, 1.0), 2, "labels must be whole numbers, or names"),
    ],
)
def test_classes_of_another_network_are_refused_in_one_line(labels, classes, message):
    with pytest.raises(AtlasError, match=message) as fault:
        images.number_classes(set(labels), classes, Path("set"))
    assert "\n" not in str(fault.value)


def test_a_folder_of_some_classes_of_imagenet_has_their_labels(tmp_path):
    """And not those of its order, which are right for one image in ten."""
    import timm

    for number, name in enumerate(IDS[1:]):
        path = tmp_path / "val" / name / "a.png"
        path.parent.mkdir(parents=True)
        path.write_bytes(encode(np.full((16, 16, 3), number, np.uint8)))
    network = networks.Network(timm.create_model(TIMM), 1000, None, lambda image: torch.zeros(3, 1, 1) + image.size[0])
    assert sorted(networks.load_images(network, tmp_path, str(tmp_path), 0, 0, 0).truth.tolist()) == [217, 482, 701]


def test_zoo_networks_bring_their_images(nets, pictures):
    network = networks.load_network("file:tiny.safetensors", nets, None)
    given = networks.load_images(network, pictures, "", 0, 20, 0)
    with torch.no_grad():
        right = (network.net.eval()(given.test).argmax(1) == given.truth).float().mean()
    with networks.safe_open(nets / "tiny.safetensors", "pt") as file:
        assert 100 * right == pytest.approx(float(file.metadata()["top1"]), abs=0.01)  # read and normalised as trained


class Runs:
    def __reduce__(self):
        return print, ("code was run",)


@pytest.mark.parametrize(
    ("source", "architecture", "message"),
    [
        ("file:mobile.pth", None, "not of the zoo; name its timm architecture"),
        ("file:mobile.pth", "mobilenetv9", "timm .* cannot build 'mobilenetv9'"),
        ("file:mobile.safetensors", "test_efficientnet_ln", "cannot build 'test_efficientnet_ln' with these weights"),
        ("file:missing.pth", TIMM, "cannot read .*missing.pth: No such file"),
        ("file:evil.pth", TIMM, "evil.pth: would run code|evil.pth"),
        ("hf:someone/net:model.safetensors", TIMM, "a source hf: is not run for its accuracy"),
    ],
)
def test_networks_that_cannot_be_built_are_one_line(nets, capsys, source, architecture, message):
    torch.save({"state_dict": Runs()}, nets / "evil.pth")
    with pytest.raises(AtlasError, match=message) as fault:
        networks.load_network(source, nets, architecture)
    assert "\n" not in str(fault.value) and "code was run" not in capsys.readouterr().out


def test_images_that_do_not_fit_are_one_line(nets, pictures, tmp_path):
    network = networks.load_network("file:mobile.pth", nets, TIMM)
    pq.write_table(pa.table({"image": [encode(bright_and_dark(1)[0][0])], "label": [10]}), tmp_path / "eleven.parquet")
    pq.write_table(pa.table({"image": [b"no image"], "label": [1]}), tmp_path / "broken.parquet")
    pq.write_table(pa.table({"pixels": [b""]}), tmp_path / "columns.parquet")
    (tmp_path / "empty").mkdir()
    for where, message in [
        ("", "ablation: images: name a folder"),
        (tmp_path / "eleven.parquet", "class 10, but the network knows 2 from 0"),
        (tmp_path / "broken.parquet", "row 0: not an image"),
        (tmp_path / "columns.parquet", "needs the columns image"),
        (tmp_path / "none.parquet", "not a readable Parquet file or folder"),
        (tmp_path / "empty", "no folders of classes"),
    ]:
        with pytest.raises(AtlasError, match=message) as fault:
            networks.load_images(network, pictures, str(where), 0, 4, 0)
        assert "\n" not in str(fault.value)
    few = Images(torch.zeros(3, 3, 8, 8), torch.zeros(3, dtype=torch.int64), torch.zeros(0, 3, 8, 8))
    with pytest.raises(AtlasError, match="3 images for 4 draws"):
        ablation.set_up(network.net, {}, few, 100, 4, "cpu")


# --- A run


@pytest.fixture(scope="module")
def ablated(nets, pictures, tmp_path_factory) -> tuple[Path, str]:
    """A project with both networks after `snakemake ablation`, and what that printed."""
    project = copy_project(tmp_path_factory.mktemp("ablated") / "project")
    shutil.copytree(nets, project / "nets")
    rows = ["model source use architecture top1 recipe", "tiny file:nets/tiny.safetensors train zoonet_5x5 95 small"]
    rows += [f"mobile file:nets/mobile.pth train {TIMM} 40 "]
    (project / "sheet.tsv").write_text("\n".join(rows).replace(" ", "\t") + "\n")
    few = "{models: [tiny, mobile], images: %s, test_images: 20, part_images: 10, train_images: 2, draws: 10}"
    settings = few % (pictures / "cifar10_tiny.parquet")
    (project / "config.yaml").write_text(f"{SMALL}images: {pictures}\nablation: {settings}\n")
    return project, snakemake(project, "ablation").stdout


def test_a_run_makes_what_the_schemas_say(ablated):
    folder = ablated[0] / "results/ablation"
    schema = yaml.safe_load((ROOT / "schemas/tables.yaml").read_text())
    for pattern in [name for name in schema if name.startswith("ablation/")]:
        assert list((ablated[0] / "results").glob(pattern))
        for path in (ablated[0] / "results").glob(pattern):
            assert pd.read_csv(path).columns.tolist() == list(schema[pattern]["columns"]), path
    written = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    tables = {f"{kind}/{model}.csv" for kind in ("models", "cosines") for model in ("tiny", "mobile")}
    tables |= {"ablation.csv", "cosines.csv", "summary.csv"}
    assert written == tables | {"drop.svg", "drop.phone.svg", "drop.pdf", "drop.json"}
    table = pd.read_csv(folder / "ablation.csv")
    assert set(table["model"]) == {"tiny", "mobile"} and set(table["replacement"]) == set(NAMES) - {"master_key"}
    whole = table[table["size"].isna()].set_index(["model", "replacement"])
    assert whole.loc[("tiny", "zero"), "baseline_top1"] > 90
    assert (table["top1"] - table["baseline_top1"] - table["difference"]).abs().max() < 1e-3
    assert not (folder / "trials").exists()
    assert set(table["recipe"].dropna()) == {"small"} and set(pd.read_csv(folder / "cosines.csv")["recipe"].dropna())
    assert str(ablated[0]) not in (folder / "drop.svg").read_text()


def test_a_top1_far_from_the_sheets_is_said_everywhere(ablated):
    """Dark from light is easy: `tiny` is as good as stated, `mobile` better."""
    folder, terminal = ablated[0] / "results/ablation", ablated[1]
    (said,) = set(re.findall(r"^Before any replacement.*$", terminal, re.M))
    assert "mobile" in said and "tiny" not in said and "the sheet states 40.0 %" in said
    assert said in (folder / "drop.json").read_text()
    apart = pd.read_csv(folder / "ablation.csv").groupby("model")["apart"].first()
    assert apart["tiny"] == 0 and apart["mobile"] > 10
    assert pd.read_csv(folder / "summary.csv").query("models == 2")["apart"].eq(1).all()


@pytest.mark.parametrize(
    ("images", "measured"), [("", {"tiny"}), ("pictures.parquet", {"tiny", "small"})], ids=["zoo", "photographs"]
)
def test_by_default_the_zoo_and_the_smallest_other_network(ablated, tmp_path, images, measured):
    project = Path(shutil.copytree(ablated[0], tmp_path / "project"))
    rows = ["model source use architecture top1 params", "tiny file:nets/tiny.safetensors train zoonet_5x5 95 9"]
    rows += [f"{name} file:nets/mobile.pth {use} {TIMM} {top1} {params}" for name, use, top1, params in OTHERS]
    (project / "sheet.tsv").write_text("\n".join(rows).replace(" ", "\t") + "\n")
    (project / "config.yaml").write_text(f"{SMALL}ablation: {{images: '{images}'}}\n")
    plan = snakemake(project, "-n", "ablation").stdout
    assert set(re.findall(r"Replacing kernels of (\w+)", plan)) == measured


OTHERS = [
    ("large", "train", 80, 2000),
    ("small", "train", 70, 1000),
    ("extra", "assign", 60, 10),
    ("text", "train", "", 5),
]


def test_it_is_no_part_of_the_main_job_and_repeats(ablated, tmp_path):
    project = Path(shutil.copytree(ablated[0], tmp_path / "project"))
    jobs = snakemake(project, "-n").stdout
    assert "ablate_model" not in jobs
    before = (project / "results/ablation/models/tiny.csv").read_bytes()
    shutil.rmtree(project / "results/ablation")
    snakemake(project, "results/ablation/models/tiny.csv")
    assert (project / "results/ablation/models/tiny.csv").read_bytes() == before


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        (
            "models: [tiny, mobile]",
            "models: [small]",
            "error: configuration: ablation: models: small is not in sheet.tsv",
        ),
        ("part_images: 10", "part_images: 8", "error: ablation: 8 images for 10 draws"),
        ("draws: 10", "draws: 4", "error: configuration: ablation.draws: 4 is less than the minimum of 10"),
        ("cifar10_tiny.parquet", "gone.parquet", "gone.parquet: not a readable Parquet file or folder"),
    ],
)
def test_mistakes_are_one_line(ablated, tmp_path, old, new, line):
    project = Path(shutil.copytree(ablated[0], tmp_path / "project"))
    config = (project / "config.yaml").read_text()
    (project / "config.yaml").write_text(config.replace(old, new))
    wrong = snakemake(project, "ablation", "--rerun-triggers", "params", check=False)
    assert wrong.returncode != 0
    assert [text for text in wrong.stdout.splitlines() if text.startswith("error:") and line in text], wrong.stdout


def test_results_of_other_weights_are_refused(ablated, nets):
    project = ablated[0]
    other = zoo.new_net(SIDE, 2, 1)
    files = project / "results/kernels/tiny", project / "results/assignments/tiny.parquet"
    with pytest.raises(AtlasError, match="results are of other weights"):
        ablation.find_kernels(*files, other)
    net = networks.load_network("file:tiny.safetensors", nets, None).net
    convolutions, kernels, taps = ablation.find_kernels(*files, net)
    assert len(convolutions) == sum(zoo.DEPTHS) and len(kernels) == len(taps)
    row = kernels.iloc[-1]
    expected = convolutions[row["layer"]].weight[row["channel"]].detach().numpy().ravel()
    assert (taps[-1] == expected).all()


# --- Figure and findings


def make_table(models: int) -> pd.DataFrame:
    """A table as `ablate` writes it, of random numbers."""
    random = np.random.default_rng(0)
    labels = ["Off-Second-Derivative-NW-SE", "First-Derivative-N", "clustered", "with a pattern", "other"]
    keys = [
        (f"net{n}", name, size, label)
        for n in range(models)
        for size in ("7x7", "3x3")
        for label in ["", *labels]
        for name in (LABELLED if label else NAMES)
        if (name, size) != ("master_key", "3x3")
    ]
    table = pd.DataFrame(keys, columns=["model", "replacement", "size", "label"]).assign(layer_index=np.nan, kernels=40)
    layers = [
        (f"net{n}", name, "7x7" if layer < 3 else "3x3", "", layer, 20)
        for n in range(models)
        for layer in range(8)
        for name in LABELLED
    ]
    table = pd.concat([table, pd.DataFrame(layers, columns=table.columns)], ignore_index=True)
    table["cosine"] = random.uniform(0, 1, len(table))
    table.loc[table["replacement"] == "opposite", "cosine"] = -1
    table.loc[table["replacement"] == "zero", "cosine"] = np.nan
    for end in ("", "_reestimated"):
        for name in ("difference", *CONTROLS):
            table[f"{name}{end}"] = random.uniform(-60, 1, len(table))
        for kind in CONTROLS:
            table.loc[table["replacement"].isin(UNCONTROLLED), f"{kind}{end}"] = np.nan
            table[f"beyond_{kind}{end}"] = table[f"difference{end}"] - table[f"{kind}{end}"]
    return table.assign(recipe=None, baseline_top1=70.0, images=500, stated_top1=75.0, apart=0.0)


def make_cosines(models: int) -> pd.DataFrame:
    keys = [
        (f"net{n}", size, direction, cosine)
        for n in range(models)
        for size in ("7x7", "3x3")
        for direction in DIRECTIONS
        for cosine in COSINES
    ]
    table = pd.DataFrame(keys, columns=["model", "size", "direction", "cosine"]).assign(recipe=None)
    random = np.random.default_rng(1)
    return table.assign(difference=-50 * (1 - table["cosine"]) * random.uniform(0.5, 1, len(table)))


@pytest.mark.parametrize(
    ("measured", "count", "stated", "apart"),
    [
        (70.4, 500, 75.1, 0.8),  # the interval is 66.2 to 74.2
        (70.4, 500, 70.0, 0.0),
        (8.4, 500, 75.1, 63.9),  # labels of another order: 42 of 500
        (97.8, 500, 75.1, 21.0),
        (0.0, 20, 75.1, 59.0),  # few images have a wide interval
        (70.4, 500, None, np.nan),
    ],
)
def test_a_top1_far_from_the_stated_one_is_said(measured, count, stated, apart):
    rows = pd.DataFrame({"model": "net", "baseline_top1": [measured, 50.0], "images": [count, 8]})
    table = compare_top1(rows, stated)
    assert table["apart"].to_numpy() == pytest.approx([apart] * 2, abs=0.15, nan_ok=True)
    said = tell_apart(table)
    assert (said is not None) == (apart > 10)
    if said:
        assert f"net {measured:.1f} % (on {count} images; the sheet states 75.1 %)" in said
    made = make_table(3)
    made.loc[made["model"] == "net1", "apart"] = apart
    sentence = "Before any replacement, the top-1 accuracy of 1 of 3 networks is more than 10 points"
    assert find_ablation(summarise_ablation(made, 0))[0].startswith(sentence) == (apart > 10)


def test_single_layers_are_summed_up_by_depth():
    table = make_table(6)
    summary = summarise_ablation(table, 0)
    layers = summary[summary["label"].str.startswith("layer, ")]
    found = layers[layers["replacement"] == "pattern"].set_index(["size", "label"])
    assert [label for size, label in found.index if size == "7x7"] == ["layer, 1st fifth", "layer, 2nd fifth"]
    ends = [f"layer, {place} fifth" for place in ("3rd", "4th", "5th")]
    assert [label for size, label in found.index if size == "3x3"] == ends
    first = table[(table["layer_index"] < 2) & (table["replacement"] == "pattern")]
    row = found.loc[("7x7", "layer, 1st fifth")]
    assert row["models"] == 6 == row["networks"] and row["kernels"] == 12 * 20
    assert row["difference"] == pytest.approx(first["difference"].mean())
    assert row["beyond_random"] == pytest.approx(row["difference"] - row["random"])


def test_seeds_of_one_recipe_are_one_network():
    table, cosines = make_table(7), make_cosines(7)
    for some in (table, cosines):
        some.loc[some["model"].isin(["net0", "net1", "net2"]), "recipe"] = "seeds"
    summary, curves = summarise_ablation(table, 0), summarise_cosines(cosines, 0)
    row = summary[(summary["size"] == "7x7") & (summary["label"] == "all")].set_index("replacement").loc["pattern"]
    own = table[(table["size"] == "7x7") & (table["label"] == "") & table["layer_index"].isna()]
    own = own[own["replacement"] == "pattern"].set_index("model")
    for name in ("difference", "beyond_random", "beyond_scrambled_reestimated", "cosine"):
        expected = np.mean([own[name].iloc[:3].mean(), *own[name].iloc[3:]])
        assert row[name] == pytest.approx(expected), name
    assert (row["models"], row["networks"], row["kernels"]) == (7, 5, 280) and np.isfinite(row["beyond_random_low"])
    assert curves["networks"].eq(5).all() and curves["low"].notna().all()
    point = cosines[(cosines[["size", "direction", "cosine"]] == ["7x7", "fit", 0.5]).all(axis=1)]
    expected = np.mean([point["difference"].iloc[:3].mean(), *point["difference"].iloc[3:]])
    assert curves.set_index(["size", "direction", "cosine"]).loc[("7x7", "fit", 0.5), "difference"] == pytest.approx(
        expected
    )
    # one network less than an interval takes
    table.loc[table["model"] == "net3", "recipe"] = "seeds"
    fewer = summarise_ablation(table, 0)
    assert fewer["networks"].eq(4).all() and fewer["models"].eq(7).all() and fewer["beyond_random_low"].isna().all()


@pytest.mark.parametrize("models", [1, 6])
def test_numbers_of_the_findings_are_cells(models):
    summary = summarise_ablation(make_table(models), 0)
    there = summary.select_dtypes("number").to_numpy().ravel()
    said = find_ablation(summary)
    assert 3 <= len(said) <= 5
    for sentence in said:
        assert numbers_missing(sentence, there[np.isfinite(there)]) == [], sentence
    assert ("sizes with fewer than five networks have no interval" in "".join(said)) == (models < 5)


def test_what_is_said_of_a_replacement_stands_on_both_controls():
    table = make_table(6)
    whole = (table["label"] == "") & table["layer_index"].isna() & (table["size"] == "7x7")
    spread = table["model"].str.removeprefix("net").astype(int) / 10
    for name, random, scrambled in [("fit", 5, 5), ("pattern", -5, -5), ("prototype", 5, -5), ("turned", 5, -0.25)]:
        rows = whole & (table["replacement"] == name)
        table.loc[rows, "beyond_random"], table.loc[rows, "beyond_scrambled"] = random + spread, scrambled + spread
    summary = summarise_ablation(table, 0)
    judged, *_ = find_ablation(summary[summary["size"] == "7x7"])
    less, more, neither = re.fullmatch(
        r".* less is lost than in both controls with (.*); more is lost .* with (.*); not told from .*: (.*)\.", judged
    ).groups()
    assert "its fitted formula (7x7)" in less and "its pattern (7x7)" in more
    assert "its prototype (7x7)" in neither and "its quarter turn (7x7)" in neither
    assert "its opposite" not in judged


@pytest.mark.parametrize("models", [1, 6])
def test_words_stay_inside_and_apart(models):
    table = make_table(models)
    with atlas_style():
        drawing = draw_ablation(table, summarise_ablation(table, 0), "What kernels are for", make_cosines(models))
    check_words(drawing, apart=1)
