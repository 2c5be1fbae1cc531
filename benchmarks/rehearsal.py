"""All of config/timm.yaml, end to end, against a loopback hub that makes the kernels: what it costs, what is found.

    python benchmarks/rehearsal.py --folder FOLDER [--tags 60]     a run of 60 networks; without --tags, of all 721
    python benchmarks/rehearsal.py --folder FOLDER --report        what is known so far, also while a run goes on
    python benchmarks/rehearsal.py --folder FOLDER --draw FILE     minutes and memory of each rule, as SVG

The hub (tests/rehearsal_hub.py) takes 20 ms a request and sends 50 MB/s. FOLDER holds the run, the hub's headers and
`steps.jsonl`, a line for each step: the plan; the run; the same again, which tries only the lost networks again; one
network more; a network whose weights have changed, read again. A step that is there is not done again, so that a killed
rehearsal goes on where it was.

Memory is the sum of the resident sizes of all processes of Snakemake at one moment, shared pages counted in each, so
that it is an upper bound. Jobs, seconds and memory of a rule are those of Snakemake's benchmark files. The load is that
of the machine, at the beginning and at the end of a step.
"""

import argparse
import json
import multiprocessing
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import seaborn as sns

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from rehearsal_hub import SHEET, plant, read_faults, write_headers  # noqa: E402
from timm_run import done_since, family  # noqa: E402

from kernel_atlas.figures import style  # noqa: E402

DELAY, BANDWIDTH = 0.02, 50e6  # seconds a request; bytes a second
MORE, RETAGGED = "mobilenetv4_conv_small.e3600_r256_in1k", "fastvit_t8.apple_dist_in1k"  # assigned only
FEWEST = 500  # kernels of a size from which on the shares of a network are judged


def choose_tags(count: int) -> pd.DataFrame:
    """Rows of the sheet: those with faults, the two of the last steps, and others evenly from the rest."""
    sheet = pd.read_csv(SHEET, sep="\t", dtype=str, keep_default_na=False)
    fixed = sheet["model"].isin([*read_faults()["tag"], MORE, RETAGGED])
    rest = sheet.index[~fixed]
    spread = rest[np.linspace(0, len(rest) - 1, max(0, count - fixed.sum())).round().astype(int)]
    return sheet[fixed | sheet.index.isin(spread)]


@contextmanager
def serve(headers: Path, *retagged: str) -> Iterator[tuple[str, callable]]:
    """Endpoint of the hub in a process of its own, and a function that gives requests and bytes since its last call."""
    command = [sys.executable, str(ROOT / "tests/rehearsal_hub.py"), str(headers), str(DELAY), str(BANDWIDTH)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([*command, *retagged], text=True, **pipes) as process:

        def sent() -> list[int]:
            print(file=process.stdin, flush=True)
            return json.loads(process.stdout.readline())

        yield process.stdout.readline().strip(), sent
        process.stdin.close()


def resident(process: int) -> float:
    """Resident memory of a process and all that it started, GB."""
    total = 0
    for member in family(process):
        total += int(Path(f"/proc/{member}/statm").read_text().split()[1])
    return total * os.sysconf("SC_PAGE_SIZE") / 1e9


def processor_of(process: int) -> float:
    """Processor seconds of a process alone, without those that it started."""
    user, system = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def snakemake(folder: Path, endpoint: str, step: str, *arguments: str) -> dict:
    """Run Snakemake as a user would; give what it took."""
    # one second, Snakemake's default, takes a core with 700 ready jobs
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--max-jobs-per-timespan", "1000/30s"]
    command += ["--directory", str(folder)]
    command += ["--configfile", str(ROOT / "config/timm.yaml"), *arguments]
    environment = os.environ | {"HF_ENDPOINT": endpoint, "HF_HOME": str(folder / "hub"), "NO_PROXY": "127.0.0.1"}
    environment |= {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": ""}
    peak, own, load, before = [0.0], [0.0], [os.getloadavg()[0]], resource.getrusage(resource.RUSAGE_CHILDREN)
    start, began = time.perf_counter(), time.time()
    with (folder / f"{step}.log").open("a") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT)

        def watch() -> None:
            while process.poll() is None:
                try:
                    peak[0] = max(peak[0], resident(process.pid))
                    own[0] = processor_of(process.pid)
                except OSError:  # one ended meanwhile
                    pass
                time.sleep(0.5)

        watcher = threading.Thread(target=watch)
        watcher.start()
        watcher.join()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    return {
        "step": step,
        "wall_s": round(time.perf_counter() - start, 1),
        "processor_s": round(processor, 1),
        "snakemake_s": round(own[0], 1),
        "peak_gb": round(peak[0], 2),
        "load": [round(load[0], 1), round(os.getloadavg()[0], 1)],
        "status": process.returncode,
        "jobs": done_since(began, folder) if "-n" not in arguments else {},
    }


def rehearse(folder: Path, tags: int) -> None:
    """Do the steps that are not done yet."""
    chosen, steps = choose_tags(tags), folder / "steps.jsonl"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config").mkdir(exist_ok=True)
    # timm is imported in a process of its own, as it would take 1 GB of this one
    headers = multiprocessing.get_context("spawn").Process(
        target=write_headers, args=(folder / "headers", list(chosen["model"]))
    )
    headers.start()
    headers.join()
    assert headers.exitcode == 0
    done = {json.loads(line)["step"] for line in steps.read_text().splitlines()} if steps.exists() else set()
    kernels = f"results/kernels/{RETAGGED}"
    fewer = chosen[chosen["model"] != MORE]
    plan = [("plan", fewer, ["-n"]), ("run", fewer, []), ("again", fewer, []), ("more", chosen, [])]
    for step, sheet, arguments in [*plan, ("retagged", chosen, ["--forcerun", kernels])]:
        if step in done:
            continue
        sheet.to_csv(folder / "config/timm.tsv", sep="\t", index=False)
        with serve(folder / "headers", *([RETAGGED] if step == "retagged" else [])) as (endpoint, sent):
            told = snakemake(folder, endpoint, step, *arguments)
            told["requests"], told["bytes"] = sent()
        told["networks"] = len(sheet)
        with steps.open("a") as file:
            print(json.dumps(told), file=file)
        print(json.dumps(told), flush=True)


def rules_of(folder: Path) -> pd.DataFrame:
    """Jobs, seconds and memory of each rule, in the order of their first ends."""
    rows = []
    for file in (folder / "results/benchmarks").rglob("*.tsv"):
        rule = file.relative_to(folder / "results/benchmarks").parts[0].removesuffix(".tsv")
        told = pd.read_csv(file, sep="\t").iloc[0]
        end = file.stat().st_mtime
        rows.append({"rule": rule, "end": end, "start": end - told["s"], **told[["s", "cpu_time", "max_rss"]]})
    found = pd.DataFrame(rows).astype({"cpu_time": float, "max_rss": float})
    grouped = found.groupby("rule")
    table = pd.DataFrame(
        {
            "jobs": grouped.size(),
            "wall_s": grouped["end"].max() - grouped["start"].min(),
            "job_s": grouped["s"].sum(),
            "longest_s": grouped["s"].max(),
            "processor_s": grouped["cpu_time"].sum(),
            "largest_mb": grouped["max_rss"].max(),
        }
    )
    return table.loc[grouped["end"].min().sort_values().index].round(1)


def compare(folder: Path, retagged: bool = False) -> pd.DataFrame:
    """Each planted kernel of the networks that were read, counted: model, kh, third, planted, found, kernels.

    Fails where a layer or a square kernel of a network that was read is missing.
    """
    inventory = pd.read_parquet(folder / "results/inventory.parquet")
    counted = []
    for model, layers in inventory.groupby("model"):
        kernels = plant(model, int(retagged and model == RETAGGED))
        assert list(layers["layer"]) == list(kernels), model
        path = folder / f"results/assignments/{model}.parquet"
        found = pd.read_parquet(path, columns=["layer_index", "channel", "kh", "label"])
        place = {name: index for index, name in enumerate(kernels)}
        square = layers[(layers["kh"] == layers["kw"]) & (layers["kh"] > 2)]
        if square.empty:
            continue
        parts = []
        for row in square.itertuples():
            labels = kernels[row.layer].labels
            same = {"layer_index": row.layer_index, "third": 3 * place[row.layer] // len(kernels)}
            parts.append(pd.DataFrame({"channel": range(len(labels)), "planted": labels, **same}))
        merged = found.merge(pd.concat(parts), on=["layer_index", "channel"], how="outer", validate="one_to_one")
        assert merged.notna().all(axis=None), model
        counts = merged.value_counts(["kh", "third", "planted", "label"]).rename("kernels").reset_index()
        counted.append(counts.rename(columns={"label": "found"}).assign(model=model))
    return pd.concat(counted, ignore_index=True)


def deviations(counts: pd.DataFrame) -> pd.Series:
    """The largest difference of a label's share, in points, of each model and size; noise has no label to be found."""
    known = counts[counts["planted"] != "noise"]
    places = ["model", "kh"]
    total = known.groupby(places)["kernels"].sum()
    shares = {}
    for name in ("planted", "found"):
        sums = known.groupby([*places, name])["kernels"].sum().rename_axis([*places, "label"])
        shares[name] = 100 * sums / total
    difference = shares["planted"].sub(shares["found"], fill_value=0).abs()
    return difference.groupby(places).max()[total > FEWEST]


def judge_failures(folder: Path) -> list[str]:
    """What differs between the planted failures and those of results/sources.csv, a line each."""
    failures = pd.read_csv(folder / "results/sources.csv").set_index("model")["failure"]
    faults = read_faults().set_index("tag")
    lost, wrong = faults[faults["lost"] == "yes"], []
    for model, failure in failures.items():
        told = failure if isinstance(failure, str) else ""
        if (model in lost.index) != bool(told):
            wrong.append(f"{model}: {told or 'read, though it should be lost'}")
        elif model in lost.index and lost.at[model, "says"] not in told:
            wrong.append(f"{model}: lost for another reason: {told}")
    return wrong


def report(folder: Path) -> None:
    for line in (folder / "steps.jsonl").read_text().splitlines():
        print(line)
    print(rules_of(folder).to_string())
    if (folder / "results/statistics/models.csv").exists():
        wrong, retagged = judge_failures(folder), '"retagged"' in (folder / "steps.jsonl").read_text()
        counts = compare(folder, retagged)
        print(f"failures: {'as planted' if not wrong else wrong}")
        off = deviations(counts)
        print(f"shares of {len(off)} networks and sizes: {off.max():.2f} points from the planted at most")
        noise = counts[counts["planted"] == "noise"].assign(other=lambda table: table["found"] == "other")
        print("noise kernels without a pattern:")
        shares = noise["other"].mul(noise["kernels"]).groupby(noise["kh"]).sum()
        print((100 * shares / noise.groupby("kh")["kernels"].sum()).round(1).to_string())
        total = counts[counts["planted"] != "noise"]
        for name in ("planted", "found"):
            sums = total.pivot_table(index=name, columns=["kh", "third"], values="kernels", aggfunc="sum", fill_value=0)
            print((100 * sums / sums.sum()).round(1).to_string())


def draw(table: pd.DataFrame, path: Path) -> None:
    """Bars of a core's minutes and of the largest memory of each rule, the costliest first.

    Parameters
    ----------
    table : DataFrame
        Of `rules_of`.
    path : path
    """
    table = table.sort_values("processor_s", ascending=False)
    table = table[table["processor_s"] >= 0.01 * table["processor_s"].sum()]
    rows = table.index + table["jobs"].map(" ({})".format)
    with style.atlas_style():
        columns = {"minutes of a core": table["processor_s"] / 60, "GB at most in one job": table["largest_mb"] / 1e3}
        figure, panels = style.open_panels(list(columns), 0.5 + 0.2 * len(table), columns=(2, 1), sharey=True)
        for (name, values), colour in zip(columns.items(), style.COLOURS, strict=False):
            sns.barplot(x=values.to_numpy(), y=rows, color=colour, saturation=1, ax=panels[name])
            panels[name].bar_label(panels[name].containers[0], fmt="%.3g", padding=2)
            panels[name].set(ylabel="", xlim=(0, 1.12 * values.max()))
        figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--tags", type=int, default=721)
    parser.add_argument("--report", action="store_true")
    parser.add_argument("--draw", type=Path)
    options = parser.parse_args()
    folder = options.folder.resolve()
    if options.draw:
        draw(rules_of(folder), options.draw)
        return
    if not options.report:
        rehearse(folder, options.tags)
    report(folder)


if __name__ == "__main__":
    main()
