"""The one line of a job that fails: what the user reads, what the log keeps, what is left of a model."""

import errno
import os
import sys

import pytest

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.io.job import end_job, job_log
from kernel_atlas.io.shards import reason_of, shards_of
from kernel_atlas.io.tables import whole


@pytest.fixture(autouse=True)
def ended(monkeypatch):
    """`end_job` ends the process; here it ends the test of it."""
    monkeypatch.setattr(os, "_exit", sys.exit)


def fail(log, error, capsys, model=None) -> str:
    """What a job that raises an error says on the terminal."""
    with pytest.raises(SystemExit) as end:
        with job_log(log, model):
            print("so far")
            print("aside", file=sys.stderr)
            raise error
        end_job()
    assert end.value.code == (1 if model is None else 0)
    out, terminal = capsys.readouterr()
    assert out == ""
    return terminal


def test_what_a_job_prints_is_in_its_log(tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        with job_log(tmp_path / "log"):
            print("so far")
        end_job()
    assert end.value.code == 0
    assert (tmp_path / "log").read_text() == "so far\n" and capsys.readouterr() == ("", "")


def test_a_fault_of_the_user_is_one_line_without_traceback(tmp_path, capsys):
    assert (
        fail(tmp_path / "log", AtlasError("a.csv: gone\nquite; fetch it"), capsys)
        == "error: a.csv: gone quite; fetch it\n"
    )
    assert (tmp_path / "log").read_text() == "so far\naside\nerror: a.csv: gone quite; fetch it\n"


def test_a_bug_keeps_its_traceback_in_the_log(tmp_path, capsys):
    line = fail(tmp_path / "log", KeyError("code"), capsys)
    assert line == f"error: unexpected KeyError: 'code' (traceback in {tmp_path}/log)\n"
    assert "Traceback" in (tmp_path / "log").read_text()


@pytest.mark.parametrize(
    "number, line",
    [
        (errno.ENOSPC, "error: t.csv: no space left on device; make room there and run again\n"),
        (errno.EROFS, "error: t.csv: read-only file system; make it writable, or choose another with --directory and"),
        (errno.ENOENT, "error: unexpected FileNotFoundError: "),
    ],
)
def test_a_disk_that_cannot_be_written_is_one_line(tmp_path, capsys, number, line):
    assert fail(tmp_path / "log", OSError(number, "x", "t.csv"), capsys).startswith(line)


def test_a_job_that_is_stopped_by_hand_ends_without_a_traceback(tmp_path, capsys):
    with pytest.raises(SystemExit, match="130"), job_log(tmp_path / "log"):
        raise KeyboardInterrupt
    assert capsys.readouterr() == ("", "")


def test_a_log_that_cannot_be_written_is_said(tmp_path, capsys):
    (tmp_path / "log").mkdir()
    assert fail(tmp_path / "log", AtlasError("never reached"), capsys).startswith("error: unexpected IsADirectoryError")


def test_a_model_that_cannot_be_read_leaves_its_reason_and_ends_well(tmp_path, capsys):
    model = tmp_path / "net"
    assert fail(tmp_path / "log", AtlasError("model net: truncated"), capsys, model) == "error: model net: truncated\n"
    assert reason_of(model) == "model net: truncated"
    with pytest.raises(AtlasError, match=r"no kernels of net, it could not be read \(model net: truncated\)"):
        shards_of(model)


def test_a_write_that_fails_leaves_what_was_there_and_names_its_file(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("before")
    with pytest.raises(OSError) as caught, whole(path) as partial:
        partial.write_text("half")
        raise OSError(errno.ENOSPC, "full")
    assert caught.value.filename == str(path)
    assert path.read_text() == "before" and [each.name for each in tmp_path.iterdir()] == ["t.csv"]


def test_a_job_that_outlived_its_snakemake_cannot_write_into_the_next_ones_file(tmp_path):
    path = tmp_path / "t.csv"
    with pytest.raises(FileNotFoundError), whole(path) as old:
        old.write_text("old")
        with whole(path) as new:
            new.write_text("new")
    assert path.read_text() == "new" and [each.name for each in tmp_path.iterdir()] == ["t.csv"]


def test_any_fault_of_a_model_is_its_own(tmp_path, capsys):
    model = tmp_path / "net"
    line = f"model net: unexpected TypeError: a tensor on the meta device (traceback in {tmp_path / 'log'})"
    assert fail(tmp_path / "log", TypeError("a tensor\non the meta device"), capsys, model) == f"error: {line}\n"
    assert reason_of(model) == line
    assert "Traceback" in (tmp_path / "log").read_text()
