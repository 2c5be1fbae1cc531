"""Checkpoints of the Hugging Face hub: of a safetensors file only the header and the chosen tensors are read.

Addresses, tokens, time limits and the offline flag are those of huggingface_hub. The tensors are kept as a small
safetensors file in the hub's cache of assets. A later run asks the hub only whether the file has changed.
"""

import contextlib
import json
import os
import re
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

import httpx2
import huggingface_hub
import numpy as np
import safetensors.numpy
from huggingface_hub import constants, errors
from huggingface_hub.utils import build_hf_headers, hf_raise_for_status, http_stream_backoff, parse_ratelimit_headers

from kernel_atlas import __version__
from kernel_atlas.core.errors import AtlasError
from kernel_atlas.io.checkpoint import Checkpoint, Choice, Selection, Weight
from kernel_atlas.io.formats import safetensors as safetensors_header
from kernel_atlas.io.formats.parts import index_name
from kernel_atlas.io.formats.safetensors import PREFIX_BYTES, Tensor, choose_tensors
from kernel_atlas.io.formats.signatures import file_reader

HEADER_GUESS = 131_072  # bytes of the first request, which hold the header of most networks
GAP = 131_072  # bytes between tensors that cost less than a request: of 20 ms at 50 MB/s, shared by those in flight
LONGEST = 8_388_608  # bytes of a request for several tensors, which bounds the memory
AT_ONCE = 16  # requests in flight
RETRIED = (408, 429, 500, 502, 503, 504)  # statuses that may pass
TRIES = 4  # of a body that breaks off, or of an address that has expired
HOST = urlsplit(constants.ENDPOINT).netloc
INDEX = ".safetensors.index.json"


class _NoRanges(Exception):
    """The server sends whole files only."""


class _Remote(NamedTuple):
    """A file at one commit, and where its bytes are."""

    repository: str
    file: str
    commit: str
    url: str
    headers: dict[str, str]  # empty on a content store: the token is for the hub alone
    size: int
    etag: str


def read_hub(repository: str, revision: str | None, files: Sequence[str], choose: Choice, kind: str) -> Checkpoint:
    """Open the first of several files that a repository has.

    Parameters
    ----------
    repository : str
        OWNER/REPO.
    revision : str, optional
        Branch, tag or commit; without it the default branch.
    files : sequence of str
        Paths in the repository, best first. An index of shards (`*.safetensors.index.json`) stands for its shards.
    choose : Choice
        Which tensors to read.
    kind : str
        A name for the choice, under which its tensors are kept.

    Raises
    ------
    AtlasError
        The repository has none of the files, access or network fails, or the file is damaged or would run code.
    """
    try:
        for file in files:
            try:
                return _read(repository, revision, file, choose, kind)
            except errors.LocalEntryNotFoundError as error:
                raise AtlasError(
                    f"{repository}: {file}: neither in the cache nor to be fetched ({_brief(error)})"
                ) from error
            except errors.EntryNotFoundError:
                continue
            except AtlasError as error:
                raise AtlasError(f"{repository}: {file}: {error}") from error
            except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.HFValidationError):
                raise
            except (httpx2.HTTPError, OSError, json.JSONDecodeError) as error:
                raise AtlasError(f"{repository}: {file}: cannot be read from the hub ({_brief(error)})") from error
    except errors.GatedRepoError as error:
        raise AtlasError(f"{repository} is gated; accept its terms on the hub and set HF_TOKEN, or log in") from error
    except errors.RepositoryNotFoundError as error:
        raise AtlasError(f"the hub has no {repository}, or it is private; check the name, or set HF_TOKEN") from error
    except errors.RevisionNotFoundError as error:
        raise AtlasError(f"{repository} has no revision {revision}; name a branch, a tag or a commit") from error
    except errors.HFValidationError as error:
        raise AtlasError(f"{repository} is not the name of a repository ({_brief(error)})") from error
    raise AtlasError(f"{repository} has no {' and no '.join(files)}")


def _brief(error: Exception) -> str:
    """A network error in a few words. Addresses are cut, as they carry signatures."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    text = re.sub(r"https?://\S+", "...", " ".join(str(error).split()))
    return f"status {status}" if status else text[:160] or type(error).__name__


def _read(repository: str, revision: str | None, file: str, choose: Choice, kind: str) -> Checkpoint:
    """One file, from the cache where it is there, else by its ranges, else whole."""
    kept = huggingface_hub.cached_assets_path("kernel-atlas", namespace=repository, subfolder=revision or "main")
    kept /= f"{quote(file, safe='')}.{kind}.safetensors"
    known = _metadata_of(kept)
    if constants.HF_HUB_OFFLINE and not known:
        return _read_whole(repository, revision, file, choose, {})
    fixed = re.fullmatch("[0-9a-f]{40}", revision or "")
    # One request resolves the revision. Everything after it is read at its commit, which cannot change.
    remote = None if known and (fixed or constants.HF_HUB_OFFLINE) else _describe(repository, revision, file, known)
    changed = remote and not (known and known["etag"] == remote.etag)
    if changed:
        known = {"etag": remote.etag, "revision": remote.commit}
    if remote and "selection" not in known:
        parts = {}
        with ThreadPoolExecutor(1) as beside:  # the licence is asked for while tensors are on their way
            about = beside.submit(lambda: _about(repository, remote.commit) if changed else {})
            with contextlib.suppress(_NoRanges):
                selection, parts = _fetch(_parts(remote), choose)
                known["selection"] = json.dumps(selection)
            known |= about.result()
        _keep(kept, parts, known)
    told = {name: known[name] for name in ("revision", "licence", "date") if name in known}
    if "selection" not in known:
        return _read_whole(repository, known["revision"], file, choose, told)
    weights, *others = json.loads(known["selection"])
    return _open(kept, lambda _: Selection([Weight(*weight) for weight in weights], *others), told)


def _parts(remote: _Remote) -> list[_Remote]:
    """The files to read ranges of: the file itself, or the shards that it names.

    Raises
    ------
    _NoRanges
        It is no safetensors file, or it lies in the hub's cache already.
    """
    if remote.file.endswith(INDEX):
        return _shards(remote)
    if index := index_name(PurePosixPath(remote.file).name):
        raise AtlasError(f"one of several parts of a network; name their index {index}")
    cached = huggingface_hub.try_to_load_from_cache(remote.repository, remote.file, revision=remote.commit)
    if isinstance(cached, str) or not remote.file.endswith(".safetensors"):
        raise _NoRanges
    return [remote]


def _metadata_of(kept: Path) -> dict[str, str] | None:
    """The metadata of a kept file; None if it is missing, damaged or of another version, which chose otherwise."""
    try:
        with kept.open("rb") as file:
            _, metadata = safetensors_header.read_header(file, kept.stat().st_size)
    except (OSError, AtlasError):
        return None
    return metadata if metadata.get("version") == __version__ else None


def _keep(kept: Path, parts: dict[str, tuple[Tensor, bytes]], metadata: dict[str, str]) -> None:
    """Write a kept file whole, even if several processes write it at once."""
    partial = kept.with_name(f".{os.getpid()}.{kept.name}")
    tensors = {
        name: np.frombuffer(data, safetensors_header.NUMPY[tensor.dtype]).reshape(tensor.shape)
        for name, (tensor, data) in parts.items()
    }
    safetensors.numpy.save_file(tensors, partial, metadata | {"version": __version__})
    os.replace(partial, kept)


def _read_whole(repository: str, revision: str | None, file: str, choose: Choice, told: dict[str, str]) -> Checkpoint:
    """The whole file, by way of the hub's own cache."""
    path = Path(huggingface_hub.hf_hub_download(repository, file, revision=revision))
    checkpoint = _open(path, choose, {})
    # The ETag of a large file is its hash. huggingface_hub checks the size alone.
    etag, sha256 = path.resolve().name, checkpoint.metadata.get("sha256")
    if sha256 and re.fullmatch("[0-9a-f]{64}", etag) and etag != sha256:
        path.resolve().unlink()
        raise AtlasError("damaged on the way: its sha256 is not the hub's; try again")
    commit = path.parents[len(PurePosixPath(file).parts) - 1].name  # snapshots/COMMIT/FILE
    return replace(checkpoint, metadata=checkpoint.metadata | {"revision": commit} | told)


def _open(path: Path, choose: Choice, told: dict[str, str]) -> Checkpoint:
    """A file on disk; `told` is what the hub says about it."""
    checkpoint = file_reader(path)(path, choose)
    return replace(checkpoint, metadata=checkpoint.metadata | told)


def _describe(repository: str, revision: str | None, file: str, known: dict[str, str] | None = None) -> _Remote | None:
    """The commit of a revision and where a file is; None if the hub is out of reach and the file `known`."""
    url = huggingface_hub.hf_hub_url(repository, file, revision=revision)
    try:
        found = _retried(lambda: huggingface_hub.get_hf_file_metadata(url))
    except (httpx2.TransportError, errors.HfHubHTTPError) as error:
        if known and (isinstance(error, httpx2.TransportError) or error.response.status_code in RETRIED):
            print(f"the hub is out of reach ({_brief(error)}): taking revision {known['revision']} from the cache")
            return None
        raise
    if not (found.size and found.etag and found.commit_hash):
        raise AtlasError("the hub does not tell its size, ETag and commit; is HF_ENDPOINT a hub?")
    commit = found.commit_hash
    etag = commit if file.endswith(INDEX) else found.etag  # an index stays the same when a shard changes
    address, headers = found.location, {}
    if urlsplit(address).netloc == urlsplit(url).netloc:  # no content store: the hub serves the file itself
        address, headers = huggingface_hub.hf_hub_url(repository, file, revision=commit), build_hf_headers()
    return _Remote(repository, file, commit, address, headers, found.size, etag)


def _shards(index: _Remote) -> list[_Remote]:
    """The files that an index of shards names."""
    path = huggingface_hub.hf_hub_download(index.repository, index.file, revision=index.commit)
    try:
        names = sorted(set(json.loads(Path(path).read_bytes())["weight_map"].values()))
        paths = [PurePosixPath(index.file).parent / name for name in names]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise AtlasError("damaged: no index of shards with a weight_map") from error
    if any(path.is_absolute() or ".." in path.parts or path.suffix != ".safetensors" for path in paths):
        raise AtlasError("damaged: its index names shards outside the repository, or of another format")
    return [_describe(index.repository, index.commit, str(path)) for path in paths]


def _about(repository: str, commit: str) -> dict[str, str]:
    """The licence that the repository states, and the day of its last commit."""
    timeout = constants.HF_HUB_ETAG_TIMEOUT  # without it, no limit
    info = _retried(lambda: huggingface_hub.model_info(repository, revision=commit, timeout=timeout))
    stated = info.card_data.get("license") if info.card_data else None
    told = {"licence": stated, "date": info.last_modified and info.last_modified.date()}
    return {name: str(value) for name, value in told.items() if value}


def _retried(ask: Callable[[], Any]) -> Any:
    """The answer of a call that huggingface_hub does not retry itself."""
    for wait in (1, 2, 4, None):
        try:
            return ask()
        except (httpx2.TransportError, errors.HfHubHTTPError, json.JSONDecodeError) as error:
            response = getattr(error, "response", None)
            if wait is None or (response is not None and response.status_code not in RETRIED):
                raise
            headers = {} if response is None else response.headers
            limit, after = parse_ratelimit_headers(headers), headers.get("Retry-After", "")
            time.sleep(limit.reset_in_seconds if limit else int(after) if after.isdecimal() else wait)


def _fetch(remotes: list[_Remote], choose: Choice) -> tuple[Selection, dict[str, tuple[Tensor, bytes]]]:
    """The choice among the tensors of all files, and name -> tensor and its bytes of those chosen.

    Raises
    ------
    _NoRanges
        The server sends whole files only.
    """
    with ThreadPoolExecutor(AT_ONCE) as pool:
        headers = list(pool.map(_header, remotes))
        owner = {tensor.name: remote for remote, tensors in zip(remotes, headers, strict=True) for tensor in tensors}
        known = {tensor.name: tensor for tensors in headers for tensor in tensors}
        selection = choose_tensors(list(known.values()), choose)
        chosen = {name: known[name] for weight in selection.weights for name in weight.tensors}
        ranges = [
            (remote, group)
            for remote in remotes
            for group in _merged([tensor for tensor in chosen.values() if owner[tensor.name] is remote])
        ]
        bodies = list(pool.map(lambda part: _get(part[0], part[1][0].start, part[1][-1].stop), ranges))
    data = {
        tensor.name: body[tensor.start - group[0].start : tensor.stop - group[0].start]
        for (_, group), body in zip(ranges, bodies, strict=True)
        for tensor in group
    }
    return selection, {name: (tensor, data[name]) for name, tensor in chosen.items()}


def _header(remote: _Remote) -> list[Tensor]:
    """The tensors of a safetensors file."""
    start = _get(remote, 0, min(HEADER_GUESS, remote.size))
    end = PREFIX_BYTES + safetensors_header.header_bytes(start, remote.size)
    if end > len(start):
        start += _get(remote, len(start), end)
    return safetensors_header.parse_header(start[PREFIX_BYTES:end], remote.size)[0]


def _merged(tensors: Iterable[Tensor]) -> list[list[Tensor]]:
    """Tensors of one file in the groups to ask for at once."""
    groups: list[list[Tensor]] = []
    for tensor in sorted(tensors, key=lambda tensor: tensor.start):
        last = groups[-1] if groups else None
        if last and tensor.start - last[-1].stop <= GAP and tensor.stop - last[0].start <= LONGEST:
            last.append(tensor)
        else:
            groups.append([tensor])
    return groups


def _get(remote: _Remote, start: int, stop: int) -> bytes:
    """Bytes `start` to `stop` of a file."""
    asked = f"bytes {start}-{stop - 1}/{remote.size}"
    ranged = {"Range": f"bytes={start}-{stop - 1}", "Accept-Encoding": "identity"}
    reason = ""
    for _ in range(TRIES):
        with http_stream_backoff(
            "GET", remote.url, headers=remote.headers | ranged, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT
        ) as response:
            if response.status_code == 200:
                raise _NoRanges
            if not remote.headers and response.status_code in (403, 404, 410):
                reason = "its address expires at once"
                remote = _describe(remote.repository, remote.commit, remote.file)
                continue
            hf_raise_for_status(response)
            if response.headers.get("Content-Range") == asked:
                body = bytearray()
                try:
                    for block in response.iter_bytes():
                        body += block
                        if len(body) > stop - start:
                            break
                except httpx2.TransportError as error:
                    reason = _brief(error)
                if len(body) == stop - start:
                    return bytes(body)
            reason = reason or f"asked for {asked}, got {response.headers.get('Content-Range')}"
    raise AtlasError(f"the server does not send what it was asked for ({reason}); try again later")
