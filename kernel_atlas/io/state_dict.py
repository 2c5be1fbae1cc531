"""The kernels of a state dict: which of its tensors are convolution weights.

A state dict tells names and shapes alone. Every rule here rests on evidence in the file: its names, the shapes of
neighbouring tensors, the outputs that feed a layer. A graph or a known architecture needs none of these rules.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.io.checkpoint import Choice, Form, Rule, Selection, Weight, is_depthwise
from kernel_atlas.io.parametrised import last_segment, rebuilt

FEWEST = 8  # channels of the smallest of 6,704 real depthwise layers
IMAGE = 16  # most channels of an image, a spectrogram or a stack of frames
_SET = re.compile(r"(^|\.)(?:(?:module|_orig_mod)\.)+")  # wrappers of parallel and compiled networks
_MOMENT = re.compile(
    r"(^|[./_])(exp_avg(_sq)?|max_exp_avg(_sq)?|exp_inf|momentum_buffer|square_avg|grad_avg|acc_delta|optimi[sz]er\w*)"
    r"([./]|$)"
)
_TABLE = re.compile(
    r"(^|_)(t?pos|position\w*|embed\w*|enc|encoding|table|bias|tokens?|window|mask|anchors?|index|queue|buffer|filt"
    r"|running)(_|$)"
)
_TRANSPOSED = re.compile(
    r"(^|[./_])(de_?convs?\d*|conv_?transposed?\w*|transposed?_?conv\w*|conv_?trans|convt)([./_]|$)"
)
_PATCHES = re.compile(r"(^|[./])patch_?embed\w*[./](\d+[./])?(proj|projection|conv)([./]\d+)*[./]weight")
_DEPTHWISE = re.compile(r"dw|depth|sep|group", re.IGNORECASE)
_WITHIN = r"((model|net|network|backbone|cnn|patch_?embed)[./])*"
# Names of the first layer of a network, the plainest first.
_ENTRIES = [
    re.compile(rf"{_WITHIN}((patch|pixel)_?embed\w*|stem\w*|conv_?(in|first|stem))[./].*"),
    re.compile(rf"{_WITHIN}((base_layer|layer0|features|encoder)[./])?(0|conv_?[01](_1)?)[./].*"),
    re.compile(rf"{_WITHIN}((base_layer|layer0|features|encoder|layers|net)[./])?0[./].*"),
]
# Roles of copies, told by one segment of a name.
_AVERAGED = re.compile(
    r"ema|ema_model|model_ema|\w+_ema|ema_\w+|teacher\w*|\w+_teacher|swa_\w+|averaged?_\w+|avg_\w+|shadow\w*"
)
_FOLLOWER = re.compile(r"encoder_k|key_encoder|momentum_\w+|\w+_momentum|target_\w+|\w+_target")
_LEADER = re.compile(r"model|net|network|online\w*|student\w*|encoder_q|query_encoder|backbone|encoder|generator|g")


def choose_by_shape(rule: Rule, leave_out: Sequence[str] = ()) -> Choice:
    """The choice of every weight of a state dict that a rule accepts and that nothing speaks against.

    Parameters
    ----------
    rule : Rule
        `is_depthwise` or `is_dense`.
    leave_out : sequence of str
        Patterns of layer names, as in a shell (`decoder.*`), that are no kernels.

    Raises
    ------
    AtlasError
        On choosing: the file holds two copies of a network, or a weight that cannot be rebuilt.
    """

    def choose(forms: Mapping[str, Form]) -> Selection:
        if all(form.groups is not None for form in forms.values()):  # a graph tells
            names = [name for name, form in forms.items() if rule(form) and not matches(name, leave_out)]
            return Selection([Weight(name, (name,)) for name in names], {})
        stored = _cleaned(forms, leave_out)
        return _judged(rebuilt(stored, rule), {name: form.shape for name, (_, form) in stored.items()}, rule)

    return choose


def bare_name(name: str) -> str:
    """The name of a tensor without the wrappers of parallel and compiled networks."""
    return _SET.sub(r"\1", name)


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Whether the name of a layer fits one of the patterns of `leave_out`."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _cleaned(forms: Mapping[str, Form], leave_out: Sequence[str]) -> dict[str, tuple[str, Form]]:
    """Name without wrappers -> stored name and form, without optimizers, of what is not left out; one per storage."""
    names = {name: bare_name(name) for name in forms}
    if len(set(names.values())) < len(names):  # two tensors would get one name
        names = {name: name for name in forms}
    found, storages = {}, set()
    for stored, name in names.items():
        form = forms[stored]
        if _MOMENT.search(name) or matches(name, leave_out) or (form.storage and form.storage in storages):
            continue
        storages.add(form.storage)
        found[name] = (stored, form)
    return found


# What speaks against a weight of the right shape


def _judged(weights: Mapping[str, tuple[Weight, Form]], stored: Mapping[str, tuple[int, ...]], rule: Rule) -> Selection:
    """The weights that a rule accepts and nothing speaks against; the others by reason.

    Parameters
    ----------
    weights : mapping
        From `parametrised.rebuilt`.
    stored : mapping
        Name -> shape as it is stored, of all tensors.
    rule : Rule
        `is_depthwise` or `is_dense`.
    """
    known = {**stored, **{name: form.shape for name, (_, form) in weights.items()}}
    shapes = {name: form.shape for name, (_, form) in weights.items() if rule(form)}
    not_read: dict[str, list[str]] = {}

    def drop(reason: str, names: Sequence[str]) -> None:
        names = [name for name in names if shapes.pop(name, None)]
        if names:
            not_read.setdefault(reason, []).extend(names)

    drop("a table or a buffer, by its name", [name for name in shapes if _TABLE.search(last_segment(name))])
    renamed = {}
    for reason, names, average in _copies(shapes):
        drop(reason, names)
        renamed |= average
    _refuse_twins(known, shapes)
    if rule is is_depthwise:
        for sides, what in ((3, "Conv1d"), (5, "Conv3d")):
            other = [n for n, (_, form) in weights.items() if len(form.shape) == sides and _is_one_by_channel(n, form)]
            if other:
                not_read[f"{what}, of other dimensions"] = other
        last = [name for name, (weight, form) in weights.items() if "from" in weight.made and not rule(form)]
        last = [name for name in last if rule(Form(stored.get(name, ())))]
        if last:
            not_read["dense, as the file stores channels last"] = last
        transposed = _transposed(shapes, known)
        drop("transposed convolution", transposed)
        known |= {name: (known[name][1], known[name][0], *known[name][2:]) for name in transposed if known[name][1] > 1}
        drop("convolution of a one-channel input", _entries(shapes, known))
    else:
        drop("grouped convolution", _grouped(shapes, known))
        single = {name: form.shape for name, (_, form) in weights.items() if is_depthwise(form)}
        shapes |= dict.fromkeys(_entries(single, known))
    chosen = [weight for name, (weight, _) in weights.items() if name in shapes]
    return Selection([weight._replace(name=renamed.get(weight.name, weight.name)) for weight in chosen], not_read)


def _is_one_by_channel(name: str, form: Form) -> bool:
    """Whether a weight of one or three dimensions has one kernel for each channel: [C, 1, k] or [C, 1, kd, kh, kw]."""
    shape = form.shape
    return last_segment(name).startswith(("weight", "kernel")) and shape[0] > 1 == shape[1] and max(shape[2:]) > 1


def _copies(shapes: Mapping[str, tuple[int, ...]]) -> Iterator[tuple[str, list[str], dict[str, str]]]:
    """Weights that are in a state dict twice: reason, names to drop, and new names of those that stay.

    Averaged weights are those that were evaluated. A follower (a momentum encoder) is nobody's result. A copy has
    the names of its original but for one segment, or for the dots: `ema_blocks_0_weight`, `model_ema.blocks0weight`.
    """
    originals: dict[tuple[str, tuple[int, ...]], str] = {}
    copies: dict[tuple[str, bool], list[tuple[str, set[str]]]] = {}  # role's prefix, averaged -> names with their keys
    for name, shape in shapes.items():
        parts = name.split(".")
        place = next(
            (i for i, part in enumerate(parts) if _AVERAGED.fullmatch(part) or _FOLLOWER.fullmatch(part)), None
        )
        if place is None:
            bare = [part for i, part in enumerate(parts) if i or not _LEADER.fullmatch(part)]
            originals |= dict.fromkeys([(_squashed(parts), shape), (_squashed(bare), shape)], name)
            continue
        before, role, after = parts[:place], parts[place], parts[place + 1 :]
        rest = re.sub(r"(^|_)(ema|teacher|swa|averaged?|avg|shadow|key|momentum|target)(?=_|$)", "", role)
        keys = {_squashed([*before, *after]), _squashed([*before, rest, *after])}
        averaged = _AVERAGED.fullmatch(role) is not None
        group = ".".join([*before, role]) if after else "ema_"
        copies.setdefault((group, averaged), []).append((name, keys))
    for (role, averaged), members in copies.items():
        pairs = {
            name: next((originals[key, shapes[name]] for key in keys if (key, shapes[name]) in originals), None)
            for name, keys in members
        }
        if None in pairs.values():
            continue  # of another network, or of a layer that is called so
        if averaged:
            yield f"raw weights beside their average {role!r}", list(pairs.values()), pairs
        else:
            yield f"follower {role!r} beside its leader", list(pairs), {}


def _squashed(parts: Sequence[str]) -> str:
    return re.sub(r"[._]", "", "".join(parts))


def _refuse_twins(known: Mapping[str, tuple[int, ...]], layers: Mapping[str, tuple[int, ...]]) -> None:
    """Refuse a file that is mainly two sets of equal names and shapes under two prefixes, of which a layer is in each.

    Raises
    ------
    AtlasError
        As said; it names the prefixes.
    """
    split = {name: name.partition(".") for name, shape in known.items() if len(shape) > 1}
    while len({first for first, _, _ in split.values()}) == 1 and all(dot for _, dot, _ in split.values()):
        split = {name: rest.partition(".") for name, (_, _, rest) in split.items()}
    sets: dict[str, set[tuple[str, tuple[int, ...]]]] = {}
    for name, (first, _, rest) in split.items():
        sets.setdefault(first, set()).add((rest, known[name]))
    having = {split[name][0] for name in layers if name in split}
    same: dict[frozenset, list[str]] = {}
    for prefix in having:
        same.setdefault(frozenset(sets[prefix]), []).append(prefix)
    for members, prefixes in same.items():
        numbered = len({re.sub(r"\d+", "", prefix) for prefix in prefixes}) < len(prefixes)
        if len(prefixes) > 1 and not numbered and len(members) > 1 and len(members) * len(prefixes) >= 0.9 * len(split):
            first, second, *_ = sorted(prefixes)
            raise AtlasError(
                f"holds the same shapes under '{first}.' and '{second}.': two copies of one network; name one in the "
                f"sheet's leave_out, such as '{second}.*'"
            )


def _transposed(layers: Mapping[str, tuple[int, ...]], known: Mapping[str, tuple[int, ...]]) -> list[str]:
    """Transposed convolutions, by name or by a bias, and the layers in their blocks.

    A weight of torch.nn.ConvTranspose2d is [I, O / groups, kh, kw], so that its bias has as many values as the second
    side. Layers of a block are transposed alike.
    """
    proven: dict[str, set[bool]] = {}  # block, or layer -> whether its layers are transposed, where biases tell
    for name, shape in known.items():
        bias = known.get(f"{name.removesuffix('weight')}bias") if name.endswith("weight") else None
        if bias and len(shape) == 4 and shape[0] != shape[1] and bias in (shape[:1], shape[1:2]):
            proven.setdefault(name, set()).add(bias == shape[1:2])
            if name not in layers:
                proven.setdefault(_block(name), set()).add(bias == shape[1:2])
    found = {name for name, told in proven.items() if told == {True} and name in known}
    found |= {name for name in layers if proven.get(name, proven.get(_block(name))) == {True}}
    return [name for name in known if name in found or (len(known[name]) == 4 and _TRANSPOSED.search(name))]


def _block(name: str) -> str:
    """The path of the module that holds a layer."""
    return name.rpartition(".")[0].rpartition(".")[0]


def _entries(layers: Mapping[str, tuple[int, ...]], known: Mapping[str, tuple[int, ...]]) -> list[str]:
    """Layers [O, 1, kh, kw] that read a one-channel input: dense, though of the shape of a depthwise layer.

    Patch embeddings by their name; and layers of fewer channels than any real depthwise layer, which others read or, in
    a file of kernels alone, which is small beside others.
    A network whose convolutions all read what other layers make has its first layer among the candidates: by its
    name, or as nothing else makes its channels.
    """
    known = {name: shape for name, shape in known.items() if len(shape) > 1}
    others = {name: shape for name, shape in known.items() if shape[1] > 1}
    convolutions = {name: shape for name, shape in others.items() if len(shape) == 4}
    outputs = {shape[0] for shape in known.values()}
    inputs = set(range(2, IMAGE + 1))
    made = {shape[0] for name, shape in known.items() if name not in layers}
    read = {shape[1] for shape in convolutions.values()}
    largest = max((shape[0] for shape in layers.values()), default=0)
    found = [name for name in layers if _PATCHES.search(name)]
    for name, (channels, *_) in layers.items():
        other = channels in read if others else largest >= 32 * channels
        few = channels < FEWEST and channels not in made and other
        if few and name not in found:
            found.append(name)
    # Colour images have three channels, and so has the output of networks that make images.
    first = [name for name, shape in convolutions.items() if shape[1] == 3 or shape[1] in inputs - outputs]
    if not others or set(first) - set(_grouped(convolutions, known)):
        return found  # kernels alone, or another layer is the first
    rest = {name: shape for name, shape in layers.items() if name not in found}
    spatial = any(max(shape[2:]) > 1 for shape in convolutions.values())
    # A depthwise block alone, of a layer and of pointwise ones that read it, is no network that lacks its first layer.
    alone = Counter(shape[0] for shape in rest.values())
    unmade = [
        name
        for name, (channels, *_) in rest.items()
        if channels in read and channels not in made and (spatial or alone[channels] > 1)
    ]
    for plain, pattern in zip((True, False, False), _ENTRIES, strict=True):
        named = [name for name in rest if pattern.fullmatch(name) and (plain or spatial or name in unmade)]
        if named:
            return found + named[:1]
    if unmade:
        pointwise = any(max(shape[2:]) == 1 for shape in convolutions.values())
        return found + (unmade[:1] if pointwise else unmade)
    # Nothing else can be the first: all other layers read what layers make, or there is one candidate.
    if spatial and not found and (len(rest) == 1 or read <= outputs):
        return [name for name in rest if not _DEPTHWISE.search(name)][:1]
    return found


def _grouped(layers: Mapping[str, tuple[int, ...]], known: Mapping[str, tuple[int, ...]]) -> list[str]:
    """Regular convolutions by shape [O, I, kh, kw] that are slices of groups.

    The layer before in the same block has a multiple of I outputs, no layer of a file with pointwise ones has I
    outputs, or in a file of kernels alone O is 16 times I or more.
    """
    convolutions = {name: shape for name, shape in known.items() if len(shape) == 4}
    made = {shape[0] for shape in known.values() if len(shape) > 1}
    whole = any(max(shape[2:]) == 1 for shape in convolutions.values())
    found, before = [], {}
    for name, (outputs, inputs, *_) in convolutions.items():
        block = re.sub(r"\.conv\w*$", "", _block(name))
        reads = before.get(block, inputs)
        alone = inputs > 4 and inputs not in made and (whole or outputs >= 16 * inputs)
        if name in layers and outputs % inputs == 0 and (alone or (whole and reads > inputs and reads % inputs == 0)):
            found.append(name)
        before[block] = outputs
    return found
