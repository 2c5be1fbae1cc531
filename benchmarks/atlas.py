"""How fast the atlas of a large run is written, opens and moves, in headless Chromium from a server on this machine.

    python benchmarks/atlas.py [--kernels 1000000] [--networks 100] [--side 7] [--rounds 3]

The tables of such a run are written: patterns with noise, in networks of 25 layers. Printed are time
and memory of writing the page, its size, and medians of
- the first paint, and the first wall: of one network, and of all networks (a sample of their kernels),
- what was transferred before these walls,
- frames a second while the wall is scrolled by a screen every second, and while the map is dragged: with the sample,
  and with every kernel.
"""

import argparse
import contextlib
import functools
import http.server
import multiprocessing
import os
import resource
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from safetensors.numpy import save_file
from selenium import webdriver

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from browser import complaints, events, open_browser  # noqa: E402

from kernel_atlas.core.patterns import read_patterns, templates  # noqa: E402
from kernel_atlas.io.extract import extract_model, read_inventory  # noqa: E402
from kernel_atlas.io.sheet import read_sheet  # noqa: E402
from kernel_atlas.io.sources import Wanted  # noqa: E402
from kernel_atlas.io.tables import columns_of, write_table  # noqa: E402
from kernel_atlas.model.assign import SCHEMA, Assigner, Labeller  # noqa: E402
from kernel_atlas.model.coder import SAMPLES, build_spectrum  # noqa: E402
from kernel_atlas.publish.atlas import write_atlas  # noqa: E402
from kernel_atlas.stats import shares  # noqa: E402

LAYERS = 25  # of a network
FRAMES = """const done = arguments[0], wall = document.querySelector("#left .wall"), begin = performance.now();
let frames = 0;
const step = (now) => {
  if (now - begin > 3000) return done((frames * 1000) / (now - begin));
  frames++;
  MOVE;
  requestAnimationFrame(step);
};
requestAnimationFrame(step);"""
SCROLL = FRAMES.replace("MOVE", "wall.scrollTop = ((now - begin) / 1000) * wall.clientHeight + 12345")
DRAG = FRAMES.replace("MOVE", "plane.at = { ...plane.at, x: (now - begin) / 1e4 }; plane.draw()")
MARK = "return performance.getEntriesByName('shown').map((mark) => mark.startTime)"
PAINT = "return performance.getEntriesByName('first-contentful-paint')[0].startTime"
ASK = "performance.clearMarks(); const begin = performance.now(); change({}); return begin"


def write_tables(folder: Path, count: int, networks: int, side: int) -> list[str]:
    """Shards and assignments of that many kernels; gives the names of networks.

    Codes, similarities and second labels are random, which changes nothing of the speed.
    """
    random, patterns = np.random.default_rng(0), templates(side)
    labels = np.array(patterns.labels, object)
    names, each = [f"net_{number:03d}" for number in range(networks)], count // networks // LAYERS
    mine = each * LAYERS
    for name in names:
        drawn = random.integers(0, len(labels), mine)
        kernels = patterns.taps[drawn] + random.normal(0, 0.05, (mine, side * side))
        layers = kernels.astype(np.float32).reshape(-1, each, 1, side, side)
        file = folder / f"{name}.safetensors"
        save_file({f"stages.{n // 5}.blocks.{n % 5}.weight": layer for n, layer in enumerate(layers)}, file)
        extract_model(name, f"file:{file.name}", Wanted(folder), folder / "kernels" / name, dense_per_layer=1, seed=1)
        file.unlink()
        columns = {"model": [name] * mine, "layer_index": np.repeat(np.arange(LAYERS), each)}
        columns |= {"channel": np.tile(np.arange(each), LAYERS), "kh": [side] * mine, "kw": [side] * mine}
        columns |= {"label": np.where(random.random(mine) < 0.3, "other", labels[drawn])}
        columns |= {"second": random.permutation(labels[drawn]), "beyond_spectrum": random.random(mine) < 0.5}
        fractions = ("similarity", "margin", "scrambled", "code", "dissimilarity")
        columns |= {column: random.random(mine, np.float32) for column in fractions}
        columns |= {"cluster": (columns["code"] * 4).astype(int), "tap_sum": kernels.sum(axis=1)}
        missing = {field.name: pa.nulls(mine, field.type) for field in SCHEMA if field.name not in columns}
        write_table(pa.table(columns | missing).select(SCHEMA.names).cast(SCHEMA), folder / f"{name}.parquet")
    return names


def write_page(folder: Path, names: list[str], side: int) -> None:
    """Write the page as the workflow does; prints how long it took and how much memory."""
    random, size, taps = np.random.default_rng(0), f"{side}x{side}", templates(side).taps
    kernels = {name: folder / "kernels" / name for name in names}
    assignments = {name: folder / f"{name}.parquet" for name in names}
    rows = [f"{name}\tfile:{name}.safetensors\ttrain" for name in names]
    (folder / "sheet.tsv").write_text("\n".join(["model\tsource\tuse", *rows]) + "\n")
    sheet = read_sheet(folder / "sheet.tsv")
    counts = shares.count_assignments(assignments.values(), {})
    tables = {"models": shares.summarise_models(counts, sheet, 0), "labels": shares.summarise_labels(counts, 0)}
    tables |= {"totals": shares.summarise_totals(counts, tables["models"])}
    tables |= {"layers": shares.summarise_layers(counts, read_inventory(kernels.values()).to_pandas())}
    tables |= {"chance": pd.DataFrame(columns=columns_of("chance.csv"))}
    clusters = pd.DataFrame({"cluster": range(4), "code_low": np.arange(4) / 4, "code_high": np.arange(1, 5) / 4})
    clusters["label"] = ["On-Centre", "Off-Centre", "First-Derivative-E", "On-Cross"]
    spectrum = build_spectrum(np.repeat(taps, -(-SAMPLES // len(taps)), axis=0)[:SAMPLES], random.random(10_000))
    del counts
    before, begin = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    write_atlas(
        folder / "page/atlas.html",
        ROOT / "kernel_atlas/publish/pages/atlas.html",
        "Benchmark",
        sheet,
        kernels,
        assignments,
        Assigner(read_patterns(), {side: Labeller(None, clusters, 0.3)}),
        {size: spectrum},
        tables,
    )
    taken, most = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    files = [path.stat().st_size for path in (folder / "page/atlas").iterdir()]
    print(f"written in {taken:.0f} s with at most {most / 1e6:.2f} GB ({before / 1e6:.2f} GB before)")
    page = (folder / "page/atlas.html").stat().st_size
    print(f"page of {page / 1e6:.1f} MB, {len(files)} files of {sum(files) / 1e6:.0f} MB beside it")


@contextlib.contextmanager
def serve(folder: Path) -> Iterator[str]:
    """A server of a folder; gives the address of its page."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/atlas.html"
        server.shutdown()


def until_shown(driver: webdriver.Chrome) -> float:
    """When the page said that it shows what was asked for, ms since it was opened."""
    for _ in range(12_000):
        if marks := driver.execute_script(MARK):
            return marks[-1]
        time.sleep(0.05)
    raise SystemExit("error: the page shows nothing")


def measure(address: str, folder: Path) -> dict[str, float]:
    """One round, in a browser of its own."""
    with open_browser(folder, hosts=["127.0.0.1"]) as driver:
        driver.set_script_timeout(600)
        found = {}

        def ask(changes: str) -> float:
            asked = driver.execute_script(ASK.replace("{}", changes))
            return until_shown(driver) - asked

        for words, fragment in (("of a network", "#view=kernels&left=net_000"), ("of all networks", "#view=kernels")):
            driver.get("about:blank")
            events(driver)
            driver.get(address + fragment)
            found[f"first wall {words}, ms"] = until_shown(driver)
            found[f"first paint before the wall {words}, ms"] = driver.execute_script(PAINT)
            loaded = [one["params"] for one in events(driver) if one["method"] == "Network.loadingFinished"]
            sizes = [one["encodedDataLength"] for one in loaded]
            found[f"transferred before the wall {words}, MB"] = sum(sizes) / 1e6
        for words, level in (("of the sample", 0), ("of every kernel", 9)):
            found[f"wall {words}, ms"] = ask(f"{{view: 'kernels', order: 'code', read: {level}}}")
            found[f"scrolling the wall {words}, frames/s"] = driver.execute_async_script(SCROLL)
            found[f"map {words}, ms"] = ask("{view: 'map'}")
            found[f"dragging the map {words}, frames/s"] = driver.execute_async_script(DRAG)
        said = [line for line in complaints(driver) if not line.startswith(address.rsplit("/", 1)[0])]
        assert not said, said
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kernels", type=int, default=1_000_000)
    parser.add_argument("--networks", type=int, default=100)
    parser.add_argument("--side", type=int, default=7)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(f"load of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "page").mkdir()
        names = write_tables(folder, options.kernels, options.networks, options.side)
        print(f"{options.kernels} kernels of {options.side}x{options.side} in {len(names)} networks", flush=True)
        writer = multiprocessing.get_context("spawn").Process(target=write_page, args=(folder, names, options.side))
        writer.start()
        writer.join()
        if writer.exitcode:
            raise SystemExit("error: the page could not be written")
        with serve(folder / "page") as address:
            rounds = pd.DataFrame([measure(address, folder) for _ in range(options.rounds)])
        for what in rounds:
            print(f"{what}: {statistics.median(rounds[what]):.1f}")
    print(f"load of the machine {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
