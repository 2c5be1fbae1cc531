"""From shards to assignments, on shards written the way `shards` writes them."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from conftest import ROOT
from numpy.testing import assert_allclose
from safetensors.numpy import load_file, save_file

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.core.kernels import centre_and_normalise, taps_array
from kernel_atlas.core.patterns import family_of, read_patterns, templates
from kernel_atlas.io import merge
from kernel_atlas.io.extract import extract_model
from kernel_atlas.io.sources import Wanted
from kernel_atlas.io.tables import write_table
from kernel_atlas.model import autoencoder
from kernel_atlas.model.assign import Assigner, assign_model, assign_noise, sample_assigned
from kernel_atlas.model.clusters import find_prototypes, read_clusters
from kernel_atlas.model.coder import Coder, build_spectrum, sample_codes
from kernel_atlas.model.encoder import read_encoder, write_encoder
from kernel_atlas.model.naming import cluster_kmeans
from kernel_atlas.model.poses import PosedCoder, learn_codebook

random = np.random.default_rng(0)


def layer(side, count):
    family = templates(side)
    drawn = family.taps[random.choice(len(family.taps), count)] * random.lognormal(0, 1, (count, 1))
    return (drawn + random.normal(0, 0.01, drawn.shape)).reshape(count, 1, side, side).astype(np.float32)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Two models: b has 3x3, 5x5 and 1x5 layers with dead kernels, a only 5x5."""
    folder = tmp_path_factory.mktemp("run")
    weights = {"b": {"1": layer(5, 40), "2": layer(3, 60), "3": layer(5, 300)[:, :, :1]}, "a": {"1": layer(5, 500)}}
    weights["b"]["1"][0, 0, 2, 2] = np.nan
    weights["b"]["1"][1] = 5.0  # constant, not dead
    for model, tensors in weights.items():
        save_file(tensors, folder / f"{model}.safetensors")
        extract_model(model, f"file:{model}.safetensors", Wanted(folder), folder / model, dense_per_layer=1, seed=0)
    return folder


@pytest.fixture(scope="module")
def atlas(run):
    """The labeller of 5x5, its clusters cut by hand."""
    merge.merge_kernels([run / "b", run / "a"], 5, run / "5x5.parquet")
    kernels = merge.training_kernels(run / "5x5.parquet")
    model, _ = autoencoder.train(kernels, 0, 1, 120, report=lambda line: None)
    autoencoder.save(model.state_dict(), run / "trained.safetensors", usual=0.3)
    codebook = torch.from_numpy(learn_codebook(kernels, 0))
    autoencoder.save(model.state_dict() | {"codebook": codebook}, run / "posed.safetensors", usual=0.3)
    coder = Coder(model.state_dict())
    write_table(build_spectrum(coder.decode(sample_codes()), coder.encode(kernels)), run / "spectrum.parquet")
    rows = [(0, 0, 0.5, "low"), (1, 0.5, 1, "high")]
    pd.DataFrame(rows, columns=["cluster", "code_low", "code_high", "label"]).to_csv(
        run / "clusters.tsv", sep="\t", index=False
    )
    files = ([run / name] for name in ("trained.safetensors", "posed.safetensors", "clusters.tsv", "spectrum.parquet"))
    write_encoder(*files, {"5x5": 0.4}, run / "encoder.safetensors")
    return Assigner(read_patterns(), read_encoder(run / "encoder.safetensors"), {"5x5": 0.4})


def test_counts(run):
    counts = merge.count_kernels([run / "a", run / "b"], [3, 5, 7], 100).set_index("size")
    assert counts.loc["5x5"].tolist() == [540, 1, 2, 2, True]
    assert counts.loc["3x3", ["kernels", "layers", "models", "trained"]].tolist() == [60, 1, 1, False]
    assert counts.loc["7x7", ["kernels", "trained"]].tolist() == [0, False]


def test_too_few_kernels_of_every_size_are_said_so(tmp_path):
    with pytest.raises(AtlasError, match=r"no size has the kernels that an autoencoder needs .*minimum_kernels"):
        write_encoder([], [], [], [], {"5x5": 0.4}, tmp_path / "encoder.safetensors")


def test_merged_kernels_are_those_of_the_shards_in_order_of_names(run, atlas):
    merged = pq.read_table(run / "5x5.parquet")
    assert merged["model"].to_pylist() == ["a"] * 500 + ["b"] * 40
    shards = [pq.read_table(run / path) for path in ("a/000.parquet", "b/000.parquet")]
    assert np.array_equal(
        taps_array(merged["weight"]), np.concatenate([taps_array(s["weight"]) for s in shards]), equal_nan=True
    )
    merge.merge_kernels([run / "a", run / "b"], 5, run / "again.parquet")
    assert (run / "again.parquet").read_bytes() == (run / "5x5.parquet").read_bytes()


def test_training_kernels_are_the_live_ones_centred_and_normalised(run, atlas):
    kernels = merge.training_kernels(run / "5x5.parquet")
    merged = pq.read_table(run / "5x5.parquet").to_pandas()
    live = np.stack(merged.loc[~merged["dead"], "weight"])
    assert_allclose(kernels, centre_and_normalise(live), atol=1e-7)


def test_many_shards_become_few_row_groups(run, tmp_path, monkeypatch):
    monkeypatch.setattr(merge, "ROWS", 300)
    assert merge.merge_kernels([run / "a", run / "b"], 5, tmp_path / "m.parquet") == 540
    assert pq.ParquetFile(tmp_path / "m.parquet").num_row_groups <= 3


def test_merging_a_size_that_is_not_there(run, tmp_path):
    with pytest.raises(AtlasError, match="no 11x11 kernels"):
        merge.merge_kernels([run / "a"], 11, tmp_path / "m.parquet")
    assert not list(tmp_path.iterdir())


def test_assignments(run, atlas):
    assign_model(run / "b", atlas, run / "b.parquet")
    table = pq.read_table(run / "b.parquet").to_pandas()
    assert table.columns.tolist() == [
        *("model", "layer_index", "channel", "kh", "kw", "label", "similarity", "second", "margin", "beyond_spectrum"),
        *("scrambled", "code", "dissimilarity", "cluster", "pose", "pose_code", "pose_dissimilarity", "tap_sum"),
    ]
    assert table["kh"].value_counts().to_dict() == {5: 40, 3: 60}, "no kernel that is not square"
    assert table.loc[table["kh"] == 3, ["code", "dissimilarity", "cluster", "pose", "pose_code"]].isna().all(axis=None)
    assert (table.loc[table["kh"] == 3, "label"] != "other").mean() > 0.9
    table = table[table["kh"] == 5]
    raw = taps_array(pq.read_table(run / "b/000.parquet")["weight"])
    codes, dissimilarities = Coder(load_file(run / "trained.safetensors")).reconstruct(centre_and_normalise(raw[1:]))
    assert_allclose(table["code"][1:], codes, atol=1e-6)
    assert_allclose(table["dissimilarity"][1:], dissimilarities, atol=1e-6)
    poses, *posed = PosedCoder(load_file(run / "posed.safetensors")).reconstruct(centre_and_normalise(raw[1:]))
    assert table["pose"][1:].tolist() == poses.tolist() and np.isnan(table["pose"][0])
    assert_allclose(table[["pose_code", "pose_dissimilarity"]][1:], np.stack(posed, axis=1), atol=1e-6)
    assert table.loc[0, ["cluster", "label"]].tolist() == [-1, "dead"] and np.isnan(table.loc[0, "code"])
    assert table.loc[0, ["similarity", "second", "beyond_spectrum"]].isna().all()
    assert table.loc[1, ["cluster", "label"]].tolist() == [-1, "other"], "a constant kernel resembles nothing"
    expected = np.where(dissimilarities >= 0.4, -1, np.where(codes < 0.5, 0, 1))
    assert table["cluster"][1:].tolist() == expected.tolist()
    cosines = centre_and_normalise(raw[2:]) @ templates(5).taps.T
    assert_allclose(table["similarity"][2:], cosines.max(axis=1), atol=0.005)
    families = [family_of(label) for label in table["label"][2:]]
    assert all(one != family_of(other) for one, other in zip(families, table["second"][2:], strict=True))
    assert table["beyond_spectrum"][2:].mean() > 0.9 and table["scrambled"][2:].mean() < table["similarity"][2:].mean()
    assert_allclose(table["tap_sum"][1:], raw[1:].sum(axis=1), rtol=1e-5)


def test_the_labeller_file_holds_all_that_was_trained_and_named(run, atlas):
    (labeller,) = read_encoder(run).values()  # the folder will do
    assert labeller.threshold == 0.4 and labeller.coder.side == 5
    clusters = read_clusters(run / "clusters.tsv")
    pd.testing.assert_frame_equal(labeller.clusters.astype(clusters.dtypes), clusters)
    expected = find_prototypes(pq.read_table(run / "spectrum.parquet"), clusters)
    assert labeller.prototypes[["cluster", "label"]].equals(expected[["cluster", "label"]])
    assert np.array_equal(np.stack(labeller.prototypes["kernel"]), np.stack(expected["kernel"]))


def test_assigning_loads_no_library_of_training_or_drawing():
    script = (
        "import sys, kernel_atlas.model.assign, kernel_atlas.model.encoder\n"
        "assert not {'torch', 'sklearn', 'scipy', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)


def test_labels_need_no_autoencoder(run, atlas, tmp_path):
    assign_model(run / "a", Assigner(read_patterns(), {}, {"5x5": 0.4}), tmp_path / "a.parquet")
    assign_model(run / "a", atlas, tmp_path / "with.parquet")
    without, coded = (pq.read_table(tmp_path / f"{name}.parquet").to_pandas() for name in ("a", "with"))
    assert without["code"].isna().all() and coded["code"].notna().all()
    names = ["label", "similarity", "second", "margin", "beyond_spectrum", "scrambled"]
    pd.testing.assert_frame_equal(without[names], coded[names])


def test_noise_is_the_control(atlas, tmp_path):
    assign_noise(atlas, [5, 3], 500, 0, tmp_path / "noise.parquet")
    table = pq.read_table(tmp_path / "noise.parquet").to_pandas()
    assert len(table) == 1000 and set(table["model"]) == {"noise"} and table["kh"][0] == 3
    five = table[table["kh"] == 5]
    assert (five["label"] == "other").mean() > 0.9 and (five["cluster"] == -1).mean() > 0.9


def test_the_sample_keeps_taps_and_labels_together(run, atlas, tmp_path):
    for model in ("a", "b"):
        assign_model(run / model, atlas, run / f"{model}.parquet")
    tables = [run / "a.parquet", run / "b.parquet"]
    sample_assigned(run / "5x5.parquet", tables, 100, 0, tmp_path / "s.parquet")
    sample = pq.read_table(tmp_path / "s.parquet")
    assert sample.num_rows == 100 and "dead" not in sample["label"].to_pylist()
    assert_allclose(taps_array(sample["weight"]).sum(axis=1), sample["tap_sum"], rtol=1e-4, atol=1e-5)
    sample_assigned(run / "5x5.parquet", tables, 10**6, 0, tmp_path / "all.parquet")
    assert pq.read_table(tmp_path / "all.parquet").num_rows == len(merge.training_kernels(run / "5x5.parquet"))


def test_kmeans_finds_and_names_the_patterns():
    family = templates(3)
    chosen = [family.labels.index(label) for label in ("On-Centre", "First-Derivative-N", "On-Second-Derivative-EW")]
    kernels = centre_and_normalise(
        np.repeat(family.taps[chosen], [300, 200, 100], axis=0) + random.normal(0, 0.02, (600, 9))
    )
    table = cluster_kmeans(kernels, 3, 0.2, 0).to_pandas()
    assert table["kernels"].tolist() == table["clustered"].tolist() == [300, 200, 100]
    assert (table["cosine"] > 0.95).all()
    assert table["label"][1] == "First-Derivative-N"


def test_sample_codes_lie_inside():
    assert 0 < sample_codes()[0] and sample_codes()[-1] < 1
