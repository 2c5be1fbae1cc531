"""The embedded zoo's training code, on image sets made here."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import torch.nn.functional as F
from images import bright_and_dark, encode
from safetensors import safe_open
from safetensors.torch import load_file

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.training import zoo
from kernel_atlas.training.depthwise import _DepthwiseOnCPU


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A folder with CIFAR-10 in the hub's layout and a grey Chars74K with a column `split`, both tiny."""
    folder = tmp_path_factory.mktemp("images")
    (folder / "cifar10" / "plain_text").mkdir(parents=True)
    for split, number in (("train", 100), ("test", 40)):
        encoded, labels = bright_and_dark(number, (16, 16, 3))
        table = pa.table({"img": [{"bytes": data, "path": None} for data in encoded], "label": labels})
        pq.write_table(table, folder / "cifar10" / "plain_text" / f"{split}-00000-of-00001.parquet")
    encoded, labels = bright_and_dark(60, (16, 16))
    split = ["test" if i < 20 else "train" for i in range(60)]
    pq.write_table(pa.table({"image": encoded, "label": labels, "split": split}), folder / "chars74k_tiny.parquet")
    pq.write_table(pa.table({"other": [1]}), folder / "cifar100.parquet")
    return folder


@pytest.mark.parametrize("size", [3, 5, 7, 9])
@pytest.mark.parametrize("side", [8, 11])
def test_depthwise_gradients_equal_autograd(size, side):
    x = torch.randn(3, 16, side, side).to(memory_format=torch.channels_last).requires_grad_()
    weight = torch.randn(16, 1, size, size, requires_grad=True)
    grad = torch.randn(3, 16, side, side)
    fast = _DepthwiseOnCPU.apply(x, weight)
    plain = F.conv2d(x, weight, padding=size // 2, groups=16)
    torch.testing.assert_close(fast, plain)
    for got, expected in zip(
        torch.autograd.grad(fast, (x, weight), grad), torch.autograd.grad(plain, (x, weight), grad), strict=True
    ):
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)


def test_depthwise_gradient_of_a_batch_in_pieces():
    x = torch.randn(70, 32, 32, 32, dtype=torch.bfloat16).to(memory_format=torch.channels_last)
    weight = torch.randn(32, 1, 7, 7, dtype=torch.bfloat16, requires_grad=True)
    grad = torch.randn_like(x)
    (got,) = torch.autograd.grad(_DepthwiseOnCPU.apply(x, weight), weight, grad)
    exact = weight.detach().float().requires_grad_()
    (expected,) = torch.autograd.grad(F.conv2d(x.float(), exact, padding=3, groups=32), exact, grad.float())
    assert F.cosine_similarity(got.float().flatten(), expected.flatten(), 0) > 0.9999


@pytest.mark.parametrize("size", [3, 5, 7, 9])
def test_only_depthwise_weights_look_depthwise(size):
    state = zoo.new_net(size, 10, 0).state_dict()
    found = {name: tuple(w.shape) for name, w in state.items() if w.ndim == 4 and w.shape[1] == 1}
    assert len(found) == sum(zoo.DEPTHS) and all(name.endswith("depthwise.weight") for name in found)
    assert sum(shape[-1] == size for shape in found.values()) >= zoo.DEPTHS[0]


def test_reads_the_hubs_layout_and_a_split_column(images):
    hub = zoo.read_images(images, "cifar10")
    assert hub.train.shape == (100, 16, 16, 3) and hub.test.shape == (40, 16, 16, 3) and hub.classes == 2
    grey = zoo.read_images(images, "chars74k")
    assert grey.train.shape == (40, 16, 16, 3) and len(grey.test_labels) == 20
    assert torch.equal(grey.train[..., 0], grey.train[..., 2])


def test_batches_are_shifted_and_flipped_only_where_allowed():
    pixels = torch.arange(256, dtype=torch.uint8).view(1, 16, 16, 1).expand(64, 16, 16, 3).contiguous()
    for flip in (False, True):
        batches = zoo.Batches(pixels, torch.zeros(64, dtype=torch.int64), flip, 0)
        ((x, _),) = list(batches)
        assert x.shape == (64, 3, 16, 16) and x.is_contiguous(memory_format=torch.channels_last)
        middle = x[:, 0, 8]
        mirrored = (middle[:, 8] < middle[:, 7]).sum().item()
        assert 10 < mirrored < 54 if flip else mirrored == 0
        assert len(torch.unique(middle[:, 8])) > 5


def test_trains_writes_and_repeats(images, tmp_path, monkeypatch):
    monkeypatch.setattr(zoo, "BATCH", 5)
    lines = []
    row = zoo.train_net(images, "cifar10", 5, 3, 6, tmp_path / "a.safetensors", log=lines.append)
    assert row["top1"] > 90 and len(lines) == 7
    assert {"architecture", "dataset", "params", "seed", "epochs", "seconds", "device"} <= row.keys()
    with safe_open(tmp_path / "a.safetensors", "pt") as file:
        assert file.metadata()["dataset"] == "cifar10" and file.metadata()["seed"] == "3"
    zoo.train_net(images, "cifar10", 5, 3, 6, tmp_path / "b.safetensors", log=lines.append)
    first, second = load_file(tmp_path / "a.safetensors"), load_file(tmp_path / "b.safetensors")
    assert all(torch.equal(first[name], second[name]) for name in first)
    net = zoo.new_net(5, 2, 0)
    net.load_state_dict(first)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.safetensors", "b.safetensors"]


@pytest.mark.parametrize("cut_at", [2, 5])
def test_an_interrupted_training_goes_on_to_the_same_net(images, tmp_path, monkeypatch, cut_at):
    monkeypatch.setattr(zoo, "BATCH", 5)
    lines = []

    def cut(line: str) -> None:
        if f"epoch {cut_at} of" in line:
            raise KeyboardInterrupt

    zoo.train_net(images, "cifar10", 5, 3, 6, tmp_path / "a.safetensors", log=lines.append)
    with pytest.raises(KeyboardInterrupt):
        zoo.train_net(images, "cifar10", 5, 3, 6, tmp_path / "b.safetensors", log=cut)
    assert not (tmp_path / "b.safetensors").exists()
    lines.clear()
    zoo.train_net(images, "cifar10", 5, 3, 6, tmp_path / "b.safetensors", log=lines.append)
    assert f"epoch {cut_at} of 6" in lines[0]  # that of the cut is trained again, those before are not
    first, second = load_file(tmp_path / "a.safetensors"), load_file(tmp_path / "b.safetensors")
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.safetensors", "b.safetensors"]


def test_list_tells_trained_nets_from_controls(images, tmp_path):
    zoo.train_net(images, "chars74k", 3, 0, 1, tmp_path / "net.safetensors", log=lambda line: None)
    zoo.init_net(images, "chars74k", 3, 0, tmp_path / "net_init.safetensors")
    sheet = zoo.list_nets([tmp_path / "net.safetensors", tmp_path / "net_init.safetensors"])
    assert list(sheet.columns) == zoo.SHEET_COLUMNS and list(sheet["use"]) == ["train", "control"]
    assert list(sheet["source"]) == ["file:net.safetensors", "file:net_init.safetensors"]
    assert sheet["top1"].notna().tolist() == [True, False]


def test_init_is_where_training_starts(images, tmp_path):
    row = zoo.init_net(images, "chars74k", 7, 5, tmp_path / "init.safetensors")
    state = load_file(tmp_path / "init.safetensors")
    start = zoo.new_net(7, 2, 5).state_dict()
    assert "top1" not in row and all(torch.equal(start[name], state[name]) for name in start)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("imagenet", 7), "unknown data set"),
        (("fashion_mnist", 7), "no Parquet file of fashion_mnist"),
        (("cifar10", 4), "must be odd"),
    ],
)
def test_faults_are_one_line(images, tmp_path, arguments, message):
    with pytest.raises(AtlasError, match=message) as fault:
        zoo.train_net(images, *arguments, 0, 1, tmp_path / "net.safetensors", log=lambda line: None)
    assert "\n" not in str(fault.value) and not list(tmp_path.iterdir())


def test_bad_files_are_named(tmp_path):
    path = tmp_path / "cifar10_train.parquet"
    for table, message in [
        (pa.table({"pixels": [b""], "label": [0]}), "needs the columns"),
        (pa.table({"image": [b"no image"], "label": [0]}), "row 0: not an image"),
        (pa.table({"image": [encode(np.zeros((8, 8, 3), np.uint8))], "label": [0]}), "no test images"),
    ]:
        pq.write_table(table, path)
        with pytest.raises(AtlasError, match=message):
            zoo.read_images(tmp_path, "cifar10")
