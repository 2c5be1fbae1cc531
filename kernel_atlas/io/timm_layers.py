"""The depthwise weights of timm's networks, with stride, dilation, stage, branch and padding.

Importing timm takes 8 s. The layers of every pretrained tag are therefore in resources/timm_layers.parquet (written by
`snakemake timm_layers`). timm itself is asked for other tags and for untrained networks.
"""

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.core.files import data_file
from kernel_atlas.io.checkpoint import Form, Rule, Selection, Weight, is_depthwise

if TYPE_CHECKING:
    import torch

TABLE = data_file("resources/timm_layers.parquet")
_FUSES = ("reparameterize", "fuse", "switch_to_deploy")  # methods of blocks that become one convolution for inference

SCHEMA = pa.schema(
    {
        "model": pa.string(),
        "layer_index": pa.int16(),
        "layer": pa.string(),
        "channels": pa.int32(),
        "kh": pa.int16(),
        "kw": pa.int16(),
        "stride": pa.int16(),
        "dilation": pa.int16(),
        "stage": pa.int16(),
        "branch": pa.string(),
        "padding": pa.string(),
        "weights": pa.string(),
    }
)


class KnownLayer(NamedTuple):
    """A convolution of an architecture; the fields of `Layer` that a checkpoint alone does not tell."""

    name: str
    shape: tuple[int, ...]
    stride: int
    dilation: int
    stage: int | None
    branch: str | None
    padding: str | None

    def place(self) -> dict[str, object]:
        """What the architecture adds to a `Layer`."""
        return {name: getattr(self, name) for name in ("stride", "dilation", "stage", "branch", "padding")}


def known_layers(tag: str, rule: Rule) -> tuple[str, list[KnownLayer]]:
    """Where the weights of a pretrained timm network are, and its convolutions that a rule accepts.

    Parameters
    ----------
    tag : str
        NAME.TAG.
    rule : Rule
        `is_depthwise` is answered from the table where the tag is in it.

    Returns
    -------
    weights : str
        Hub repository, or an address outside the hub.
    layers : list of KnownLayer
        In the order of the network.

    Raises
    ------
    AtlasError
        There is no such tag.
    """
    rows = _rows(tag) if rule is is_depthwise and TABLE.exists() else []
    if rows:
        return rows[0]["weights"], [_known(row) for row in rows]
    import timm

    if tag not in timm.list_pretrained():
        near = difflib.get_close_matches(tag, timm.list_pretrained(), 3)
        advice = f"did you mean {' or '.join(near)}?" if near else "timm.list_pretrained() lists its names"
        raise AtlasError(f"timm {timm.__version__} has no pretrained {tag!r}; {advice}")
    return _weights(tag), [layer for layer, _ in find_layers(build_on_meta(tag), rule)]


def layers_of(architecture: str, rule: Rule) -> list[KnownLayer]:
    """The convolutions of an architecture that a rule accepts; none where timm does not know it.

    Of depthwise layers the table alone is asked, as timm takes 8 s to say that it does not know a name.
    """
    if rule is is_depthwise:
        return [_known(row) for row in _rows(architecture)] if TABLE.exists() else []
    import timm

    return [layer for layer, _ in find_layers(build_on_meta(architecture), rule)] if timm.is_model(architecture) else []


def _known(row: dict) -> KnownLayer:
    """A row of the table as a layer."""
    told = (row[name] for name in KnownLayer._fields[2:])
    return KnownLayer(row["layer"], (row["channels"], 1, row["kh"], row["kw"]), *told)


def _rows(name: str) -> list[dict]:
    """The rows of the table for one tag, which lie together; for an architecture, those of its first tag."""
    # Plain Python: the filters of pyarrow import pandas, which takes longer than reading a model.
    table = pq.ParquetFile(TABLE).read()
    models = table["model"].to_pylist()
    tag = name if "." in name else next((model for model in models if model.startswith(f"{name}.")), "")
    return table.slice(models.index(tag), models.count(tag)).to_pylist() if tag in models else []


def _weights(tag: str) -> str:
    """Hub repository of a pretrained tag, or the address that timm fetches it from."""
    import timm

    config = timm.get_pretrained_cfg(tag)
    return (tag if config.hf_hub_id == "timm/" else config.hf_hub_id) or config.url


def build_on_meta(name: str, **options: int) -> "torch.nn.Module":
    """A timm network without memory for its weights."""
    import timm
    import torch

    with torch.device("meta"):
        return timm.create_model(name, pretrained=False, **options)


def find_layers(network: "torch.nn.Module", rule: Rule) -> Iterator[tuple[KnownLayer, "torch.nn.Conv2d"]]:
    """The convolutions of a network that a rule accepts, in the order of its modules.

    Transposed convolutions are left out: their kernel draws the output instead of reading the input.
    """
    import torch

    stage_of = _stages(network)
    for path, module in network.named_modules():
        if isinstance(module, torch.nn.Conv2d) and rule(Form(tuple(module.weight.shape), module.groups)):
            shape, stride, dilation = tuple(module.weight.shape), max(module.stride), max(module.dilation)
            places = stage_of(path), _branch(network, path), _padding(module)
            yield KnownLayer(f"{path}.weight", shape, stride, dilation, *places), module


def _padding(module: "torch.nn.Conv2d") -> str:
    """`same`, `valid`, or the rows and columns added at top, left, bottom and right, as for graphs."""
    if type(module).__name__.startswith("Conv2dSame"):  # timm's pads as TensorFlow does, whatever its attribute says
        return "same"
    if isinstance(module.padding, str):
        return module.padding
    return " ".join(map(str, [*module.padding] * 2)) if any(module.padding) else "valid"


def _stages(network: "torch.nn.Module") -> Callable[[str], int | None]:
    """A function from a module's path to its stage: the first of timm's feature levels that ends at or behind it.

    Levels of one resolution are one stage. None where timm lists no levels or several in one module, and behind the
    last.
    """
    paths = [path for path, _ in network.named_modules()]
    place = {path: index for index, path in enumerate(paths)}
    info = [(level["module"], level["reduction"]) for level in getattr(network, "feature_info", None) or []]
    reductions = list(dict.fromkeys(reduction for _, reduction in info))
    levels = []  # (place of the level's last module, its stage)
    for module, reduction in info if len(set(info)) == len({module for module, _ in info}) else []:
        inside = [place[path] for path in paths if f"{path}.".startswith(f"{module}.")]
        if inside:
            levels.append((max(inside), reductions.index(reduction)))

    def stage_of(path: str) -> int | None:
        return next((stage for end, stage in levels if place[path] <= end), None)

    return stage_of


def _branch(network: "torch.nn.Module", path: str) -> str | None:
    """The path of a convolution inside the nearest block that timm can re-parameterise, None if there is none.

    A block that folds one normalisation into one convolution does not count: it has no parallel branches.
    """
    import torch

    parts = path.split(".")
    for depth in range(len(parts) - 1, 0, -1):
        block = network.get_submodule(".".join(parts[:depth]))
        pair = [type(child) for child in block.children()]
        folds = len(pair) == 2 and issubclass(pair[0], torch.nn.Conv2d)
        if any(callable(getattr(block, name, None)) for name in _FUSES) and not folds:
            return ".".join(parts[depth:])
    return None


def choose_known(tag: str, layers: list[KnownLayer], forms: Mapping[str, Form]) -> Selection:
    """The choice of the layers of a network, in their order, under the names of timm.

    Foreign names go through the filter by which timm loads that family, on the meta device, without values.

    Parameters
    ----------
    tag : str
        NAME.TAG.
    layers : list of KnownLayer
        From `known_layers`.
    forms : mapping
        All weights of the checkpoint.

    Raises
    ------
    AtlasError
        A layer is not in the checkpoint, or timm would compute it from others.
    """
    if all(layer.name in forms and forms[layer.name].shape == layer.shape for layer in layers):
        return Selection([Weight(layer.name, (layer.name,)) for layer in layers], {}, "architecture")
    if not any(len(form.shape) == 2 or form.shape[1:2] > (1,) for form in forms.values()):
        raise AtlasError(f"kernels alone, under other names than those of timm's {tag}")
    origin = _loaded_from(tag, forms)
    missing = [layer.name for layer in layers if layer.name not in origin]
    if missing:
        raise AtlasError(
            f"not the weights of timm's {tag}: {len(missing)} of {len(layers)} layers are not in it, the first "
            f"{missing[0]!r}; name the file as hf:OWNER/REPO:FILE or file:PATH to read it by shapes alone"
        )
    return Selection([Weight(layer.name, (origin[layer.name],)) for layer in layers], {}, "architecture")


def choose_in_order(layers: list[KnownLayer], forms: Mapping[str, Form]) -> Selection | None:
    """The choice of a network's layers where names are foreign and the order of shapes is the same; else None.

    Another implementation of a network has its layers in the same order, under other names.
    """
    shapes = {layer.shape for layer in layers}
    names = [name for name, form in forms.items() if form.shape in shapes]
    if [forms[name].shape for name in names] != [layer.shape for layer in layers]:
        return None
    weights = [Weight(layer.name, (name,)) for layer, name in zip(layers, names, strict=True)]
    return Selection(weights, {}, "architecture")


def names_in_order(name: str, shapes: Mapping[str, tuple[int, ...]], **options: int) -> dict[str, str] | None:
    """Name in timm -> name in a checkpoint whose names are all others, by the order of its tensors.

    Another implementation of a network has its modules in the same order, under other names.

    Parameters
    ----------
    name : str
        Of timm's network.
    shapes : mapping
        Of all tensors of the checkpoint.
    **options
        Passed on to timm, such as `num_classes`.

    Returns
    -------
    dict or None
        None unless every tensor has the shape and the role, the last part of its name, of timm's at its place.
    """
    ours = {key: tuple(value.shape) for key, value in build_on_meta(name, **options).state_dict().items()}
    if not shapes.keys().isdisjoint(ours):
        return None
    lists = [[(key, shape) for key, shape in each.items() if "num_batches" not in key] for each in (ours, shapes)]
    told = [[(key.rpartition(".")[2], shape) for key, shape in each] for each in lists]
    return {new: old for (new, _), (old, _) in zip(*lists, strict=True)} if told[0] == told[1] else None


def _loaded_from(tag: str, forms: Mapping[str, Form]) -> dict[str, str]:
    """Parameter of a timm network -> the checkpoint's tensor that timm would copy into it unchanged."""
    import timm
    import torch

    values = {name: torch.empty(form.shape, device="meta") for name, form in forms.items()}
    names = {id(value): name for name, value in values.items()}
    copied = {}  # parameter -> tensor

    class Watch(torch.overrides.TorchFunctionMode):
        """Notes which tensor is copied into which: loading a state dict copies."""

        def __torch_function__(self, function, types, args=(), kwargs=None):
            if function is torch.Tensor.__deepcopy__ and id(args[0]) in names:
                return args[0]  # timm copies its configuration, and a copy would have another identity
            if function is torch.Tensor.copy_:
                copied[id(args[0])] = names.get(id(args[1]))
            return function(*args, **(kwargs or {}))

    with Watch(), torch.device("meta"):
        try:
            network = timm.create_model(tag, pretrained=True, pretrained_cfg_overlay={"state_dict": values})
        except Exception as error:  # a family's filter may meet anything in foreign names
            reason = " ".join(str(error).split())[:200]
            raise AtlasError(f"timm {timm.__version__} cannot load it as {tag} ({reason})") from error
    return {name: copied[id(value)] for name, value in network.named_parameters() if copied.get(id(value))}


def list_layers(tags: Iterable[str]) -> tuple[pa.Table, pa.Table]:
    """Every depthwise layer of pretrained networks of the installed timm, and layers that only look depthwise.

    Parameters
    ----------
    tags : iterable of str
        NAME.TAG of each.

    Returns
    -------
    layers : pyarrow.Table
        With the schema `SCHEMA`; timm's version in its metadata.
    left_out : pyarrow.Table
        architecture, what, layers, example: convolutions with one input a kernel that are not read, and why.
    """
    import timm

    rows, left_out, built = [], [], {}
    for tag in sorted(tags):
        architecture = tag.partition(".")[0]
        if architecture not in built:
            network = build_on_meta(architecture)
            built[architecture] = [layer for layer, _ in find_layers(network, is_depthwise)]
            left_out += _left_out(architecture, network)
        for index, layer in enumerate(built[architecture]):
            channels, _, kh, kw = layer.shape
            row = {"model": tag, "layer_index": index, "layer": layer.name, "channels": channels, "kh": kh, "kw": kw}
            rows.append(layer._asdict() | row | {"weights": _weights(tag)})
    table = pa.Table.from_pylist(rows, SCHEMA.with_metadata({"timm": timm.__version__}))
    return table, pa.Table.from_pylist(left_out)


def _left_out(architecture: str, network: "torch.nn.Module") -> list[dict[str, str | int]]:
    """The kinds of convolutions of one input a kernel that are not in the table, with how many there are."""
    import torch

    found: dict[str, list[str]] = {}
    for path, module in network.named_modules():
        groups, inputs = getattr(module, "groups", 1), getattr(module, "in_channels", 0)
        if type(groups) is int and groups > 1 and groups == inputs:
            if not isinstance(module, torch.nn.Conv2d):
                what = f"{type(module).__name__}: its weight is not one kernel for each channel"
            elif max(module.kernel_size) == 1:
                what = "1x1: one tap is no pattern"
            else:
                continue
            found.setdefault(what, []).append(path)
    return [
        {"architecture": architecture, "what": what, "layers": len(paths), "example": paths[0]}
        for what, paths in found.items()
    ]
