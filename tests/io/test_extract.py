"""Extraction: what the shards hold, and that a failure leaves nothing half done."""

import itertools
import os
import subprocess
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.numpy

import kernel_atlas
import kernel_atlas.io.extract
from kernel_atlas.core.errors import AtlasError
from kernel_atlas.io.extract import INVENTORY, extract_model, read_inventory
from kernel_atlas.io.shards import shards_of
from kernel_atlas.io.sources import Wanted

RANDOM = np.random.default_rng(0)


def save(path: Path, **layers: np.ndarray) -> str:
    """A checkpoint, as a source beside the sheet."""
    safetensors.numpy.save_file(layers, path)
    return f"file:{path.name}"


def run(folder: Path, source: str, model: str = "net", convolution: str = "depthwise", **options) -> Path:
    shards = folder / "results" / model
    options = {"dense_per_layer": 5, "seed": 1, **options}
    extract_model(model, source, Wanted(folder, convolution), shards, **options)
    return shards


@pytest.fixture
def net(tmp_path) -> Path:
    """Shards of a network of two layers, of 6 kernels of 5x3 and 4 of 7x7."""
    first, second = (RANDOM.standard_normal(shape, np.float32) for shape in ((6, 1, 5, 3), (4, 1, 7, 7)))
    second[0], second[1, 0, 3, 3], second[2, 0, 0, 0] = 5e-5, np.nan, -np.inf
    np.savez(tmp_path / "values.npz", first, second)
    source = save(tmp_path / "net.safetensors", **{"a.weight": first, "b.weight": second.astype(np.float32)})
    os.utime(tmp_path / "net.safetensors", (0, 1e9))
    return run(tmp_path, source, licence="MIT")


def test_a_shard_per_layer_with_the_values_of_the_checkpoint(net):
    assert [path.name for path in sorted(net.iterdir())] == [
        "000.parquet",
        "001.parquet",
        "_SHA256SUMS",
        "_source.json",
    ]
    with np.load(net.parents[1] / "values.npz") as values:
        for path, weight in zip(sorted(net.glob("*.parquet")), values.values(), strict=True):
            table = pq.read_table(path)
            _, _, kh, kw = weight.shape
            assert table.schema == kernel_atlas.io.extract.shard_schema(kh * kw)
            stored = table["weight"].combine_chunks().flatten().to_numpy()
            np.testing.assert_array_equal(stored.view(np.uint32), weight.ravel().view(np.uint32))


def test_the_columns_of_a_shard(net):
    columns = ["model", "layer_index", "layer", "channel", "kh", "kw", "weight", "mean", "norm", "dead"]
    first, second = (pd.read_parquet(path) for path in sorted(net.glob("*.parquet")))
    assert list(first.columns) == columns
    assert first["channel"].tolist() == [0, 1, 2, 3, 4, 5]
    constant = first[["model", "layer_index", "layer", "kh", "kw"]].drop_duplicates()
    assert constant.values.tolist() == [["net", 0, "a.weight", 5, 3]]
    taps = np.stack(first["weight"]).astype(np.float64)
    np.testing.assert_allclose(first["mean"], taps.mean(axis=1), rtol=1e-6)
    np.testing.assert_allclose(
        first["norm"], np.linalg.norm(taps - taps.mean(axis=1, keepdims=True), axis=1), rtol=1e-6
    )
    assert not first["dead"].any()
    assert second["dead"].tolist() == [True, True, True, False]


def test_the_metadata_of_a_shard(net):
    schema = pq.read_schema(net / "001.parquet")
    assert {name.decode(): value.decode() for name, value in schema.metadata.items()} == {
        "model": "net",
        "layer_index": "1",
        "layer": "b.weight",
        "channels": "4",
        "kh": "7",
        "kw": "7",
        "dtype": "float32",
        "convolution": "depthwise",
        "judged_by": "shape",
        "source": "file:net.safetensors",
        "date": "2001-09-09",
        "licence": "MIT",
        "version": kernel_atlas.__version__,
        "schema": str(kernel_atlas.SCHEMA_VERSION),
    }
    assert all(field.metadata[b"description"] for field in schema)


def test_a_missing_shard_is_noticed(net):
    for name in ("001.parquet", "000.parquet"):
        (net / name).unlink()
        with pytest.raises(AtlasError, match=r"model net: shards are missing in .*remove the folder and run again"):
            shards_of(net)


def test_a_shard_with_one_wrong_bit_anywhere_is_noticed(net):
    whole = (net / "001.parquet").read_bytes()
    for bit in np.random.default_rng(0).choice(8 * len(whole), 500, replace=False):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        (net / "001.parquet").write_bytes(damaged)
        with pytest.raises(
            AtlasError, match=r"model net: .*001.parquet is damaged; remove the folder .* and run again"
        ):
            read_inventory([net])


def test_sha256sum_checks_a_model(net):
    assert subprocess.run(["sha256sum", "--check", "--strict", "_SHA256SUMS"], cwd=net).returncode == 0


def test_the_inventory_is_a_row_per_layer(net, tmp_path):
    other = run(tmp_path, save(tmp_path / "o.safetensors", c=np.ones((2, 1, 3, 3), np.float16)), model="other")
    inventory = read_inventory([other, net])
    assert inventory.schema == INVENTORY
    assert [tuple(row.values()) for row in inventory.to_pylist()] == [
        ("other", 0, "c", 2, 3, 3, None, None, None, None, "float16", "depthwise", None, None, "shape", None),
        ("net", 0, "a.weight", 6, 5, 3, None, None, None, None, "float32", "depthwise", None, None, "shape", None),
        ("net", 1, "b.weight", 4, 7, 7, None, None, None, None, "float32", "depthwise", None, None, "shape", None),
    ]
    assert read_inventory([]).num_rows == 0


def test_stride_and_dilation_come_from_the_network(tmp_path):
    inventory = read_inventory([run(tmp_path, "init:mobilenetv3_small_050")]).to_pandas()
    assert inventory["stride"].tolist()[:3] == [2, 2, 1]
    assert set(inventory["dilation"]) == {1}


def test_layers_beyond_a_thousand_stay_in_order(tmp_path):
    layers = {f"{index}.weight": np.full((2, 1, 1, 2), index + 1, np.float32) for index in range(1001)}
    shards = run(tmp_path, save(tmp_path / "deep.safetensors", **layers))
    assert (shards / "999.parquet").exists()
    assert (shards / "1000.parquet").exists()
    assert read_inventory([shards])["layer_index"].to_pylist() == list(range(1001))


def test_large_layers_are_written_in_blocks_of_bounded_memory(tmp_path):
    kernels = np.arange(1_000_000 * 9, dtype=np.float32).reshape(-1, 1, 3, 3)
    source = save(tmp_path / "wide.safetensors", w=kernels)
    before = pa.default_memory_pool().max_memory()
    tracemalloc.start()
    shards = run(tmp_path, source)
    numpy_peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    arrow_peak = pa.default_memory_pool().max_memory() - before
    assert numpy_peak + arrow_peak < 3 * kernels.nbytes
    file = pq.ParquetFile(shards / "000.parquet")
    assert file.metadata.num_row_groups == -(-1_000_000 // (kernel_atlas.io.extract.BLOCK_TAPS // 9))
    table = file.read()
    np.testing.assert_array_equal(table["channel"], np.arange(1_000_000))
    np.testing.assert_array_equal(table["weight"].combine_chunks().flatten(), kernels.ravel())


def test_dense_slices_are_drawn_with_the_seed(tmp_path):
    weight = RANDOM.standard_normal((4, 3, 3, 3), np.float32)
    layers = {"a": weight, "b": weight, "small": weight[:1], "depthwise": np.ones((4, 1, 3, 3), np.float32)}
    source = save(tmp_path / "dense.safetensors", **layers)
    runs = [
        run(tmp_path, source, model=f"m{index}", convolution="dense", seed=seed) for index, seed in enumerate((1, 1, 2))
    ]
    drawn = [[pd.read_parquet(path) for path in sorted(shards.glob("*.parquet"))] for shards in runs]
    assert [[len(shard) for shard in shards] for shards in drawn] == [[5, 5, 3]] * 3
    for shard in itertools.chain(*drawn):
        np.testing.assert_array_equal(np.stack(shard["weight"]), weight.reshape(-1, 9)[shard["channel"]])
        assert shard["channel"].is_monotonic_increasing
    assert drawn[0][0]["channel"].tolist() == drawn[1][0]["channel"].tolist()
    assert drawn[0][0]["channel"].tolist() != drawn[2][0]["channel"].tolist()
    assert drawn[0][0]["channel"].tolist() != drawn[0][1]["channel"].tolist()  # another draw in every layer
    assert read_inventory(runs[:1])["channels"].to_pylist() == [12, 12, 3]


def test_two_runs_write_the_same_bytes(net, tmp_path):
    before = {path.name: path.read_bytes() for path in net.iterdir()}
    run(tmp_path, "file:net.safetensors", licence="MIT")
    assert {path.name: path.read_bytes() for path in net.iterdir()} == before


def test_a_failure_names_the_model_and_leaves_what_was_there(net, tmp_path):
    before = {path.name: path.read_bytes() for path in net.iterdir()}
    content = (tmp_path / "net.safetensors").read_bytes()
    (tmp_path / "net.safetensors").write_bytes(content[:-1])
    for model in ("net", "new"):
        with pytest.raises(AtlasError, match=rf"^model {model}: file:net.safetensors: truncated: .*; "):
            run(tmp_path, "file:net.safetensors", model=model)
    assert {path.name: path.read_bytes() for path in net.iterdir()} == before
    assert [path.name for path in net.parent.iterdir()] == ["net"]


def test_a_failure_between_layers_leaves_nothing(tmp_path, monkeypatch):
    source = save(
        tmp_path / "net.safetensors", a=np.ones((2, 1, 3, 3), np.float32), b=np.ones((2, 1, 3, 3), np.float32)
    )
    write = kernel_atlas.io.extract._write_shard

    def stop_at_second(path, model, index, *rest):
        if index:
            raise KeyboardInterrupt
        write(path, model, index, *rest)

    monkeypatch.setattr(kernel_atlas.io.extract, "_write_shard", stop_at_second)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, source)
    assert list((tmp_path / "results").iterdir()) == []


def test_a_rerun_replaces_all_and_clears_what_a_killed_run_left(net, tmp_path):
    (net.parent / ".net~0123").mkdir()
    (net.parent / ".net~0123/002.parquet").touch()
    run(tmp_path, save(tmp_path / "net.safetensors", a=np.ones((2, 1, 3, 3), np.float32)))
    assert [path.name for path in net.parent.iterdir()] == ["net"]
    assert sorted(path.name for path in net.iterdir()) == ["000.parquet", "_SHA256SUMS", "_source.json"]


def test_a_model_without_such_layers_is_refused(tmp_path):
    source = save(tmp_path / "net.safetensors", a=np.ones((4, 3, 3, 3), np.float32))
    with pytest.raises(AtlasError, match="no depthwise convolution"):
        run(tmp_path, source)
    assert list((tmp_path / "results").iterdir()) == []


@pytest.mark.parametrize("name", ["x" * 1001, "line\nbreak"])
def test_a_name_that_is_none_is_refused(tmp_path, name):
    with pytest.raises(AtlasError, match="name of layer 0"):
        run(tmp_path, save(tmp_path / "net.safetensors", **{name: np.ones((4, 1, 3, 3), np.float32)}))
