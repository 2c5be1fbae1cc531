"""The one error a user meets, the log a job writes, and the reason that a model which cannot be read leaves behind."""

import contextlib
import errno
import os
import shutil
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

_REASON = "_failed"  # in place of the shards of a model that cannot be read
_MENDS = {
    **dict.fromkeys([errno.ENOSPC, errno.EDQUOT], "make room there"),
    **dict.fromkeys([errno.EROFS, errno.EACCES, errno.EPERM], "make it writable, or choose another with --directory"),
}


class AtlasError(Exception):
    """A fault the user can mend: one line that says what, where, why and what to do."""

    def __init__(self, line: str):
        super().__init__(" ".join(line.splitlines()))  # what other libraries say may have several


@contextlib.contextmanager
def job_log(path: str | Path, model: str | Path | None = None) -> Iterator[None]:
    """Send what a job prints to its log; an `AtlasError` ends the job with one line, there and on the terminal.

    So does a disk that is full or read-only. Any other exception is a bug and keeps its traceback, in the log. A job
    that ends well ends its process here: later, one of some thousands is aborted by Arrow's threads, all work done
    (github.com/apache/arrow/issues/34314).

    Parameters
    ----------
    path : path
        The log.
    model : path, optional
        The folder of shards that the job was to write. An `AtlasError` then does not fail the job, as the other models
        shall go on: the folder holds its line and no shard.
    """
    terminal = sys.stderr
    try:
        with open(path, "w", buffering=1, encoding="utf-8") as log:
            with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
                try:
                    yield
                except AtlasError as error:
                    print(f"error: {error}", file=terminal)
                    print(f"error: {error}", file=log)
                    if model is None:
                        sys.exit(1)
                    shutil.rmtree(model, ignore_errors=True)
                    Path(model).mkdir(parents=True)
                    Path(model, _REASON).write_text(f"{error}\n", encoding="utf-8")
    except Exception as error:  # of the log itself, too
        if isinstance(error, OSError) and error.errno in _MENDS:
            where, why = error.filename or path, os.strerror(error.errno).lower()
            line = f"error: {where}: {why}; {_MENDS[error.errno]} and run again"
        else:
            line = f"error: unexpected {type(error).__name__}: {error} (traceback in {path})"
        print(line, file=terminal)
        with contextlib.suppress(OSError), open(path, "a", encoding="utf-8") as log:
            traceback.print_exc(file=log)
        sys.exit(1)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def reason_of(model: str | Path) -> str | None:
    """Why a model could not be read, from the folder of its shards; None if it could."""
    reason = Path(model, _REASON)
    return reason.read_text(encoding="utf-8").strip() if reason.exists() else None


def forget_failure(model: str | Path) -> bool:
    """Remove the folder of a model that could not be read, for the next run to try it again; tell if there was one."""
    failed = reason_of(model) is not None
    if failed:
        shutil.rmtree(model)
    return failed
