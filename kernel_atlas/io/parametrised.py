"""How a weight is made of the tensors of a state dict: of the parts of a parametrised one, and of another layout."""

import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.io.checkpoint import Form, Rule, Weight

_PARAMETRISED = re.compile(
    r"(?P<base>(?:.*\.)?)(?:parametrizations\.weight\.(?P<new>.+)|weight_(?P<old>orig|mask|[guv]))"
)
# Tensors that a weight is rebuilt from, in the order of the function in `MADE`.
_RECIPES = {
    ("orig", "mask"): "masked",
    ("g", "v"): "weight_norm",
    ("orig", "u", "v"): "spectral_norm",
    ("original0", "original1"): "weight_norm",
    ("original", "0._u", "0._v"): "spectral_norm",
    ("original", "0.mask"): "masked",
}


def _masked(weight: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """torch.nn.utils.prune."""
    return weight * mask


def _weight_norm(size: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """torch.nn.utils.weight_norm (Salimans & Kingma 2016): g v / |v|, normed over the axes on which g has one value."""
    axes = tuple(axis for axis, side in enumerate(size.shape) if side == 1) if size.ndim else None
    return direction * (size / np.sqrt(np.square(direction).sum(axis=axes, keepdims=True)))


def _spectral_norm(weight: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """torch.nn.utils.spectral_norm (Miyato et al. 2018), as in evaluation: W / (u W v)."""
    return weight / (left @ weight.reshape(len(weight), -1) @ right)


MADE: dict[str, Callable[..., np.ndarray]] = {
    "masked": _masked,
    "weight_norm": _weight_norm,
    "spectral_norm": _spectral_norm,
    "from OHWI": lambda weight: weight.transpose(0, 3, 1, 2),
    "from HWIO": lambda weight: weight.transpose(3, 2, 0, 1),
    # Keras keeps the kernels of a depthwise layer as [kh, kw, channels, multiplier].
    "from HWCM": lambda weight: weight.reshape(*weight.shape[:2], 1, -1).transpose(3, 2, 0, 1),
}


def make(weight: Weight, tensors: Sequence[np.ndarray]) -> np.ndarray:
    """A weight as float32 [O, I, kh, kw] from its tensors, computed in float64 where there is something to compute.

    Raises
    ------
    AtlasError
        The shapes of the tensors do not fit.
    """
    with np.errstate(all="ignore"):  # a float64 beyond float32 becomes Inf, and its kernel is dead
        if weight.made == "stored":
            return tensors[0].astype(np.float32, copy=False)
        try:
            made = MADE[weight.made](*(tensor.astype(np.float64) for tensor in tensors))
        except ValueError as error:
            raise AtlasError(f"damaged: {weight.name!r} cannot be made of {', '.join(weight.tensors)}") from error
        return np.ascontiguousarray(made, np.float32)


def rebuilt(stored: Mapping[str, tuple[str, Form]], rule: Rule) -> dict[str, tuple[Weight, Form]]:
    """Name -> weight and its form [O, I, kh, kw], of all tensors but the parts of parametrised weights.

    Raises
    ------
    AtlasError
        A weight that the rule accepts is computed in a way that is not in `_RECIPES`.
    """
    groups: dict[str, dict[str, str]] = {}
    for name in stored:
        match = _PARAMETRISED.fullmatch(name)
        if match:
            groups.setdefault(match["base"], {})[match["new"] or match["old"]] = name
    parametrised: dict[str, Weight | None] = {}  # main tensor -> the weight, others -> None
    for base, group in groups.items():
        recipe = next((recipe for recipe in _RECIPES if set(recipe) == set(group)), None)
        main = next((group[part] for part in ("orig", "original", "original1", "v") if part in group), None)
        if recipe:
            tensors = tuple(stored[group[part]][0] for part in recipe)
            parametrised |= dict.fromkeys(group.values())
            parametrised[main] = Weight(f"{base}weight", tensors, _RECIPES[recipe])
        elif main and set(group) != {"v"} and rule(stored[main][1]):
            raise AtlasError(
                f"the weight of {base.rstrip('.') or main!r} is computed from {', '.join(sorted(group.values()))} by a "
                "parametrisation that is not known here; remove it before saving, with "
                "torch.nn.utils.parametrize.remove_parametrizations, or name the layer in the sheet's leave_out"
            )
    layout = _layout({name: form.shape for name, (_, form) in stored.items() if len(form.shape) == 4})
    weights = {}
    for name, (origin, form) in stored.items():
        weight = parametrised.get(name, Weight(name, (origin,)))
        if weight and layout and len(form.shape) == 4:
            weight = weight._replace(made=layout(name))
            form = form._replace(shape=MADE[weight.made](np.broadcast_to(np.float32(0), form.shape)).shape)
        if weight:
            weights[weight.name] = (weight, form)
    return weights


def _layout(shapes: Mapping[str, tuple[int, ...]]) -> Callable[[str], str] | None:
    """Name -> how a weight of a file with channels last is brought to [O, I, kh, kw]; None for PyTorch's layout.

    Flax and Keras call a weight `kernel` and store [kh, kw, I, O]. MLX stores [O, kh, kw, I]: all its weights have two
    equal sides in the middle, which those of a network in PyTorch's layout have not.
    """
    if any(last_segment(name) == "kernel" for name in shapes):
        return lambda name: "from HWCM" if last_segment(name).startswith("depthwise") else "from HWIO"
    equal = all(shape[1] == shape[2] for shape in shapes.values())
    if equal and any(shape[2] != shape[3] and shape[2] > 1 for shape in shapes.values()):
        return lambda name: "from OHWI"
    return None


def last_segment(name: str) -> str:
    """The last segment of a name, in the writing of PyTorch or of Flax."""
    return re.split(r"[./]", name)[-1]
