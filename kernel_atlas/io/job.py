"""Jobs: output goes to a log, a fault ends the job with one line, success ends the process at once."""

import contextlib
import errno
import os
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn, TextIO

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.io.shards import leave_reason

_MENDS = {
    **dict.fromkeys([errno.ENOSPC, errno.EDQUOT], "make room there"),
    **dict.fromkeys([errno.EROFS, errno.EACCES, errno.EPERM], "make it writable, or choose another with --directory"),
}


@contextlib.contextmanager
def job_log(path: str | Path, model: str | Path | None = None) -> Iterator[TextIO]:
    """Send what a job prints to its log and give the terminal; an `AtlasError` ends the job with one line on both.

    A full or read-only disk does the same. Any other exception is a bug; its traceback is in the log.

    Parameters
    ----------
    path : path
        The log.
    model : path, optional
        The folder of shards that the job writes. No fault of the model then fails the job, so that the other models go
        on: the folder holds the line of the error and no shard.
    """
    terminal = sys.stderr
    try:
        with open(path, "w", buffering=1, encoding="utf-8") as log:
            with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
                try:
                    yield terminal
                except AtlasError as error:
                    # what was fetched is gone when the run has ended: name it as in storage
                    line = str(error).replace(".snakemake/storage/", "")
                    print(f"error: {line}", file=terminal)
                    print(f"error: {line}", file=log)
                    if model is None:
                        sys.exit(1)
                    leave_reason(model, line)
                except Exception as error:
                    if model is None or (isinstance(error, OSError) and error.errno in _MENDS):
                        raise
                    line = f"model {Path(model).name}: unexpected {_named(error)} (traceback in {path})"
                    print(f"error: {line}", file=terminal)
                    traceback.print_exc(file=log)
                    leave_reason(model, line)
    except KeyboardInterrupt:  # Snakemake says so
        sys.exit(130)
    except Exception as error:  # of the log itself, too
        if isinstance(error, OSError) and error.errno in _MENDS:
            line = f"error: {disk_line(error, path)}"
        else:
            line = f"error: unexpected {_named(error)} (traceback in {path})"
        print(line, file=terminal)
        with contextlib.suppress(OSError), open(path, "a", encoding="utf-8") as log:
            traceback.print_exc(file=log)
        sys.exit(1)


def disk_line(error: OSError, path: str | Path) -> str:
    """What a disk refused, and what to do, in one line; `path` is named where the error names no file."""
    mend = _MENDS.get(error.errno, "mend it")
    return f"{error.filename or path}: {os.strerror(error.errno).lower()}; {mend} and run again"


def _named(error: Exception) -> str:
    """An exception in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


def end_job() -> NoReturn:
    """End a process whose work is done, without its shutdown.

    Arrow's threads abort about 1 in 1,000 processes at shutdown (arrow#34314).
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
