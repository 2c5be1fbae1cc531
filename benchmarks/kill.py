"""Fifty times SIGKILL: ten small jobs, each killed five times at random moments and started again, then finished.

    python benchmarks/kill.py [--jobs 10]

Every second time the jobs of the killed Snakemake live on. Says how many final tables differ from an undisturbed run's,
and how far the runs had come when they were killed.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "tests")]
from conftest import make_project, snakemake  # noqa: E402
from test_faults import final_files, start_over_and_over  # noqa: E402

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--jobs", type=int, default=10)
jobs = parser.parse_args().jobs
random = np.random.default_rng()
differing, kills = 0, 0
with tempfile.TemporaryDirectory() as name:
    finished = make_project(Path(name) / "finished")
    snakemake(finished)
    undisturbed = final_files(finished)
    for job in range(jobs):
        project = Path(name) / f"job{job}"
        moments = random.uniform(1, 8, 5)
        start_over_and_over(finished, project, moments)
        done = len(final_files(project))
        snakemake(project)
        left = final_files(project)
        wrong = sorted(file for file in left.keys() | undisturbed.keys() if left.get(file) != undisturbed.get(file))
        differing, kills = differing + len(wrong), kills + len(moments)
        seconds = ", ".join(f"{moment:.1f}" for moment in moments)
        print(f"killed after {seconds} s: {done} of {len(undisturbed)} files were there, {wrong} differ", flush=True)
        shutil.rmtree(project)
print(f"{kills} kills: {differing} of {jobs * len(undisturbed)} final files differ from the undisturbed run's")
