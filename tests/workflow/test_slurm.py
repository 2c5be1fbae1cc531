"""The workflow on a real SLURM of one node, started here: the embedded job, Snakemake killed, jobs that fail.

Both runs that the tests look at go on at the same time, since a job that has to run out of its minute mostly waits.
"""

import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, SMALL, copy_project, make_net, make_sheet, snakemake

STATE = Path(tempfile.gettempdir()) / "kernel-atlas-slurm"  # always the same, to know what a killed test run left
CONF = Path("/etc/slurm/slurm.conf")
# What this node needs besides profiles/slurm: it keeps no accounts, and 8 GB are there for all its jobs together.
OVERLAY = {
    "slurm-status-command": "squeue",
    "slurm-init-seconds-before-status-checks": 7,
    "set-resources": {
        "train_autoencoder": {"slurm_partition": "gpu", "mem_mb": 2000},
        "train_posed": {"slurm_partition": "gpu", "mem_mb": 2000},
        "formulas": {"slurm_partition": "gpu"},
        "cluster_kmeans": {"mem_mb": 2000},
    },
}


def reason_for_none() -> str:
    """Why there can be no SLURM of ours here, empty where there can."""
    if os.geteuid() != 0:
        return "not root: these tests start a SLURM of one node"
    path = f"{os.environ['PATH']}:/usr/sbin"
    missing = [name for name in ("munged", "slurmctld", "slurmd", "sbatch") if not shutil.which(name, path=path)]
    if missing:
        return f"no {', '.join(missing)}: apt-get install slurm-wlm munge slurm-wlm-basic-plugins"
    if CONF.exists() and str(STATE) not in CONF.read_text():
        return f"{CONF} is there: this machine has a SLURM that is not ours"
    return ""


@pytest.fixture(scope="module")
def slurm(data, tmp_path_factory):
    """A SLURM of one node with four CPUs and one GPU; gives the profile that fits `profiles/slurm` to it."""
    reason = reason_for_none()
    if reason:
        pytest.skip(reason)
    up, down = (data / f"slurm/{name}.sh" for name in ("up", "down"))
    with open(f"{STATE}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # there is one /etc/slurm, and others may test at the same time
        if CONF.exists():
            subprocess.run(["bash", down, STATE], check=True)
        shutil.rmtree(STATE, ignore_errors=True)
        log = tmp_path_factory.mktemp("slurm") / "up.log"
        with log.open("w") as file:  # not a pipe, which the daemons would hold open
            started = subprocess.run(["bash", up, STATE], stdout=file, stderr=subprocess.STDOUT)
        try:
            assert started.returncode == 0 and "idle" in log.read_text(), log.read_text()
            overlay = tmp_path_factory.mktemp("overlay")
            (overlay / "config.yaml").write_text(yaml.safe_dump(OVERLAY))
            yield ("--workflow-profile", "profiles/slurm", "--profile", str(overlay))
        finally:
            subprocess.run(["scancel", "--user", "root"])
            subprocess.run(["bash", down, STATE], check=True)
            wait_for(lambda: not list(STATE.glob("*.pid")), 30)


def wait_for(what, seconds: float):
    """What a function returns as soon as that is something."""
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.2)
    return found


def start(project: Path, *arguments: str) -> tuple[subprocess.Popen, Path]:
    """A Snakemake that goes on, and the file of what it says."""
    log = project / "run.log"
    with log.open("w") as file:
        command = [sys.executable, "-m", "snakemake", *arguments]
        return subprocess.Popen(command, cwd=project, stdout=file, stderr=subprocess.STDOUT), log


def records(project: Path, rule: str = r"\w+", model: str = ".*") -> list[dict[str, str]]:
    """What SLURM itself knows of the jobs of a project, of one rule or one model, in the order they were submitted."""
    lines = subprocess.run(["scontrol", "-d", "-o", "show", "job"], capture_output=True, text=True, check=True).stdout
    jobs = [dict(re.findall(r"([\w/]+)=(\S*)", line)) for line in lines.splitlines()]
    asked = re.compile(f"rule_{rule}(_wildcards_{model})?")
    jobs = [job for job in jobs if job.get("WorkDir") == str(project) and asked.fullmatch(job["Comment"])]
    return sorted(jobs, key=lambda job: int(job["JobId"]))


def memory(job: dict[str, str]) -> str:
    return re.search(r"mem=(\w+)", job["TRES"])[1]


FAULTS = """
import os, signal, time

first = snakemake.resources.mem_mb == 2000
if snakemake.wildcards.model == "doomed" or snakemake.wildcards.model == "needy" and first:
    os.kill(os.getpid(), signal.SIGKILL)  # what becomes of a job that takes more memory than it was given
if snakemake.wildcards.model == "slow" and first:
    time.sleep(600)
"""


@pytest.fixture(scope="module")
def trouble(slurm, tmp_path_factory):
    """A run with a model whose job is always killed, one killed below 4 GB, and one that hangs at its first attempt."""
    project = copy_project(tmp_path_factory.mktemp("trouble") / "project")
    (project / "config.yaml").write_text(SMALL)
    script = project / "workflow_scripts/extract_kernels.py"
    script.write_text(FAULTS + script.read_text())
    (project / "nets").mkdir()
    models = ("doomed", "needy", "slow")
    for seed, model in enumerate(models):
        make_net(project / f"nets/{model}.safetensors", seed)
    make_sheet(project, [f"{model} file:nets/{model}.safetensors" for model in models])
    targets = [f"results/kernels/{model}" for model in models]
    limit = ("--set-resources", "extract_kernels:runtime=1 if wildcards.model == 'slow' and attempt == 1 else 60")
    process, log = start(project, *slurm, *limit, "--", *targets)
    yield project, process, log
    process.kill()


@pytest.fixture(scope="module")
def embedded(slurm, trouble, tmp_path_factory):
    """The embedded job, with Snakemake killed when some models have been assigned, and started again.

    Training is short, all else is as it comes: the project, and what both runs said.
    """
    project = copy_project(tmp_path_factory.mktemp("embedded") / "project")
    shutil.copytree(ROOT / "resources/zoo", project / "resources/zoo")
    settings = ["models: resources/zoo/zoo.tsv", "training: {restarts: 1, steps: 100}"]
    settings += ["evidence: {kernels: 500, splits: 1, steps: 100}"]
    (project / "short.yaml").write_text("\n".join(settings))
    arguments = (*slurm, "--configfile", "short.yaml")
    process, log = start(project, *arguments)
    try:
        wait_for(lambda: process.poll() is not None or len(finished(log.read_text(), "assign_kernels")) >= 2, 1800)
        assert process.poll() is None, log.read_text()[-5000:]
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    killed = log.read_text()
    # what docs/cluster.md says to do then
    run = re.search(r"^SLURM run ID: (\S+)", killed, re.M)[1]
    subprocess.run(["scancel", "--name", run], check=True)
    snakemake(project, "--unlock")
    process, log = start(project, *arguments)
    assert process.wait(1800) == 0, log.read_text()[-5000:]
    return project, arguments, killed, log.read_text()


def finished(output: str, rule: str) -> set[str]:
    """The models whose job of a rule ended well, by what a run said."""
    named = dict(re.findall(r"^Job (\d+): \w+ the kernels of (\S+)$", output, re.M))
    return {named[job] for job in re.findall(rf"^Finished jobid: (\d+) \(Rule: {rule}\)", output, re.M)}


def test_the_embedded_job_runs_through_the_profile(embedded):
    project, _, _, _ = embedded
    models = {path.stem for path in (ROOT / "resources/zoo").glob("*.safetensors")}
    assert "chars74k_7x7_s0" in (project / "results/report.html").read_text()
    assert {path.stem for path in (project / "results/assignments").iterdir()} == models
    assert {job["JobState"] for job in records(project)} <= {"COMPLETED", "CANCELLED"}  # no retry was needed
    rules = "".join(path.read_text() for path in (project / "rules").glob("*.smk"))
    local = re.findall(r"\w+", "".join(re.findall(r"^localrules:\n((?:    .*\n)+)", rules, re.M)))
    assert "fetch_kernels" in local and not [rule for rule in local if records(project, rule)]


def test_jobs_ask_for_what_their_rules_say(embedded):
    project, _, _, _ = embedded
    for job in records(project, "assign_kernels"):
        assert (memory(job), job["TimeLimit"], job["NumCPUs"]) == ("2000M", "01:00:00", "1")
    assert {job["Partition"] for job in records(project, "train_autoencoder")} == {"gpu"}
    assert {job["Partition"] for job in records(project, "assign_kernels")} == {"cpu"}


def test_training_gets_its_gpu(embedded):
    project, _, _, _ = embedded
    one, other = records(project, "train_autoencoder")
    assert [job.get("JOB_GRES") for job in records(project)].count("gpu:1") == 6  # two sizes, trained twice and fitted
    assert one["JOB_GRES"] == other["JOB_GRES"] == "gpu:1"
    # there is one GPU, so they took turns; nothing else that they ask for is scarce
    assert one["EndTime"] <= other["StartTime"] or other["EndTime"] <= one["StartTime"]


def test_a_killed_snakemake_does_no_finished_model_again(embedded):
    project, _, killed, again = embedded
    before = finished(killed, "assign_kernels")
    assert len(before) >= 2 and not before & finished(again, "assign_kernels")
    for rule in ("extract_kernels", "train_autoencoder"):
        assert f"(Rule: {rule})" in killed and f"(Rule: {rule})" not in again
    for model in before:
        (job,) = records(project, "assign_kernels", model)
        assert job["JobState"] == "COMPLETED"


def test_a_second_run_does_nothing(embedded):
    project, arguments, _, _ = embedded
    jobs = len(records(project))
    process, log = start(project, *arguments)
    assert process.wait(60) == 0 and "Nothing to be done" in log.read_text()
    assert len(records(project)) == jobs


@pytest.fixture(scope="module")
def outcome(trouble):
    """The run with trouble at its end: the project, and what it said."""
    project, process, log = trouble
    assert process.wait(400) != 0
    return project, log.read_text()


def test_a_killed_job_is_tried_again_with_more_memory(outcome):
    project, _ = outcome
    first, second = records(project, "extract_kernels", "needy")
    assert (first["JobState"], memory(first)) == ("FAILED", "2000M")
    assert (second["JobState"], memory(second)) == ("COMPLETED", "4000M")
    assert (project / "results/kernels/needy/000.parquet").exists()


def test_a_job_that_never_ends_well_is_reported_when_all_others_are_done(outcome):
    project, output = outcome
    jobs = records(project, "extract_kernels", "doomed")
    assert [job["JobState"] for job in jobs] == ["FAILED"] * 3
    assert [memory(job) for job in jobs] == ["2000M", "4000M", "6000M"]
    assert "    output: results/kernels/doomed" in output and f"SLURM-job '{jobs[2]['JobId']}' failed" in output
    assert "At least one job did not complete successfully" in output
    assert sorted(path.name for path in (project / "results/kernels").iterdir()) == ["needy", "slow"]


def test_a_job_out_of_time_is_named_and_tried_again(outcome):
    project, output = outcome
    first, second = records(project, "extract_kernels", "slow")
    assert (first["JobState"], second["JobState"]) == ("TIMEOUT", "COMPLETED")
    message = rf"SLURM-job '{first['JobId']}' failed, SLURM status is: 'TIMEOUT'"
    assert re.search(rf"{message}(?:.*\n){{,8}}    output: results/kernels/slow$", output, re.M)
