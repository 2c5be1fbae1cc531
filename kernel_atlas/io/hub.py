"""Checkpoints of the Hugging Face hub: of a safetensors file only the header and the chosen tensors are read.

Addresses, tokens, time limits and the offline flag are those of huggingface_hub. The tensors are kept as a small
safetensors file in the hub's cache of assets. A later run asks the hub only whether the file has changed.
"""

import contextlib
import functools
import json
import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from urllib.parse import quote, urlsplit

import httpx2
import huggingface_hub
import numpy as np
import safetensors.numpy
from huggingface_hub import constants, errors
from huggingface_hub.utils import build_hf_headers

from kernel_atlas import __version__
from kernel_atlas.core.errors import AtlasError
from kernel_atlas.io.checkpoint import Checkpoint, Choice, Selection, Weight
from kernel_atlas.io.formats import safetensors as safetensors_header
from kernel_atlas.io.formats.parts import index_name
from kernel_atlas.io.formats.safetensors import choose_tensors
from kernel_atlas.io.formats.signatures import file_reader
from kernel_atlas.io.ranges import Located, NoRanges, read_arrays, read_headers, shards_named
from kernel_atlas.io.web import RETRIED, WebFile, brief, retried

HOST = urlsplit(constants.ENDPOINT).netloc
INDEX = ".safetensors.index.json"


@dataclass
class _Remote(WebFile):
    """A file at one commit, and where its bytes are. A content store gets no `headers`: the token is for the hub."""

    repository: str = ""
    file: str = ""
    commit: str = ""
    etag: str = ""

    def renew(self) -> bool:
        """Ask the hub for the address in the content store again, as that expires."""
        if self.headers:
            return False
        self.url = _describe(self.repository, self.commit, self.file).url
        return True


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
    for file in files:
        with contextlib.suppress(errors.EntryNotFoundError), _one_line(repository, revision, file):
            return _read(repository, revision, file, choose, kind)
    raise AtlasError(f"{repository} has no {' and no '.join(files)}")


def locate_hub(repository: str, revision: str | None, file: str) -> Located:
    """Where the bytes of a file are, or of the shards that it names.

    Raises
    ------
    AtlasError
        As `read_hub`.
    """
    with contextlib.suppress(errors.EntryNotFoundError), _one_line(repository, revision, file):
        if constants.HF_HUB_OFFLINE:
            return Located([], lambda: _fetch_whole(repository, revision, file))
        remote = _describe(repository, revision, file)
        try:
            files = _parts(remote)
        except NoRanges:
            files = []
        one_line = functools.partial(_one_line, repository, revision, file)
        return Located(files, lambda: _fetch_whole(repository, remote.commit, file), one_line)
    raise AtlasError(f"{repository} has no {file}")


def _fetch_whole(repository: str, revision: str | None, file: str) -> Path:
    """A whole file in the hub's own cache."""
    with _one_line(repository, revision, file):
        return Path(huggingface_hub.hf_hub_download(repository, file, revision=revision))


@contextlib.contextmanager
def _one_line(repository: str, revision: str | None, file: str) -> Iterator[None]:
    """Say in one line what fails. That the hub has no such file is the caller's to say."""
    try:
        yield
    except errors.LocalEntryNotFoundError as error:
        raise AtlasError(f"{repository}: {file}: neither in the cache nor to be fetched ({brief(error)})") from error
    except errors.EntryNotFoundError:
        raise
    except AtlasError as error:
        raise AtlasError(f"{repository}: {file}: {error}") from error
    except errors.GatedRepoError as error:
        raise AtlasError(f"{repository} is gated; accept its terms on the hub and set HF_TOKEN, or log in") from error
    except errors.RepositoryNotFoundError as error:
        raise AtlasError(f"the hub has no {repository}, or it is private; check the name, or set HF_TOKEN") from error
    except errors.RevisionNotFoundError as error:
        raise AtlasError(f"{repository} has no revision {revision}; name a branch, a tag or a commit") from error
    except errors.HFValidationError as error:
        raise AtlasError(f"{repository} is not the name of a repository ({brief(error)})") from error
    except (httpx2.HTTPError, OSError, json.JSONDecodeError) as error:
        raise AtlasError(f"{repository}: {file}: cannot be read from the hub ({brief(error)})") from error


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
        if index := index_name(PurePosixPath(file).name):
            raise AtlasError(f"one of several parts of a network; name their index {index}")
        with ThreadPoolExecutor(1) as beside:  # the licence is asked for while tensors are on their way
            about = beside.submit(lambda: _about(repository, remote.commit) if changed else {})
            with contextlib.suppress(NoRanges):
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
    NoRanges
        It is no safetensors file, or it lies in the hub's cache already.
    """
    if remote.file.endswith(INDEX):
        return _shards(remote)
    cached = huggingface_hub.try_to_load_from_cache(remote.repository, remote.file, revision=remote.commit)
    if isinstance(cached, str) or not remote.file.endswith(".safetensors"):
        raise NoRanges
    return [remote]


def _metadata_of(kept: Path) -> dict[str, str] | None:
    """The metadata of a kept file; None if it is missing, damaged or of another version, which chose otherwise."""
    try:
        with kept.open("rb") as file:
            _, metadata = safetensors_header.read_header(file, kept.stat().st_size)
    except (OSError, AtlasError):
        return None
    return metadata if metadata.get("version") == __version__ else None


def _keep(kept: Path, tensors: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
    """Write a kept file whole, even if several processes write it at once."""
    partial = kept.with_name(f".{os.getpid()}.{kept.name}")
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
        found = retried(lambda: huggingface_hub.get_hf_file_metadata(url))
    except (httpx2.TransportError, errors.HfHubHTTPError) as error:
        if known and (isinstance(error, httpx2.TransportError) or error.response.status_code in RETRIED):
            print(f"the hub is out of reach ({brief(error)}): taking revision {known['revision']} from the cache")
            return None
        raise
    if not (found.size and found.etag and found.commit_hash):
        raise AtlasError("the hub does not tell its size, ETag and commit; is HF_ENDPOINT a hub?")
    commit = found.commit_hash
    etag = commit if file.endswith(INDEX) else found.etag  # an index stays the same when a shard changes
    address, headers = found.location, {}
    if urlsplit(address).netloc == urlsplit(url).netloc:  # no content store: the hub serves the file itself
        address, headers = huggingface_hub.hf_hub_url(repository, file, revision=commit), build_hf_headers()
    return _Remote(address, found.size, None, headers, repository, file, commit, etag)


def _shards(index: _Remote) -> list[_Remote]:
    """The files that an index of shards names."""
    path = huggingface_hub.hf_hub_download(index.repository, index.file, revision=index.commit)
    folder = PurePosixPath(index.file).parent
    return [
        _describe(index.repository, index.commit, str(folder / name)) for name in shards_named(Path(path).read_bytes())
    ]


def _about(repository: str, commit: str) -> dict[str, str]:
    """The licence that the repository states, and the day of its last commit."""
    timeout = constants.HF_HUB_ETAG_TIMEOUT  # without it, no limit
    info = retried(lambda: huggingface_hub.model_info(repository, revision=commit, timeout=timeout))
    stated = info.card_data.get("license") if info.card_data else None
    told = {"licence": stated, "date": info.last_modified and info.last_modified.date()}
    return {name: str(value) for name, value in told.items() if value}


def _fetch(remotes: list[_Remote], choose: Choice) -> tuple[Selection, dict[str, np.ndarray]]:
    """The choice among the tensors of all files, and the tensors chosen by name."""
    places, _ = read_headers(remotes)
    selection = choose_tensors([place.tensor for place in places.values()], choose)
    return selection, read_arrays({name: places[name] for weight in selection.weights for name in weight.tensors})
