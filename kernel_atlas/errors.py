"""The one error a user meets, and the log a job writes."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path


class AtlasError(Exception):
    """A fault the user can mend: one line that says what, where, why and what to do."""


@contextlib.contextmanager
def job_log(path: str | Path) -> Iterator[None]:
    """Send what a job prints to its log; an `AtlasError` ends the job with one line, there and on the terminal.

    Any other exception is a bug and keeps its traceback, in the log.
    """
    terminal = sys.stderr
    with open(path, "w", buffering=1, encoding="utf-8") as log:
        with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
            try:
                yield
            except AtlasError as error:
                line = f"error: {error}"
                print(line, file=log)
                print(line, file=terminal)
                sys.exit(1)
            except Exception as error:
                import traceback

                traceback.print_exc(file=log)
                print(f"error: unexpected {type(error).__name__}: {error} (traceback in {path})", file=terminal)
                sys.exit(1)
