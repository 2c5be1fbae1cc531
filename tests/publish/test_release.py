"""A release opens in what others use, says what the run says, and passes on only what may be passed on."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import polars
import pyarrow.parquet as pq
import pytest
import yaml
from conftest import ROOT, snakemake
from safetensors.numpy import save_file

import kernel_atlas
from kernel_atlas.core.errors import AtlasError
from kernel_atlas.core.patterns import REFERENCE, read_patterns
from kernel_atlas.io.extract import extract_model, read_sources
from kernel_atlas.io.shards import shards_of
from kernel_atlas.io.sheet import read_sheet
from kernel_atlas.io.sources import Wanted
from kernel_atlas.model.assign import Assigner, assign_model
from kernel_atlas.model.encoder import read_encoder, write_encoder
from kernel_atlas.publish.release import choose_models, write_release

NEW = ["label", "similarity", "second", "margin", "beyond_spectrum", "scrambled", "code", "dissimilarity", "cluster"]
NEW += ["pose", "pose_code", "pose_dissimilarity", "tap_sum"]
MODELS = ["alpha", "beta", "chance", "odd"]
SIZES = ("3x3", "5x5")


def header(release: Path) -> dict:
    """What the hub reads of a card."""
    return yaml.safe_load((release / "README.md").read_text().split("---\n")[1])


@pytest.fixture(scope="module")
def run(finished, tmp_path_factory):
    """The facts of a run: those of the finished project, and a model with dead kernels and sizes without an encoder."""
    folder = tmp_path_factory.mktemp("run")
    shutil.copytree(finished / "results/kernels", folder / "kernels")
    shutil.copytree(finished / "results/assignments", folder / "assignments")
    encoder = finished / "results/encoder.safetensors"
    random = np.random.default_rng(0)
    shapes = {"1": (6, 1, 3, 3), "2": (4, 1, 7, 7), "3": (5, 1, 1, 5), "4": (7, 1, 5, 5)}
    weights = {name: random.standard_normal(shape, np.float32) for name, shape in shapes.items()}
    weights["1"][0], weights["1"][1, 0, 1, 1], weights["2"][0] = 0, np.nan, 0
    save_file(weights, folder / "odd.safetensors")
    extract_model("odd", "file:odd.safetensors", Wanted(folder), folder / "kernels/odd", dense_per_layer=1, seed=0)
    assigner = Assigner(read_patterns(), read_encoder(encoder))
    assign_model(folder / "kernels/odd", assigner, folder / "assignments/odd.parquet")
    sheet = (finished / "sheet.tsv").read_text() + "odd\tfile:deep/odd.safetensors\tassign\n"
    (folder / "sheet.tsv").write_text(sheet)
    sources = read_sources(
        [folder / "kernels" / model for model in MODELS], {model: f"file:{model}.safetensors" for model in MODELS}
    ).to_pandas()
    sources["licence"] = ["MIT", "Apache-2.0", None, "bsd-3-clause"]
    sources.loc[2, "source"] = "init:convnext_atto:0"
    tables = yaml.safe_load((ROOT / "schemas/tables.yaml").read_text())
    return {
        "title": "Toy atlas",
        "sources": sources,
        "sheet": read_sheet(folder / "sheet.tsv"),
        "kernels": [folder / "kernels" / model for model in MODELS],
        "assignments": [folder / f"assignments/{model}.parquet" for model in MODELS],
        "encoder": encoder,
        "patterns": REFERENCE,
        "columns": tables["release/data/*.parquet"]["columns"],
        "parameters": [("seed", 0, "of all")],
        "citation": ROOT / "CITATION.cff",
        "card": ROOT / "resources/release/card.md",
        "example": ROOT / "resources/release/load_encoder.py",
    }


@pytest.fixture(scope="module")
def release(run, tmp_path_factory):
    output = tmp_path_factory.mktemp("out") / "release"
    write_release(output, **run)
    return output


@pytest.fixture(scope="module")
def expected(run):
    """Every kernel from shards and assignments, joined by pandas."""
    shards = pd.concat(pd.read_parquet(shard.path) for folder in run["kernels"] for shard in shards_of(folder))
    assigned = pd.concat(map(pd.read_parquet, run["assignments"]))
    keys = ["model", "layer_index", "channel"]
    use = {"alpha": "train", "beta": "train", "chance": "control", "odd": "assign"}
    return shards.merge(assigned[keys + NEW], "left", on=keys).assign(use=lambda table: table["model"].map(use))


def check(table: pd.DataFrame, expected: pd.DataFrame) -> None:
    """The same kernels with the same numbers; missing is missing, however a library writes it."""
    assert table.columns.tolist() == expected.columns.tolist()
    table, expected = (t.sort_values(["model", "layer_index", "channel"], ignore_index=True) for t in (table, expected))
    assert len(table) == len(expected)
    for name in expected.columns:
        if name == "weight":
            same = [np.array_equal(a, b, equal_nan=True) for a, b in zip(table[name], expected[name], strict=True)]
            assert all(same)
        elif expected[name].dtype.kind in "fi":
            np.testing.assert_array_equal(table[name].astype(float), expected[name].astype(float), name)
        else:
            values, others = (frame[name].astype(object).fillna("none").tolist() for frame in (table, expected))
            assert values == others, name


def test_pandas(release, expected):
    check(pd.concat(map(pd.read_parquet, sorted(release.glob("data/*.parquet")))), expected)


def test_polars(release, expected):
    check(polars.read_parquet(release / "data/*.parquet").to_pandas(), expected)


def test_duckdb(release, expected):
    check(duckdb.sql(f"SELECT * FROM '{release}/data/*.parquet'").df(), expected)
    ((mean,),) = duckdb.sql(f"SELECT avg(dissimilarity) FROM '{release}/data/*.parquet'").fetchall()
    assert mean == pytest.approx(expected["dissimilarity"].mean()), "dead kernels are null there, not NaN"


def test_datasets(release, expected, tmp_path):
    script = (
        "import sys, datasets; loaded = datasets.load_dataset(sys.argv[1])\n"
        "for split, part in loaded.items(): part.to_parquet(f'{sys.argv[2]}/{split}.parquet')"
    )
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "cache")}
    command = [sys.executable, "-c", script, str(release), str(tmp_path)]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    splits = {path.stem: pd.read_parquet(path) for path in tmp_path.glob("*.parquet")}
    check(pd.concat(splits.values()), expected)
    assert {split: sorted(set(part["model"])) for split, part in splits.items()} == {
        "networks": ["alpha", "beta", "odd"],
        "controls": ["chance"],
    }


def test_what_is_not_known_is_null(release):
    table = pq.read_table(release / "data/odd.parquet").to_pandas()
    without = table["kh"].eq(1)  # not square
    assert table.loc[without, NEW].isna().all(axis=None) and without.sum() == 5
    assert table.loc[~without, ["label", "dead"]].notna().all(axis=None)
    uncoded = table["kh"].eq(7)  # no autoencoder
    assert table.loc[uncoded, ["code", "cluster"]].isna().all(axis=None)
    assert table.loc[~without & ~uncoded, "cluster"].notna().all()
    assert (table.loc[table["dead"] & ~without, "label"] == "dead").all()
    assert pq.read_table(release / "data/odd.parquet", columns=["code"])["code"].null_count == 9 + 2


def test_the_example_needs_nothing_of_this_project(release, tmp_path):
    folder = shutil.copytree(release, tmp_path / "downloaded")
    alone = [sys.executable, "-I"]  # neither the working directory nor PYTHONPATH to import from
    assert subprocess.run([*alone, "-c", "import kernel_atlas"], cwd=tmp_path, capture_output=True).returncode
    command = [*alone, folder / "load_encoder.py"]
    lines = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout.splitlines()
    for line, side in zip(lines, (3, 5), strict=True):
        x = np.linspace(-2, 2, side)
        kernel = np.outer(np.exp(-(x**2)), x * np.exp(-(x**2)))[None]
        (known,) = kernel_atlas.assign(kernel, release / "encoder.safetensors").itertuples()
        found = re.fullmatch(
            rf"{side}x{side}: code ([\d.]+), dissimilarity ([\d.]+), (no cluster|cluster \d+) ?.*", line
        )
        assert float(found[1]) == pytest.approx(known.code, abs=1e-4)
        assert float(found[2]) == pytest.approx(known.dissimilarity, abs=1e-4)
        assert found[3] == ("no cluster" if known.cluster < 0 else f"cluster {known.cluster}")


def test_the_labeller_is_that_of_the_run(run, release):
    assert (release / "encoder.safetensors").read_bytes() == run["encoder"].read_bytes()


def test_clusters_of_all_sizes(run, release, finished):
    table = pd.read_csv(release / "clusters.csv")
    for size in SIZES:
        part = table[table["size"] == size].drop(columns="size").reset_index(drop=True)
        named = pd.read_csv(finished / f"results/autoencoder/{size}/clusters.tsv", sep="\t")
        pd.testing.assert_frame_equal(part, named, check_dtype=False)  # a column may be empty at one size


def test_equal_results_give_equal_files(run, release, tmp_path):
    write_release(tmp_path / "again", **run)
    files = sorted(path.relative_to(release) for path in release.rglob("*") if path.is_file())
    assert files == sorted(p.relative_to(tmp_path / "again") for p in (tmp_path / "again").rglob("*") if p.is_file())
    for file in files:
        assert (release / file).read_bytes() == (tmp_path / "again" / file).read_bytes(), file


def test_the_card(run, release):
    head, text = header(release), (release / "README.md").read_text()
    assert head["pretty_name"] == "Toy atlas" and head["license"] == "other"
    assert head["license_details"] == "apache-2.0 (1), bsd-3-clause (1), mit (1); numbers of models"
    assert head["size_categories"] == ["n<1K"] and (release / "data/alpha.parquet").exists()
    for path in [path for split in head["configs"][0]["data_files"] for path in split["path"]]:
        assert (release / path).exists()
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", text, re.M))
    assert rows["chance"].startswith("**control** | depthwise | 200 |") and "none needed: untrained" in rows["chance"]
    assert "file:odd.safetensors" in rows["odd"] and "deep" not in text, "the folder of a file says nothing to others"
    for name, meaning in run["columns"].items():
        assert name in rows and meaning.replace("*", r"\*") in rows[name]
    assert 'load_dataset("FOLDER")\n```\n\nhas the splits `networks`, `controls`.\n\n```sql' in text
    assert "Left out" not in text and "Unveiling the Unseen" in text


def test_one_licence_is_the_licence(run, tmp_path):
    write_release(tmp_path / "release", **run | {"sources": run["sources"].assign(licence=["MIT", None, None, "mit"])})
    head = header(tmp_path / "release")
    assert head["license"] == "mit" and "license_details" not in head
    text = (tmp_path / "release/README.md").read_text()
    assert "those with use `train` did take part in training" in text
    assert "| `beta` | train | licence not stated |" in text and not (tmp_path / "release/data/beta.parquet").exists()


def test_only_what_may_be_passed_on_is_released():
    sources = pd.DataFrame(
        [
            ("a", "file:a.pth", "MIT", None, None),
            ("b", "timm:b.c", "cc-by-nc-4.0", None, "licence cc-by-nc-4.0"),
            ("c", "file:c.pth", None, None, "licence not stated"),
            ("d", "init:convnext_atto:1", None, None, None),
            ("e", "file:e.pth", "MIT", "model e: damaged", "could not be read"),
        ],
        columns=["model", "source", "licence", "failure", "expected"],
    )
    expected = sources.pop("expected").fillna("released")
    assert choose_models(sources)["left_out"].fillna("released").tolist() == expected.tolist()


def test_the_release_of_a_run(tested):
    folder = tested / "results/release"
    text = (folder / "README.md").read_text()
    assert sorted(path.name for path in folder.glob("data/*")) == ["alpha.parquet", "beta.parquet"]
    assert "| `chance` | control | licence not stated |" in text and "did take part in training" not in text
    assert [split["split"] for split in header(folder)["configs"][0]["data_files"]] == ["networks"]
    assert pq.read_schema(folder / "data/alpha.parquet").metadata[b"licence"] == b"MIT"
    for path in (folder, tested):
        assert str(path) not in text


def test_a_changed_licence_writes_the_release_again(tested, tmp_path):
    project = Path(shutil.copytree(tested, tmp_path / "project"))
    assert "Nothing to be done" in snakemake(project, "release").stdout
    sheet = (project / "sheet.tsv").read_text()
    (project / "sheet.tsv").write_text(sheet.replace("\tMIT", "\tcc-by-nc-4.0"))
    wrong = snakemake(project, "release", check=False)
    assert wrong.returncode != 0
    (line,) = {line for line in wrong.stdout.splitlines() if line.startswith("error: ")}
    assert line.startswith("error: results/release: no model may be released, as none has a permissive licence")
    assert not (project / "results/release").exists()


def test_assignments_of_other_kernels_are_refused(run, tmp_path):
    assignments = [run["assignments"][1], *run["assignments"][1:]]
    table = pq.read_table(assignments[0])
    channels = table["channel"].to_numpy()[::-1]
    pq.write_table(table.set_column(2, table.schema.field("channel"), [channels]), tmp_path / "wrong.parquet")
    assignments[0] = tmp_path / "wrong.parquet"
    with pytest.raises(AtlasError, match=r"wrong.parquet: not of the kernels in .*; remove it and run again"):
        write_release(tmp_path / "release", **run | {"assignments": assignments})
    assert [path.name for path in tmp_path.iterdir()] == ["wrong.parquet"]


def test_clusters_by_hand_have_no_templates_and_the_metadata_are_json(run, finished, tmp_path):
    names = ("encoder.safetensors", "posed/encoder.safetensors", "spectrum.parquet")
    trained, posed, spectrum = ([finished / f"results/autoencoder/3x3/{name}"] for name in names)
    mine, encoder = tmp_path / "clusters.tsv", tmp_path / "mine.safetensors"
    mine.write_text("cluster\tcode_low\tcode_high\tlabel\n0\t0\t0.5\tleft\n1\t0.5\t1\tright\n")
    write_encoder(trained, posed, [mine], spectrum, {"3x3": 0.2}, encoder)
    write_release(tmp_path / "release", **run | {"encoder": encoder})
    content = (tmp_path / "release/encoder.safetensors").read_bytes()
    length = int.from_bytes(content[:8], "little")
    metadata = json.loads(content[8 : 8 + length])["__metadata__"]
    sizes = json.loads(metadata["kernel_atlas"], parse_constant=pytest.fail)["sizes"]
    assert [row["label"] for row in sizes["3x3"]["clusters"]] == ["left", "right"]
    assert read_encoder(tmp_path / "release")[3].clusters["label"].tolist() == ["left", "right"]
