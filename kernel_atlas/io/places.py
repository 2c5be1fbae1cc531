"""Where results are: in a folder, or in storage that one of Snakemake's plugins reaches. Names are as in `results/`."""

import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any


class Folder:
    """Results on disk."""

    def __init__(self, path: str | Path):
        self.path = Path(path)

    def exists(self, name: str) -> bool:
        return (self.path / name).exists()

    def written(self, name: str) -> float:
        """When it was written, as `time.time` has it."""
        return (self.path / name).stat().st_mtime

    def tell(self, name: str) -> str:
        """Where it is, for a user."""
        return str((self.path / name).absolute())

    def local(self, name: str) -> Path:
        """Its path on this machine, to read it or to write it."""
        return self.path / name

    def store(self, name: str) -> None:
        """Keep what was written to its local path."""

    def found(self, pattern: str, stars: Collection[str]) -> Iterator[tuple[str, str]]:
        """What a star of the pattern stands for, with the name, of all that is there; `stars` are what it may be."""
        for path in self.path.glob(pattern):
            yield path.name.removesuffix(Path(pattern).suffix), path.relative_to(self.path).as_posix()

    def delete(self, name: str) -> None:
        """Delete a file or a folder; a missing one passes."""
        path = self.path / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)

    def move(self, name: str, to: str) -> None:
        """Rename, over what is there."""
        self.delete(to)
        (self.path / to).parent.mkdir(parents=True, exist_ok=True)
        (self.path / name).rename(self.path / to)


class Storage:
    """Results in storage, which can be asked for one object at a time: not every plugin lists.

    Copies are fetched to a temporary folder. Where Snakemake has its own, it takes one of a file that is to be made
    again for write-protected.

    Parameters
    ----------
    object_of : function
        Gives the storage object of a name, as snakemake-interface-storage-plugins describes it.
    """

    def __init__(self, object_of: Callable[[str], Any]):
        self.object_of = object_of
        self.copies = tempfile.TemporaryDirectory()

    def exists(self, name: str) -> bool:
        return self.object_of(name).exists()

    def written(self, name: str) -> float:
        return self.object_of(name).mtime()

    def tell(self, name: str) -> str:
        return self.object_of(name).print_query

    def local(self, name: str) -> Path:
        """A copy on this machine, fetched if there is one."""
        there = self._copied(name, name)
        there.local_path().parent.mkdir(parents=True, exist_ok=True)
        if there.exists():
            there.retrieve_object()
        return there.local_path()

    def store(self, name: str) -> None:
        self._copied(name, name).store_object()

    def found(self, pattern: str, stars: Collection[str]) -> Iterator[tuple[str, str]]:
        for star in stars:
            name = pattern.replace("*", star)
            if self.exists(name):
                yield star, name

    def delete(self, name: str) -> None:
        there = self.object_of(name)
        if there.exists():
            there.remove()

    def move(self, name: str, to: str) -> None:
        self.delete(to)
        self.local(name)
        self._copied(to, name).store_object()
        self.delete(name)

    def _copied(self, name: str, copy: str) -> Any:
        """The object of a name, with the copy of another one."""
        there = self.object_of(name)
        there.set_local_path(Path(self.copies.name, copy))
        return there
