"""How fast the atlas opens and scrolls with many kernels, in headless Chromium from disk.

    python benchmarks/atlas.py [--kernels 100000] [--side 7] [--rounds 3]

A page with so many kernels, patterns with noise in models of 10,000 each, is written. Printed are its size, medians of
the time to the first paint, to the wall of the first network, from asking for a wall of all kernels by code to seeing
it, and from there to the map; and how many frames a second there are while that wall is scrolled by a screen every
second, and while the map is dragged.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from safetensors.numpy import save_file

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from atlas_page import STATISTICS  # noqa: E402
from browser import complaints, open_browser, show  # noqa: E402

from kernel_atlas.core.patterns import read_patterns, templates  # noqa: E402
from kernel_atlas.io.extract import extract_model  # noqa: E402
from kernel_atlas.io.shards import shards_of  # noqa: E402
from kernel_atlas.io.sources import Wanted  # noqa: E402
from kernel_atlas.io.tables import columns_of, write_table  # noqa: E402
from kernel_atlas.model.assign import SCHEMA, Assigner, Labeller  # noqa: E402
from kernel_atlas.model.coder import SAMPLES, build_spectrum  # noqa: E402
from kernel_atlas.publish.atlas import write_atlas  # noqa: E402

MODEL, LAYER = 10_000, 500  # kernels
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
FIRST, ALL, MAP = (
    "#view=kernels&left=net_000",
    ASK.replace("{}", "{left: '', order: 'code'}"),
    ASK.replace("{}", "{view: 'map'}"),
)


def write_page(folder: Path, count: int, side: int) -> Path:
    """A page of that many kernels; codes, labels and dissimilarities are random, which changes nothing of the speed."""
    random, taps = np.random.default_rng(0), templates(side).taps
    clusters = pd.DataFrame({"cluster": range(4), "code_low": np.arange(4) / 4, "code_high": np.arange(1, 5) / 4})
    clusters["label"] = ["On-Centre", "Off-Centre", "First-Derivative-E", "On-Cross"]
    names = [f"net_{number:03d}" for number in range(-(-count // MODEL))]
    for name in names:
        kernels = taps[random.integers(0, len(taps), MODEL)] + random.normal(0, 0.05, (MODEL, side * side))
        layers = kernels.astype(np.float32).reshape(-1, LAYER, 1, side, side)
        save_file({f"{n}.weight": layer for n, layer in enumerate(layers)}, folder / f"{name}.safetensors")
        extract_model(
            name, f"file:{name}.safetensors", Wanted(folder), folder / "kernels" / name, dense_per_layer=1, seed=1
        )
        codes = random.random(MODEL, np.float32)
        columns = {"model": [name] * MODEL, "layer_index": np.repeat(np.arange(MODEL // LAYER), LAYER)}
        columns |= {"channel": np.tile(np.arange(LAYER), MODEL // LAYER), "kh": [side] * MODEL, "kw": [side] * MODEL}
        cluster = (codes * 4).astype(int)
        columns |= {"code": codes, "dissimilarity": random.random(MODEL, np.float32), "cluster": cluster}
        columns |= {"label": clusters["label"].to_numpy()[cluster], "tap_sum": kernels.sum(axis=1)}
        missing = {field.name: pa.nulls(MODEL, field.type) for field in SCHEMA if field.name not in columns}
        write_table(pa.table(columns | missing).select(SCHEMA.names).cast(SCHEMA), folder / f"{name}.parquet")
        assert len(shards_of(folder / "kernels" / name)) == MODEL // LAYER
    sheet = pd.DataFrame({"model": names, "use": "train", "convolution": "depthwise"})
    sheet = sheet.reindex(columns=[*sheet, "family", "dataset", "top1"])
    spectrum = build_spectrum(np.repeat(taps, -(-SAMPLES // len(taps)), axis=0)[:SAMPLES], random.random(count))
    page, size = folder / "atlas.html", f"{side}x{side}"
    write_atlas(
        page,
        ROOT / "kernel_atlas/publish/pages/atlas.html",
        "Benchmark",
        sheet,
        {name: folder / "kernels" / name for name in names},
        {name: folder / f"{name}.parquet" for name in names},
        Assigner(read_patterns(), {side: Labeller(None, clusters, 0.3)}),
        {size: spectrum},
        {name: pd.DataFrame(columns=columns_of(f"{name}.csv")) for name in STATISTICS},
    )
    return page


def until_shown(driver) -> float:
    """When the page said that it shows what was asked for, ms since it was opened."""
    for _ in range(1200):
        if marks := driver.execute_script(MARK):
            return marks[-1]
        time.sleep(0.05)
    raise SystemExit("error: the page shows nothing")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kernels", type=int, default=100_000)
    parser.add_argument("--side", type=int, default=7)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        page = write_page(Path(folder), options.kernels, options.side)
        print(
            f"{options.kernels} kernels of {options.side}x{options.side}: page of {page.stat().st_size / 1e6:.1f} MB, "
            f"written with its shards in {time.perf_counter() - begin:.0f} s"
        )
        rounds = []
        for _ in range(options.rounds):
            with open_browser(Path(folder)) as driver:
                show(driver, page, width=1600, fragment=FIRST)
                wall = until_shown(driver)
                paint = driver.execute_script(PAINT)
                asked = driver.execute_script(ALL)
                every = until_shown(driver) - asked
                scrolled = driver.execute_async_script(SCROLL)
                asked = driver.execute_script(MAP)
                mapped = until_shown(driver) - asked
                rounds.append((paint, wall, every, scrolled, mapped, driver.execute_async_script(DRAG)))
                assert not complaints(driver)
        paint, wall, every, scrolled, mapped, dragged = (
            statistics.median(column) for column in zip(*rounds, strict=True)
        )
    print(f"first paint {paint:.0f} ms, first wall {wall:.0f} ms")
    print(f"wall of all {every:.0f} ms, {scrolled:.0f} frames/s; map of all {mapped:.0f} ms, {dragged:.0f} frames/s")


if __name__ == "__main__":
    main()
