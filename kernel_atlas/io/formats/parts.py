"""A network in several files: an index (`*.index.json`) says in which of them each tensor lies."""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.io.checkpoint import Checkpoint, Choice, Form, Layer, Selection
from kernel_atlas.io.formats.containers import json_reason, read_json

_PART = re.compile(  # model-00001-of-00002.safetensors
    r"(.+)-\d{5}-of-(\d{5})(\.\w+)"
)


def index_name(name: str) -> str | None:
    """The name of the index to which a file is a part by its own name; None of a whole file."""
    part = _PART.fullmatch(name)
    return f"{part[1]}{part[3]}.index.json" if part and int(part[2]) > 1 else None


def index_of(path: Path) -> Path | None:
    """The index that lies beside a part of a network; None beside a whole file.

    Raises
    ------
    AtlasError
        The file is a part by its name, and its index is missing.
    """
    name = index_name(path.name)
    if name is None:
        return None
    index = path.with_name(name)
    if not index.is_file():
        raise AtlasError(f"one of several parts of a network; put {name} and the other parts beside it")
    if path not in parts_of(index):
        raise AtlasError(f"a part of a network that {name} beside it does not name; fetch both again")
    return index


def parts_of(index: Path) -> list[Path]:
    """The files that an index names, in the order of their names.

    Raises
    ------
    AtlasError
        It is no index, or names files outside its folder.
    """
    content = read_json(index)
    named = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(named, dict) or not named:
        raise AtlasError(json_reason(content))
    names = set()
    for name in named.values():
        if not isinstance(name, str) or not name or "\\" in name or "\0" in name:
            raise AtlasError("damaged: an index of parts that names no files; fetch it again")
        names.add(name)
    paths = sorted(map(PurePosixPath, names))
    if any(path.is_absolute() or ".." in path.parts or path.suffix == ".json" for path in paths):
        raise AtlasError("damaged: its index names parts outside its folder; fetch it again")
    said = max((int(part[2]) for path in paths if (part := _PART.fullmatch(path.name))), default=0)
    if len(paths) < said:
        raise AtlasError(f"an index that names {len(paths)} of {said} parts; fetch the whole one")
    missing = [path for path in paths if not (index.parent / path).is_file()]
    if missing:
        raise AtlasError(
            f"{len(missing)} of {len(paths)} parts are missing, {str(missing[0])[:100]!r} first; fetch them"
        )
    return [index.parent / path for path in paths]


def read_parts(files: list[Path], choose: Choice, reader: Callable[[Path], Callable]) -> Checkpoint:
    """The layers chosen among the tensors of all parts, in the order of the choice.

    `files` are the index and the parts. The hash is that of the lines of `sha256sum`, where each part is read whole.
    """
    index, *paths = files
    parts: dict[Path, dict[str, Form]] = {}
    for path in paths:  # names and shapes alone

        def note(forms: Mapping[str, Form], path: Path = path) -> Selection:
            parts[path] = {
                name: form._replace(storage=form.storage and (path, form.storage)) for name, form in forms.items()
            }
            return Selection([], {})

        reader(path)(path, note)
    forms = {name: form for part in parts.values() for name, form in part.items()}
    if len(forms) < sum(map(len, parts.values())):
        raise AtlasError("damaged: a tensor lies in two of its parts; fetch them again")
    weights, not_read, judged_by = choose(forms)
    where = {name: path for path, part in parts.items() for name in part}
    whole = {weight.name: weight for weight in weights if len({where[name] for name in weight.tensors}) == 1}
    split = [weight.name for weight in weights if weight.name not in whole]
    if split:
        not_read["computed from tensors in several parts"] = split

    def of(path: Path) -> Choice:
        mine = [weight for weight in whole.values() if where[weight.tensors[0]] == path]
        return lambda forms: Selection(mine, not_read, judged_by)

    read = {path: reader(path)(path, of(path)) for path in paths}

    def layers() -> Iterator[Layer]:
        ahead = {path: next(checkpoint.layers, None) for path, checkpoint in read.items()}
        for name, weight in whole.items():
            path = where[weight.tensors[0]]
            if ahead[path] is not None and ahead[path].name == name:
                yield ahead[path]
                ahead[path] = next(read[path].layers, None)

    metadata = {key: value for checkpoint in read.values() for key, value in checkpoint.metadata.items()}
    hashes = [read[path].metadata.get("sha256") for path in paths]
    metadata.pop("sha256", None)
    if all(hashes):
        sums = zip([hashlib.sha256(index.read_bytes()).hexdigest(), *hashes], files, strict=True)
        text = "".join(f"{sha256}  {file.relative_to(index.parent)}\n" for sha256, file in sums)
        metadata["sha256"] = hashlib.sha256(text.encode()).hexdigest()
    return replace(next(iter(read.values())), layers=layers(), metadata=metadata, not_read=not_read)
