"""Which tensors of a state dict are kernels, and how they are rebuilt: right values for what checkpoints hold."""

import warnings

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn.utils import parametrize, prune

import kernel_atlas
from kernel_atlas.core.errors import AtlasError
from kernel_atlas.io.checkpoint import Form, is_dense, is_depthwise
from kernel_atlas.io.sources import Wanted, read_layers
from kernel_atlas.io.state_dict import choose_by_shape
from kernel_atlas.io.timm_layers import find_layers

DW = torch.randn(8, 1, 3, 3, generator=torch.Generator().manual_seed(0))
BLOCK = {"blocks.0.conv_dw.weight": DW, "blocks.0.conv_pw.weight": torch.ones(8, 8, 1, 1)}
AVERAGE = {name: 0.9 * tensor for name, tensor in BLOCK.items()}
FORMATS = ["pth", "safetensors"]


def read(folder, state, ending="pth", convolution="depthwise", **wanted):
    """Layer -> weight, and the reasons for layers not read, of a state dict written to a file."""
    path = folder / f"net.{ending}"
    (torch.save if ending == "pth" else save_file)(state, path)
    checkpoint = read_layers(f"file:{path}", Wanted(folder, convolution, **wanted))
    return {layer.name: torch.from_numpy(layer.weight.copy()) for layer in checkpoint.layers}, checkpoint.not_read


def prefixed(prefix, state):
    return {prefix + name: tensor for name, tensor in state.items()}


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize(
    "copies",
    [
        BLOCK | {"ema_" + name.replace(".", "_"): tensor for name, tensor in AVERAGE.items()},  # mmcv's EMAHook
        prefixed("online_model.", BLOCK) | prefixed("ema_model.", AVERAGE),  # ema-pytorch
        prefixed("model.", BLOCK) | {f"model_ema.{name.replace('.', '')}": t for name, t in AVERAGE.items()},  # LitEma
        prefixed("student.", BLOCK) | prefixed("teacher.", AVERAGE),
        prefixed("net.backbone.", BLOCK) | prefixed("net.backbone_ema.", AVERAGE),
    ],
)
def test_the_average_of_two_copies_is_read(tmp_path, copies, ending):
    layers, not_read = read(tmp_path, copies, ending)
    assert [torch.equal(weight, 0.9 * DW) for weight in layers.values()] == [True]
    assert "average" in next(iter(not_read)) and len(next(iter(not_read.values()))) == 1


def test_a_momentum_encoder_is_passed_over(tmp_path):
    state = prefixed("encoder_q.", BLOCK) | prefixed("encoder_k.", AVERAGE) | {"queue": torch.ones(128, 64)}
    layers, not_read = read(tmp_path, state)
    assert list(layers) == ["encoder_q.blocks.0.conv_dw.weight"] and "follower 'encoder_k'" in next(iter(not_read))


def test_copies_of_unknown_roles_are_refused_by_name(tmp_path):
    state = prefixed("left.", BLOCK) | prefixed("right.", AVERAGE)
    with pytest.raises(AtlasError, match=r"under 'left\.' and 'right\.': two copies"):
        read(tmp_path, state)
    layers, _ = read(tmp_path, state, leave_out=("right.*",))
    assert list(layers) == ["left.blocks.0.conv_dw.weight"]


def test_blocks_and_attention_called_ema_are_no_copies(tmp_path):
    state = prefixed("stage1.", BLOCK) | prefixed("stage2.", AVERAGE) | {"stage1.ema.dw.weight": 2 * DW}
    assert len(read(tmp_path, state)[0]) == 3


@pytest.mark.parametrize("ending", FORMATS)
def test_wrappers_are_stripped_and_moments_passed_over(tmp_path, ending):
    state = {"_orig_mod.module.dw.weight": DW, "_orig_mod.module.pw.weight": torch.ones(8, 8, 1, 1)}
    moments = {"optimizer.state.dw.weight.exp_avg": 2 * DW, "dw.weight.exp_avg_sq": 3 * DW}
    layers, not_read = read(tmp_path, state | moments, ending)
    assert list(layers) == ["dw.weight"] and not not_read


def test_a_shared_module_is_one_layer(tmp_path):
    state = {"levels.0.dw.weight": DW, "levels.1.dw.weight": DW, "levels.2.dw.weight": DW.clone()}
    assert list(read(tmp_path, state)[0]) == ["levels.0.dw.weight", "levels.2.dw.weight"]


# The stored tensor is not the weight


def conv(seed: int = 0) -> torch.nn.Conv2d:
    torch.manual_seed(seed)
    return torch.nn.Conv2d(8, 8, 3, groups=8, bias=False)


def old_weight_norm(layer):
    with warnings.catch_warnings(action="ignore"):
        return torch.nn.utils.weight_norm(layer)


def trained(layer):
    """A layer whose singular vectors are those of its weight, as after some steps."""
    for _ in range(50):
        layer(torch.randn(1, 8, 5, 5))
    return layer.eval()


PARAMETRISED = {
    "pruned": lambda: prune.l1_unstructured(conv(), "weight", amount=0.5),
    "weight_norm of old": lambda: old_weight_norm(conv()),
    "weight_norm": lambda: torch.nn.utils.parametrizations.weight_norm(conv()),
    "spectral_norm of old": lambda: trained(torch.nn.utils.spectral_norm(conv())),
    "spectral_norm": lambda: trained(torch.nn.utils.parametrizations.spectral_norm(conv())),
}


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize("name", PARAMETRISED)
def test_a_parametrised_weight_is_rebuilt(tmp_path, name, ending):
    layer = PARAMETRISED[name]()
    with torch.no_grad():
        for part in layer.parameters():
            part *= 1.5  # so that a norm is not that of the start
        layer(torch.randn(1, 8, 5, 5))
    state = {f"dw.{key}": tensor.contiguous() for key, tensor in layer.state_dict().items()}
    layers, not_read = read(tmp_path, state, ending)
    assert list(layers) == ["dw.weight"] and not not_read
    torch.testing.assert_close(layers["dw.weight"], layer.weight.detach())


def test_an_unknown_parametrisation_is_refused_by_name(tmp_path):
    class Square(torch.nn.Module):
        def forward(self, weight):
            return weight**2

    layer = conv()
    parametrize.register_parametrization(layer, "weight", Square())
    state = {f"dw.{key}": tensor for key, tensor in layer.state_dict().items()} | {"b.dw.weight": DW}
    with pytest.raises(AtlasError, match=r"weight of 'dw' is computed from dw\.parametrizations\.weight\.original"):
        read(tmp_path, state)
    assert list(read(tmp_path, state, leave_out=("dw.*",))[0]) == ["b.dw.weight"]


# Shape is not the operation


@pytest.mark.parametrize("ending", FORMATS)
def test_fixed_filters_and_tables_are_not_read(tmp_path, ending):
    row = torch.tensor([1.0, 2, 1])
    edge = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    state = {
        "dw.weight": DW,
        "blur.filt": (row[:, None] * row).repeat(64, 1, 1, 1),
        "blur2.weight": (row[:, None] * row).repeat(64, 1, 1, 1),
        "sobel.weight": torch.stack([edge, edge.T]).repeat(4, 1, 1)[:, None],
        "tpos_enc": torch.randn(7, 1, 1, 64),
    }
    layers, not_read = read(tmp_path, state, ending)
    assert list(layers) == ["dw.weight"]
    assert not_read == {
        "a table or a buffer, by its name": ["blur.filt", "tpos_enc"],
        "a fixed filter, as its kernels are equal": ["blur2.weight", "sobel.weight"],
    }


def test_a_convolution_of_one_channel_is_dense(tmp_path):
    gray = {"conv1.weight": torch.randn(64, 1, 7, 7), "conv1.bias": torch.ones(64)}
    gray |= {"layer1.0.conv1.weight": torch.randn(64, 64, 3, 3)}
    assert list(read(tmp_path, gray, convolution="dense")[0]) == ["conv1.weight", "layer1.0.conv1.weight"]
    with pytest.raises(AtlasError, match=r"not read \(convolution of a one-channel input: conv1\.weight\)"):
        read(tmp_path, gray)


# Weights of known networks for one channel. Only MobileNet has depthwise layers.
ONE_CHANNEL = {
    "LeNet": {"conv1": (6, 1, 5, 5), "conv2": (16, 6, 5, 5), "fc1": (120, 400)},
    "a sequence for MNIST": {"0": (32, 1, 3, 3), "3": (64, 32, 3, 3), "7": (10, 3136)},
    "VGG": {"features.0": (64, 1, 3, 3), "features.2": (64, 64, 3, 3), "features.5": (128, 64, 3, 3)},
    "U-Net": {"inc.conv.0": (64, 1, 3, 3), "inc.conv.3": (64, 64, 3, 3), "up.conv.0": (64, 192, 3, 3)},
    "DnCNN": {"dncnn.0": (64, 1, 3, 3), "dncnn.2": (64, 64, 3, 3), "dncnn.5": (1, 64, 3, 3)},
    "PANNs": {"conv_block1.conv1": (64, 1, 3, 3), "conv_block1.conv2": (64, 64, 3, 3), "fc1": (2048, 2048)},
    "HiFi-GAN": {"d.0.convs.0": (32, 1, 5, 1), "d.0.convs.1": (64, 32, 5, 1), "d.1.convs.0": (32, 1, 5, 1)},
    "AST": {"v.patch_embed.proj": (768, 1, 16, 16), "v.blocks.0.attn.proj": (768, 768)},
    "Conformer": {"embed.conv.0": (256, 1, 3, 3), "embed.conv.2": (256, 256, 3, 3), "embed.out.0": (256, 4864)},
    "SAM": {"patch_embed.proj": (768, 3, 16, 16), "mask.0": (4, 1, 2, 2), "mask.3": (16, 4, 2, 2)},
    "MobileNet": {
        "stem": (32, 1, 3, 3),
        "b.0.dw": (32, 1, 3, 3),
        "b.0.pw": (64, 32, 1, 1),
        "b.1.dw": (64, 1, 3, 3),
        "b.1.pw": (128, 64, 1, 1),
    },
}


@pytest.mark.parametrize("order", [list, sorted])
@pytest.mark.parametrize("name", ONE_CHANNEL)
def test_networks_of_one_channel(name, order):
    forms = {f"{layer}.weight": Form(shape) for layer, shape in order(ONE_CHANNEL[name].items())}
    found = {weight.name for weight in choose_by_shape(is_depthwise)(forms).weights}
    assert found == ({"b.0.dw.weight", "b.1.dw.weight"} if name == "MobileNet" else set())


def test_transposed_convolutions_are_known_by_their_bias_or_name(tmp_path):
    up = torch.nn.ConvTranspose2d(16, 8, 3)
    state = {f"decoder.0.up.{name}": tensor for name, tensor in up.state_dict().items()}
    state |= {"decoder.0.dw.weight": DW, "encoder.0.dw.weight": 2 * DW, "deconv1.weight": 3 * DW}
    layers, not_read = read(tmp_path, state)
    assert list(layers) == ["encoder.0.dw.weight"]
    assert not_read == {"transposed convolution": ["decoder.0.dw.weight", "deconv1.weight"]}


def test_channels_last_and_other_dimensions(tmp_path):
    mlx = {"dwconv.weight": DW.movedim(1, 3).contiguous(), "stem.weight": torch.ones(8, 4, 4, 3)}
    flax = {"dw/kernel": DW.permute(2, 3, 1, 0).contiguous(), "stem/kernel": torch.ones(4, 4, 3, 8)}
    keras = {"dw.depthwise_kernel": DW.permute(2, 3, 0, 1).contiguous(), "stem.kernel": torch.ones(4, 4, 3, 8)}
    for state in (mlx, flax, keras):
        (weight,) = read(tmp_path, state, "safetensors")[0].values()
        assert torch.equal(weight, DW)
    other = {"cpe.weight": DW, "mixer.conv1d.weight": torch.ones(512, 1, 4), "x3d.weight": torch.ones(8, 1, 3, 3, 3)}
    layers, not_read = read(tmp_path, other)
    assert list(layers) == ["cpe.weight"]
    assert list(not_read.values()) == [["mixer.conv1d.weight"], ["x3d.weight"]]


def test_position_tables_and_groups_are_not_dense(tmp_path):
    state = {"pos_embed": torch.ones(1, 112, 7, 7), "stem.weight": torch.randn(64, 3, 7, 7)}
    state |= {"rel_bias": torch.ones(1, 8, 49, 49), "layer1.grouped.weight": torch.randn(256, 8, 3, 3)}
    assert list(read(tmp_path, state, convolution="dense")[0]) == ["stem.weight"]


def test_a_stated_architecture_decides(tmp_path):
    import timm

    network = timm.create_model("mobilenetv3_small_050")
    state = network.state_dict() | {"extra.dw.weight": DW}
    torch.save(state, tmp_path / "net.pth")
    wanted = Wanted(tmp_path, architecture="mobilenetv3_small_050", leave_out=("blocks.0.*",))
    layers = list(read_layers("file:net.pth", wanted).layers)
    known = {known.name: known for known, _ in find_layers(network, is_depthwise)}
    assert [layer.name for layer in layers] == [name for name in known if not name.startswith("blocks.0.")]
    assert {layer.judged_by for layer in layers} == {"architecture"}
    assert [layer.stride for layer in layers] == [known[layer.name].stride for layer in layers]
    foreign = {f"{place}.{name.rpartition('.')[2]}": value for place, (name, value) in enumerate(state.items())}
    foreign.popitem()  # the extra layer
    torch.save(foreign, tmp_path / "foreign.pth")
    again = list(read_layers("file:foreign.pth", wanted).layers)
    assert [(layer.name, layer.stride) for layer in again] == [(layer.name, layer.stride) for layer in layers]
    assert all(np.array_equal(one.weight, other.weight) for one, other in zip(again, layers, strict=True))
    by_shape = list(read_layers("file:net.pth", Wanted(tmp_path)).layers)
    assert "extra.dw.weight" in [layer.name for layer in by_shape] and by_shape[0].judged_by == "shape"


@pytest.mark.parametrize("channels", [3, 1])
@pytest.mark.parametrize("order", ["as defined", "sorted"])
@pytest.mark.parametrize(
    "name",
    ["mobilenetv3_small_050", "convnext_atto", "resnet18", "ghostnet_050", "resnext26ts", "xcit_nano_12_p16_224"],
)
def test_shapes_tell_what_timm_knows(name, order, channels):
    """Networks for images of three channels and of one, as they are defined and as safetensors sorts them."""
    import timm

    with torch.device("meta"):
        network = timm.create_model(name, in_chans=channels)
    forms = {key: Form(tuple(tensor.shape)) for key, tensor in network.state_dict().items()}
    forms = dict(sorted(forms.items())) if order == "sorted" else forms
    for rule in (is_depthwise, is_dense):
        found = {weight.name for weight in choose_by_shape(rule)(forms).weights}
        assert found == {layer.name for layer, _ in find_layers(network, rule)}


def test_what_is_not_read_is_said(tmp_path):
    torch.save({"a.dw.weight": (DW * 30).to(torch.int8), "b.dw.weight": DW}, tmp_path / "net.pth")
    with pytest.warns(
        UserWarning, match=r"1 layer looks depthwise and was not read \(int8 without a scale: a\.dw\.weight\)"
    ):
        kernels = kernel_atlas.extract(tmp_path / "net.pth")
    assert len(kernels) == 8 and np.array_equal(np.stack(kernels["weight"]), DW.reshape(8, 9).numpy())
