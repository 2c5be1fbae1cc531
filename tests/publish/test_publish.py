"""A release on the hub: pictures that its viewer shows, licences, uploads by the real client to a hub on loopback."""

import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from conftest import ROOT, ROWS, make_sheet, snakemake
from hub_server import Hub
from PIL import Image

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.publish import dataset
from kernel_atlas.publish.dataset import DOTS, draw_png, write_folders

NAME = "owner/kernels"
OTHERS = {"README.md", "clusters.csv", "encoder.safetensors", "load_encoder.py", "patterns.tsv"}
DATA = {f"data/{model}.parquet" for model in ("alpha", "beta", "chance")}


@pytest.fixture(scope="module")
def results(finished, tmp_path_factory) -> Path:
    """The results of a run whose licences are all permissive, with its release."""
    project = Path(shutil.copytree(finished, tmp_path_factory.mktemp("licensed") / "project"))
    make_sheet(project, [*ROWS[:2], f"{ROWS[2]}    CC0-1.0"])
    snakemake(project, "all", "release")
    return project / "results"


@pytest.fixture
def run(results, tmp_path) -> Path:
    """A copy of its release and atlas that a test may change."""
    shutil.copytree(results / "release", tmp_path / "results/release")
    shutil.copy(results / "atlas.html", tmp_path / "results")
    return tmp_path / "results"


@pytest.fixture(scope="module")
def folder(results) -> Path:
    return write_folders(results / "release", results / "atlas.html", NAME)


def header(card: Path) -> dict:
    return yaml.safe_load(card.read_text().split("---\n")[1])


def publish(folder: Path, hub: Hub | str, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    """The command, with a token that may write, beside the folder `results`."""
    endpoint = hub if isinstance(hub, str) else hub.endpoint
    told = {"HF_ENDPOINT": endpoint, "HF_HOME": str(folder / "home"), "NO_PROXY": "127.0.0.1", "HF_TOKEN": "hf_good"}
    # The hub on loopback knows the protocol of git-lfs alone.
    told |= {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "kernel_atlas", "publish", NAME, *arguments]
    return subprocess.run(command, cwd=folder, env=os.environ | told | environment, capture_output=True, text=True)


def test_a_picture_has_the_stated_scale():
    taps = np.array([[0.5, -0.25, 0], [0, 0, 0]], np.float32)
    picture = np.asarray(Image.open(io.BytesIO(draw_png(taps))).convert("RGB")).astype(int)
    assert picture.shape == (2 * DOTS, 3 * DOTS, 3)
    tiles = picture.reshape(2, DOTS, 3, DOTS, 3)
    assert (tiles == tiles[:, :1, :, :1]).all(), "one colour to a tap"
    (largest, negative, zero), _ = tiles[:, 0, :, 0]
    assert largest.tolist() == [103, 0, 31] and zero.min() > 240 and negative[2] > negative[0] + 50
    np.testing.assert_array_equal(picture, np.asarray(Image.open(io.BytesIO(draw_png(taps * 7))).convert("RGB")))
    assert draw_png(np.full((3, 3), np.nan)) is None
    assert (np.asarray(Image.open(io.BytesIO(draw_png(np.zeros((3, 3))))).convert("RGB")) > 240).all()


def test_the_data_set_opens_with_pictures(folder, results, tmp_path):
    script = (
        "import sys, datasets; loaded = datasets.load_dataset(sys.argv[1])\n"
        "for split, part in loaded.items():\n"
        "    assert isinstance(part.features['image'], datasets.Image), part.features\n"
        "    for row in part.select(range(5)):\n"
        "        assert row['image'].size == (16 * row['kw'], 16 * row['kh'])\n"
        "    part.remove_columns('image').to_parquet(f'{sys.argv[2]}/{split}.parquet')"
    )
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "cache")}
    command = [sys.executable, "-c", script, str(folder / "dataset"), str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    networks = pd.read_parquet(tmp_path / "networks.parquet")
    released = pd.concat(pd.read_parquet(results / f"release/data/{model}.parquet") for model in ("alpha", "beta"))
    assert networks.columns.tolist() == released.columns.tolist() and len(networks) == len(released)
    assert networks["label"].tolist() == released["label"].tolist()
    np.testing.assert_array_equal(
        np.concatenate(networks["weight"].tolist()), np.concatenate(released["weight"].tolist())
    )


def test_files_have_what_the_viewer_needs(folder):
    assert set(dataset.files_of(folder / "dataset")) == OTHERS | DATA
    schema = pq.read_schema(folder / "dataset/data/alpha.parquet")
    assert schema.names[0] == "image" and schema.metadata[b"licence"] == b"MIT"
    assert schema.field("image").type == pa.struct({"bytes": pa.binary(), "path": pa.string()})
    assert b'{"image": {"_type": "Image"}}' in schema.metadata[b"huggingface"]
    first = pq.read_table(folder / "dataset/data/alpha.parquet", columns=["image"])["image"][3].as_py()
    assert first["path"] == "alpha_000_3.png" and Image.open(io.BytesIO(first["bytes"])).format == "PNG"


def test_cards(folder, results):
    card, page = folder / "dataset/README.md", folder / "space/README.md"
    assert header(card) == header(results / "release/README.md")
    text = card.read_text()
    assert "| `image` | image | the kernel as a PNG, 16 dots to a tap" in text and "FOLDER" not in text
    assert f'load_dataset("{NAME}")' in text and f"FROM 'hf://datasets/{NAME}/data/*.parquet'" in text
    assert "Unveiling the Unseen" in text and "| MIT |" in text and f"spaces/{NAME}" in text
    head = header(page)
    assert head["sdk"] == "static" and head["app_file"] == "index.html" and head["datasets"] == [NAME]
    assert head["license"] == header(card)["license"] == "other" and head["license_name"] == "one-per-model"
    assert (folder / "space/index.html").read_bytes() == (results / "atlas.html").read_bytes()


def test_groups_of_rows_bound_the_memory(run, folder, monkeypatch):
    monkeypatch.setattr(dataset, "ROWS", 100)
    again = write_folders(run / "release", run / "atlas.html", NAME)
    with pq.ParquetFile(again / "dataset/data/alpha.parquet") as file:
        rows = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
        assert rows == [100, 100, 100, 60]
        assert file.read().equals(pq.read_table(folder / "dataset/data/alpha.parquet"))


def test_a_dry_run_writes_the_folder_and_asks_nobody(run, folder):
    with Hub() as hub:
        done = publish(run.parent, hub, "--dry-run", HF_TOKEN="")
        assert (done.returncode, done.stderr) == (0, "") and not hub.requests
    lines = done.stdout.splitlines()
    said = {line.split()[2]: int(line.split()[0].replace(",", "")) for line in lines if line.startswith("  ")}
    sizes = {}
    for kind in ("dataset", "space"):
        sizes |= {name: path.stat().st_size for name, path in dataset.files_of(run / "release_hub" / kind).items()}
    assert said == sizes and {f"dataset {NAME}", f"space {NAME}"} < set(lines)
    total = sum(path.stat().st_size for path in dataset.files_of(run / "release_hub").values())
    assert lines[-1] == f"10 files, {total:,} bytes, lie in results/release_hub; nothing was sent"
    for name, path in dataset.files_of(folder).items():
        assert path.read_bytes() == (run / "release_hub" / name).read_bytes(), f"{name}: equal releases, equal files"


def test_kernels_beside_a_page_come_with_it(run):
    page = (run / "atlas.html").read_text()
    (run / "atlas.html").write_text(page.replace('"folder": ""', '"folder": "atlas"'))
    (run / "atlas").mkdir()
    (run / "atlas/0.js").write_text("receive(0, '')")
    space = write_folders(run / "release", run / "atlas.html", NAME) / "space"
    assert set(dataset.files_of(space)) == {"README.md", "index.html", "atlas/0.js"}


def test_what_is_published_once_is_not_sent_again(run):
    with Hub() as hub:

        def commits() -> list[int]:
            return [len(hub.repos[f"{kind}s/{NAME}"].commits) for kind in ("dataset", "space")]

        def sent() -> int:
            asked = [request for request in hub.requests if request.method in ("POST", "PUT")]
            return sum(r.received for r in asked if "repos/create" not in r.path)

        done = publish(run.parent, hub)
        assert done.returncode == 0, done.stderr
        assert [line.partition(": ")[2].split(" files")[0] for line in done.stdout.splitlines()] == ["8", "2"]
        trees = {kind: hub.repos[f"{kind}s/{NAME}"] for kind in ("dataset", "space")}
        for kind, repo in trees.items():
            files = {name: path.read_bytes() for name, path in dataset.files_of(run / "release_hub" / kind).items()}
            there = {name: content.data for name, content in repo.commits[repo.commit].items()}
            assert there.pop(".gitattributes") and there == files
        assert hub.leaks == 0 and commits() == [2, 2] and sent() > 100_000

        hub.clear()
        again = publish(run.parent, hub)
        assert again.stdout.count("nothing has changed, nothing sent") == 2 and again.returncode == 0
        assert commits() == [2, 2] and sent() == 0

        hub.clear()
        shutil.copy(ROOT / "resources/patterns/v1.tsv", run / "release/patterns.tsv")
        with (run / "release/patterns.tsv").open("a") as file:
            file.write("\n")
        (run / "release/data/chance.parquet").unlink()
        atlas = (run / "atlas.html").read_text()
        (run / "atlas.html").write_text(atlas.replace('"model": "chance"', '"model": "alpha"'))
        changed = publish(run.parent, hub).stdout.splitlines()
        size = (run / "release/patterns.tsv").stat().st_size
        assert changed[0].endswith(f"/{NAME}: 1 files, {size:,} bytes sent, 1 deleted")
        tree = hub.repos[f"datasets/{NAME}"]
        assert set(tree.commits[tree.commit]) == {".gitattributes", *OTHERS, *DATA} - {"data/chance.parquet"}
        assert commits() == [3, 3] and not [r for r in hub.requests if r.method == "PUT"]


def test_what_the_hub_refuses_is_one_line(run):
    with Hub() as hub:
        for token, line in {
            "": "no token of the hub; set HF_TOKEN",
            "hf_reads": "the token may not write there; take one with the right to write",
            "hf_none": "the hub does not know the token; set HF_TOKEN",
        }.items():
            done = publish(run.parent, hub, HF_TOKEN=token)
            assert done.returncode == 1 and done.stderr.startswith(f"error: {NAME}: {line}"), done.stderr
            assert done.stderr.count("\n") == 1 and not hub.repos
        hub.fail("503", None, match="preupload")
        broken = publish(run.parent, hub)
        assert broken.stderr.splitlines()[-1].startswith(f"error: {NAME}: the hub {hub.endpoint} cannot be written to")
    nobody = publish(run.parent, hub)
    assert nobody.stderr.splitlines()[-1].startswith(f"error: {NAME}: the hub {hub.endpoint} cannot be written to (")


def test_licences_are_checked_again(run, finished):
    table = pq.read_table(run / "release/data/alpha.parquet")
    pq.write_table(table.replace_schema_metadata({"source": "file:a.pth"}), run / "release/data/alpha.parquet")
    with pytest.raises(AtlasError, match=r"alpha.parquet: may not be passed on: licence not stated; remove it, or"):
        write_folders(run / "release", run / "atlas.html", NAME)
    pq.write_table(
        table.replace_schema_metadata({"source": "timm:a.b", "licence": "cc-by-nc-4.0"}),
        run / "release/data/alpha.parquet",
    )
    with pytest.raises(AtlasError, match=r"alpha.parquet: may not be passed on: licence cc-by-nc-4.0; remove"):
        write_folders(run / "release", run / "atlas.html", NAME)
    (run / "release/data/alpha.parquet").unlink()
    with pytest.raises(AtlasError, match=r"atlas.html: shows kernels of 1 models that are not in the release, alpha"):
        write_folders(run / "release", run / "atlas.html", NAME)
    assert not (run / "release_hub").exists()


@pytest.mark.parametrize(
    "arguments, line",
    [
        (["kernels"], "kernels: not of the form OWNER/NAME"),
        ([NAME, "--release", "none"], "none/README.md: missing; run `snakemake all release` first"),
    ],
)
def test_what_cannot_be_published_is_one_line(arguments, line, tmp_path):
    command = [sys.executable, "-m", "kernel_atlas", "publish", *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 1 and re.match(f"error: {re.escape(line)}", done.stderr) and done.stderr.count("\n") == 1
