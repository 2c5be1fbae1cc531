"""Send the folders of `publish.dataset` to the Hugging Face hub: what is there already is not sent again."""

import contextlib
import fnmatch
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx2
import huggingface_hub
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, constants, errors
from huggingface_hub.hf_api import RepoFile

from kernel_atlas import __version__
from kernel_atlas.core.errors import AtlasError
from kernel_atlas.io.web import brief
from kernel_atlas.publish.dataset import FOLDERS, files_of

OURS = "data/*.parquet"  # files that are deleted on the hub where the release has them no more
MENDS = {  # status -> what to do
    401: "the hub does not know the token; set HF_TOKEN to one with the right to write, or run `hf auth login`",
    403: "the token may not write there; take one with the right to write, or a name of your own",
}


def upload_folders(folder: Path, repository: str) -> Iterator[str]:
    """Make data set and page of the hub those of the folders, one commit each; none where nothing differs.

    Parameters
    ----------
    folder : Path
        From `dataset.write_folders`.
    repository : str
        OWNER/NAME.

    Yields
    ------
    str
        A line about each: files and bytes sent, and its address.

    Raises
    ------
    AtlasError
        There is no token, it has no right to write, or the hub is out of reach.
    """
    if huggingface_hub.get_token() is None:
        raise AtlasError(f"{repository}: no token of the hub; set HF_TOKEN to one with the right to write, or log in")
    api = HfApi(library_name="kernel-atlas", library_version=__version__)
    for kind in FOLDERS:
        with _one_line(repository):
            sdk = {"space_sdk": "static"} if kind == "space" else {}
            address = api.create_repo(repository, repo_type=kind, exist_ok=True, **sdk)
            files = files_of(folder / kind)
            there = {
                entry.path: entry
                for entry in api.list_repo_tree(repository, recursive=True, repo_type=kind)
                if isinstance(entry, RepoFile)
            }
            new = {name: path for name, path in files.items() if not _is_there(path, there.get(name))}
            old = [name for name in there if name not in files and fnmatch.fnmatchcase(name, OURS)]
            if new or old:
                api.create_commit(
                    repository,
                    [CommitOperationAdd(name, path) for name, path in new.items()]
                    + [CommitOperationDelete(name) for name in old],
                    commit_message=f"A release of kernel-atlas {__version__}",
                    repo_type=kind,
                )
        yield f"{address}: {_tell(new)}{f', {len(old)} deleted' * bool(old)}"


def _is_there(path: Path, entry: RepoFile | None) -> bool:
    """Whether the hub has the same bytes. It knows large files by their sha256, others as git does."""
    if entry is None or entry.size != path.stat().st_size:
        return False
    with path.open("rb") as file:
        if entry.lfs:
            return hashlib.file_digest(file, "sha256").hexdigest() == entry.lfs.sha256
        return hashlib.sha1(b"blob %d\0" % entry.size + file.read()).hexdigest() == entry.blob_id


def _tell(new: Mapping[str, Path]) -> str:
    total = sum(path.stat().st_size for path in new.values())
    return f"{len(new)} files, {total:,} bytes sent" if new else "nothing has changed, nothing sent"


@contextlib.contextmanager
def _one_line(repository: str) -> Iterator[None]:
    """Say in one line what fails."""
    try:
        yield
    except errors.HFValidationError as error:
        raise AtlasError(f"{repository}: not a name of a repository ({brief(error)}); give OWNER/NAME") from error
    except (httpx2.HTTPError, OSError, RuntimeError, ValueError) as error:
        cause = error.__cause__ if isinstance(error, RuntimeError) and error.__cause__ else error
        status = getattr(getattr(cause, "response", None), "status_code", None)
        mend = MENDS.get(status, f"the hub {constants.ENDPOINT} cannot be written to ({brief(cause)}); try again")
        raise AtlasError(f"{repository}: {mend}") from error
