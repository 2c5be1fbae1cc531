"""The hub's sources, read by the real client from a hub on loopback: what is read, what is kept, and faults."""

import json
import os
import pickle
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import ml_dtypes  # noqa: F401  (gives numpy the type bfloat16)
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from conftest import ROOT, make_sheet, snakemake
from hub_server import FAULTS, Hub
from safetensors.numpy import load_file, save_file

from kernel_atlas.core.kernels import taps_array
from kernel_atlas.io.shards import shards_of

# in a process of its own, as the client reads its environment when it is imported
READ = """
import sys
from pathlib import Path
from kernel_atlas.core.errors import AtlasError
from kernel_atlas.io.extract import extract_model
from kernel_atlas.io.sources import Wanted
try:
    extract_model("net", sys.argv[1], Wanted(Path()), Path(sys.argv[2]), dense_per_layer=100, seed=0)
except AtlasError as error:
    sys.exit(f"error: {error}")
"""
REPO, FILE = "owner/net", "model.safetensors"
SOURCE = f"hf:{REPO}:{FILE}"
LAYERS, CHANNELS = 6, 32


class Reader:
    """Reads from a hub into a folder, with a cache of its own."""

    def __init__(self, folder: Path, hub: Hub):
        self.folder, self.hub, self.shards = folder, hub, folder / "kernels/net"

    def environment(self, **more: str) -> dict[str, str]:
        home = {"HF_HOME": str(self.folder / "home"), "HF_ENDPOINT": self.hub.endpoint, "NO_PROXY": "127.0.0.1"}
        limits = {"HF_HUB_DOWNLOAD_TIMEOUT": "2", "HF_HUB_ETAG_TIMEOUT": "2", "PYTHONPATH": str(ROOT)}
        return {name: value for name, value in os.environ.items() if name != "HF_TOKEN"} | home | limits | more

    def run(self, script: str, *arguments: object, **more: str) -> str:
        """What a script says before it ends, empty where all is well."""
        command = [sys.executable, "-c", script, *map(str, arguments)]
        done = subprocess.run(
            command, env=self.environment(**more), capture_output=True, text=True, cwd=self.folder, timeout=300
        )
        lines = done.stderr.strip().splitlines() or [""]
        assert done.returncode == 0 or lines[-1].startswith("error: "), done.stderr[-3000:]
        return lines[-1] if done.returncode else ""

    def read(self, source: str = SOURCE, **more: str) -> str:
        """The error of reading a source, empty where all is well; the log of requests starts anew."""
        self.hub.clear()
        return self.run(READ, source, self.shards, **more)

    def kernels(self) -> dict[str, np.ndarray]:
        """Layer -> kernels [n, kh, kw], as the shards have them."""
        tables = [pq.read_table(shard.path) for shard in shards_of(self.shards)]
        sides = [(t["kh"][0].as_py(), t["kw"][0].as_py()) for t in tables]
        return {
            t["layer"][0].as_py(): taps_array(t["weight"]).reshape(-1, *s) for t, s in zip(tables, sides, strict=True)
        }

    def told(self) -> dict[str, str]:
        """The metadata of the first shard."""
        return {k.decode(): v.decode() for k, v in pq.read_schema(shards_of(self.shards)[0].path).metadata.items()}


def network(seed: int) -> dict[str, np.ndarray]:
    """A state dict in which the depthwise tensors are few bytes among many."""
    random, tensors = np.random.default_rng(seed), {}
    for layer in range(LAYERS):
        tensors[f"blocks.{layer}.dw.weight"] = random.normal(
            size=(CHANNELS, 1, 3 + 2 * (layer % 3), 3 + 2 * (layer % 3))
        )
        tensors[f"blocks.{layer}.pw.weight"] = random.normal(size=(256, 512, 1, 1))
    return {name: values.astype(np.float32) for name, values in tensors.items()}


def depthwise(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: values[:, 0] for name, values in tensors.items() if ".dw." in name}


def saved(folder: Path, tensors: dict[str, np.ndarray]) -> bytes:
    save_file(tensors, folder / "saved")
    return (folder / "saved").read_bytes()


def equal(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> bool:
    return list(found) == list(expected) and all(np.array_equal(found[name], expected[name]) for name in found)


@pytest.fixture
def hub():
    with Hub() as hub:
        yield hub


@pytest.fixture
def reader(hub, tmp_path):
    hub.add(REPO, {FILE: saved(tmp_path, network(0))}, licence="mit")
    return Reader(tmp_path, hub)


def test_only_the_header_and_the_kernels_are_read(reader, hub):
    assert reader.read() == ""
    assert equal(reader.kernels(), depthwise(network(0)))
    size = len(hub.repos[REPO].commits[hub.repos[REPO].commit][FILE].data)
    assert sum(request.sent for request in hub.requests) < 0.1 * size
    assert len(hub.requests) <= LAYERS + 4
    assert all(request.range for request in hub.requests if request.server == "cdn")
    told = reader.told()
    assert (told["licence"], told["revision"], told["source"]) == ("mit", hub.repos[REPO].commit, SOURCE)
    assert told["date"] == "2024-06-01"


def test_a_second_reading_asks_once_whether_the_file_changed_and_offline_not_at_all(reader, hub):
    reader.read()
    first = reader.told()
    assert reader.read() == "" and [request.method for request in hub.requests] == ["HEAD"]
    assert reader.read(HF_HUB_OFFLINE="1") == "" and not hub.requests
    assert reader.told() == first and equal(reader.kernels(), depthwise(network(0)))
    assert reader.read(f"hf:{REPO}@{first['revision']}:{FILE}") == ""
    assert reader.read(f"hf:{REPO}@{first['revision']}:{FILE}") == "" and not hub.requests  # a commit cannot change


def test_a_new_revision_is_read_and_an_old_one_stays_to_be_had(reader, hub, tmp_path):
    reader.read()
    old = reader.told()["revision"]
    new = hub.update(REPO, FILE, saved(tmp_path, network(1)))
    assert reader.read() == "" and reader.told()["revision"] == new
    assert equal(reader.kernels(), depthwise(network(1)))
    assert reader.read(f"hf:{REPO}@{old}:{FILE}") == ""
    assert equal(reader.kernels(), depthwise(network(0)))


def test_without_network_what_was_read_is_used_and_what_was_not_is_said(reader, hub):
    reader.read()
    hub.fail("503", None)
    assert reader.read() == "" and equal(reader.kernels(), depthwise(network(0)))
    error = reader.read("hf:owner/other:model.safetensors", HF_HUB_OFFLINE="1")
    assert error.startswith(
        "error: model net: hf:owner/other:model.safetensors: owner/other: model.safetensors: neither"
    )


def test_a_file_in_the_hubs_own_cache_is_used(reader, hub):
    download = "import sys, huggingface_hub; huggingface_hub.hf_hub_download(*sys.argv[1:])"
    assert reader.run(download, REPO, FILE) == ""
    assert reader.read() == "" and not any(request.server == "cdn" for request in hub.requests)
    assert equal(reader.kernels(), depthwise(network(0)))
    assert reader.read() == "" and [request.method for request in hub.requests] == ["HEAD"]
    assert reader.read(HF_HUB_OFFLINE="1") == "" and not hub.requests
    assert reader.told()["licence"] == "mit"


def test_without_that_cache_ranges_are_read_again(reader, hub):
    reader.run("import sys, huggingface_hub; huggingface_hub.hf_hub_download(*sys.argv[1:])", REPO, FILE)
    reader.read()
    shutil.rmtree(reader.folder / "home/hub")
    assert reader.read() == "" and all(request.range for request in hub.requests if request.server == "cdn")
    assert equal(reader.kernels(), depthwise(network(0)))


def test_kept_tensors_have_the_type_of_the_file(reader, hub, tmp_path):
    halves = np.arange(1, 2**15, dtype=np.uint16)[: 2**14].reshape(-1, 1, 2, 2)
    tensors = {"brain": halves.view("bfloat16"), "half": halves.view(np.float16), "long": halves.astype(np.float64)}
    hub.update(REPO, FILE, saved(tmp_path, tensors))
    assert reader.read() == ""
    types = [pq.read_schema(shard.path).metadata[b"dtype"].decode() for shard in shards_of(reader.shards)]
    assert types == ["bfloat16", "float16", "float64"]
    for name, kernels in reader.kernels().items():
        np.testing.assert_array_equal(kernels, tensors[name][:, 0].astype(np.float32))


def test_an_address_that_expired_is_asked_for_again(reader, hub):
    hub.fail("403", 1, "cdn:")
    assert reader.read() == "" and all(request.range for request in hub.requests if request.server == "cdn")
    assert equal(reader.kernels(), depthwise(network(0)))


def test_a_torch_file_is_fetched_whole_once(reader, hub, tmp_path):
    state = {name: torch.from_numpy(values) for name, values in network(2).items()}
    torch.save({"state_dict": state}, tmp_path / "net.pth")
    hub.update(REPO, "deep/net.pth", tmp_path / "net.pth")
    assert reader.read(f"hf:{REPO}:deep/net.pth") == ""
    assert equal(reader.kernels(), depthwise(network(2)))
    told = reader.told()
    assert told["revision"] == hub.repos[REPO].commit and len(told["sha256"]) == 64 and told["licence"] == "mit"
    assert reader.read(f"hf:{REPO}:deep/net.pth") == "" and [request.method for request in hub.requests] == ["HEAD"]


def test_a_torch_file_damaged_on_the_way_is_found_out_and_fetched_again(reader, hub, tmp_path):
    torch.save({"dw": torch.randn(8, 1, 3, 3), "big": torch.randn(2_000_000)}, tmp_path / "net.pth")
    hub.update(REPO, "net.pth", tmp_path / "net.pth")
    whole = reader.folder / "home/hub/models--owner--net/blobs"
    reader.read(f"hf:{REPO}:net.pth")
    (blob,) = (path for path in whole.iterdir() if path.stat().st_size > 1_000_000)
    data = bytearray(blob.read_bytes())
    data[len(data) // 2] ^= 1
    blob.write_bytes(data)
    assert "damaged on the way: its sha256 is not the hub's" in reader.read(f"hf:{REPO}:net.pth")
    assert reader.read(f"hf:{REPO}:net.pth") == "" and len(reader.kernels()) == 1


def test_of_shards_only_those_with_kernels_are_read(reader, hub, tmp_path):
    tensors = network(3)
    parts = {
        "one.safetensors": {name: values for name, values in tensors.items() if name < "blocks.3"},
        "two.safetensors": {name: values for name, values in tensors.items() if name >= "blocks.3"},
        "three.safetensors": {"head.weight": np.ones((2000, 2000), np.float32)},
    }
    index = {"weight_map": {name: file for file, part in parts.items() for name in part}}
    files = {f"sub/{file}": saved(tmp_path, part) for file, part in parts.items()}
    hub.add("owner/parts", files | {"sub/model.safetensors.index.json": json.dumps(index).encode()})
    assert reader.read("hf:owner/parts:sub/model.safetensors.index.json") == ""
    assert equal(reader.kernels(), depthwise(tensors))
    assert sum(request.sent for request in hub.requests if "three" in request.path) <= 131_072
    assert reader.read("hf:owner/parts:sub/model.safetensors.index.json") == "" and len(hub.requests) == 1
    new = {name: -values for name, values in parts["one.safetensors"].items()}
    hub.update("owner/parts", "sub/one.safetensors", saved(tmp_path, new))
    assert reader.read("hf:owner/parts:sub/model.safetensors.index.json") == ""
    assert equal(reader.kernels(), depthwise(tensors | new))


@pytest.mark.parametrize("name", ["../up.safetensors", "/etc/passwd", "net.bin"])
def test_shards_outside_the_repository_are_refused(reader, hub, name):
    index = {"weight_map": {"a.dw.weight": name}}
    hub.update(REPO, "model.safetensors.index.json", json.dumps(index).encode())
    assert "names shards outside the repository" in reader.read(f"hf:{REPO}:model.safetensors.index.json")


def test_gated_repositories_need_a_token_which_stays_on_the_hub(reader, hub, tmp_path):
    hub.add("owner/gated", {FILE: saved(tmp_path, network(4))}, gated=True)
    assert "owner/gated is gated; accept its terms" in reader.read("hf:owner/gated:model.safetensors")
    assert "owner/gated is gated" in reader.read("hf:owner/gated:model.safetensors", HF_TOKEN="hf_bad")
    assert reader.read("hf:owner/gated:model.safetensors", HF_TOKEN="hf_good") == ""
    assert equal(reader.kernels(), depthwise(network(4))) and hub.leaks == 0


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("hf:owner/none:model.safetensors", "the hub has no owner/none, or it is private"),
        ("hf:owner/net:none.safetensors", "owner/net has no none.safetensors"),
        ("hf:owner/net@v9:model.safetensors", "owner/net has no revision v9"),
        ("hf:own..er/net:model.safetensors", "is not the name of a repository"),
        ("timm:resnet50.none", "has no pretrained 'resnet50.none'; did you mean"),
        ("timm:gcvit_base.in1k", "not on the hub; fetch https://"),
    ],
)
def test_what_the_hub_does_not_have_is_said(reader, source, line):
    assert line in reader.read(source)
    assert not reader.shards.exists()


def test_a_renamed_repository_is_followed(reader, hub):
    hub.rename(REPO, "other/name")
    assert reader.read() == "" and equal(reader.kernels(), depthwise(network(0)))


def test_small_files_that_the_hub_serves_itself_are_read_by_ranges_too(reader, hub, tmp_path):
    hub.add("owner/small", {FILE: saved(tmp_path, network(5))}, lfs=False)
    assert reader.read("hf:owner/small:model.safetensors") == ""
    assert equal(reader.kernels(), depthwise(network(5)))
    assert {request.server for request in hub.requests} == {"hub"}


class Mischief:
    def __reduce__(self):
        return os.system, ("touch mischief",)


def test_a_checkpoint_that_would_run_code_runs_none(reader, hub, tmp_path):
    hub.update(REPO, "net.bin", pickle.dumps({"state_dict": Mischief()}, protocol=2))
    torch.save({"state_dict": {"dw": torch.zeros(8, 1, 3, 3)}, "args": Mischief()}, tmp_path / "net.pth")
    hub.update(REPO, "net.pth", tmp_path / "net.pth")
    error = reader.read(f"hf:{REPO}:net.bin")
    assert f"hf:{REPO}:net.bin: {REPO}: net.bin: would run code on loading: posix.system" in error
    assert (
        reader.read(f"hf:{REPO}:net.pth") == "" and len(reader.kernels()) == 1
    )  # beside the weights it is passed over
    hub.update(REPO, "model-00001-of-00002.safetensors", saved(tmp_path, network(5)))
    assert "name their index model.safetensors.index.json" in reader.read(f"hf:{REPO}:model-00001-of-00002.safetensors")
    assert not list(tmp_path.rglob("mischief"))


def lying(entries: dict, length: int | None = None) -> bytes:
    header = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    return (len(header) if length is None else length).to_bytes(8, "little") + header + bytes(1000)


def entry(start: int, stop: int, **more: object) -> dict:
    return {"dtype": "F32", "shape": [4, 1, 3, 3], "data_offsets": [start, stop]} | more


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (lying({"a": entry(0, 144), "b": entry(100, 244)}), "overlap"),
        (lying({"a": entry(900, 1044)}), "truncated"),
        (lying({"a": entry(-144, 0)}), "no whole number"),
        (lying({"a": entry(0, 72)}), "cannot fill 72 bytes"),
        (lying({"a": entry(0, 144, dtype="F16")}), "cannot fill 144 bytes"),
        (lying(b'{"a": {}, "a": {}}'), "occurs twice"),
        (lying({}, 2_000_000_000), "claims 2000000000 bytes"),
        (lying({}, 90_000_000), "truncated: a header of 90000000 bytes in a file of"),
    ],
)
def test_a_header_that_lies_is_refused_before_anything_is_read(reader, hub, content, line):
    hub.update(REPO, FILE, content)
    error = reader.read()
    assert error.startswith(f"error: model net: {SOURCE}: {REPO}: {FILE}: ") and line in error
    assert sum(request.sent for request in hub.requests if request.server == "cdn") <= 2000
    assert not reader.shards.exists()


def timm_weights(name: str) -> dict[str, np.ndarray]:
    import timm

    torch.manual_seed(0)
    state = timm.create_model(name).state_dict()
    return {name: np.ascontiguousarray(values.numpy()) for name, values in state.items()}


def test_timm_tells_what_a_tensor_is(reader, hub, tmp_path):
    weights = timm_weights("mobilenetv3_small_050.lamb_in1k")
    weights["aux.weight"] = np.ones((8, 1, 3, 3), np.float32)  # of the shape, but no layer of the network
    hub.add("timm/mobilenetv3_small_050.lamb_in1k", {FILE: saved(tmp_path, weights)})
    assert reader.read("timm:mobilenetv3_small_050.lamb_in1k") == ""
    kernels = reader.kernels()
    assert [name for name in weights if "conv_dw.weight" in name] == list(kernels)  # in the order of the network
    assert all(np.array_equal(kernels[name], weights[name][:, 0]) for name in kernels)
    rows = (
        pq.read_table(ROOT / "resources/timm_layers.parquet")
        .to_pandas()
        .query("model == 'mobilenetv3_small_050.lamb_in1k'")
    )
    told = [
        {k.decode(): v.decode() for k, v in pq.read_schema(s.path).metadata.items()} for s in shards_of(reader.shards)
    ]
    for name in ("stride", "dilation", "stage"):
        assert [int(each[name]) for each in told] == rows[name].tolist()
    assert rows["stride"].nunique() == 2 and rows["stage"].nunique() > 2


def test_names_of_the_authors_go_through_timms_own_filter(reader, hub, tmp_path):
    tag = "convnext_atto.d2_in1k"
    weights = timm_weights(tag)

    def original(name: str) -> str:  # those of facebookresearch/ConvNeXt
        for ours, theirs in {
            "stem.0.": "downsample_layers.0.0.",
            "stem.1.": "downsample_layers.0.1.",
            **{f"stages.{stage}.downsample": f"downsample_layers.{stage}" for stage in range(1, 4)},
            "blocks.": "",
            "conv_dw": "dwconv",
            "mlp.fc": "pwconv",
            "head.fc": "head",
            "head.norm": "norm",
        }.items():
            name = name.replace(ours, theirs)
        return name

    hub.add(f"timm/{tag}", {FILE: saved(tmp_path, {original(name): values for name, values in weights.items()})})
    assert reader.read(f"timm:{tag}") == ""
    assert equal(reader.kernels(), {name: w[:, 0] for name, w in weights.items() if name.endswith("conv_dw.weight")})
    hub.add(f"timm/{tag}", {FILE: saved(tmp_path, network(6))})
    error = reader.read(f"timm:{tag}")
    assert f"timm/{tag}: {FILE}: " in error and "cannot load it" in error


def test_timm_weights_without_safetensors_are_fetched_whole(reader, hub, tmp_path):
    weights = timm_weights("mobilenetv3_small_050.lamb_in1k")
    torch.save({name: torch.from_numpy(values) for name, values in weights.items()}, tmp_path / "net.bin")
    hub.add("timm/mobilenetv3_small_050.lamb_in1k", {"pytorch_model.bin": tmp_path / "net.bin"})
    assert reader.read("timm:mobilenetv3_small_050.lamb_in1k") == ""
    assert [name for name in weights if "conv_dw.weight" in name] == list(reader.kernels())


def test_real_checkpoints_give_the_same_from_the_hub(reader, hub, data):
    source = data / "checkpoints/edgenext_x_small_edgeface.safetensors"
    hub.add("owner/real", {source.name: source})
    assert reader.read(f"hf:owner/real:{source.name}") == ""
    from_hub = reader.kernels()
    assert reader.read(f"file:{source}") == ""
    assert equal(from_hub, reader.kernels()) and len(from_hub) > 10
    assert load_file(source)[next(iter(from_hub))].dtype == np.float32


# where a fault can strike: the file's description, its licence, its header or a later range
PLACES = {
    "description": f"hub:/{REPO}/resolve",
    "licence": f"hub:/api/models/{REPO}",
    "content": "cdn:",
}
ANSWERS = [fault for fault in FAULTS if fault.isdigit()] + ["429-long", "reset", "rst", "hang"]
CASES = [
    *((fault, "description", 1) for fault in [*ANSWERS, "no-etag", "change"]),
    *((fault, "licence", 1) for fault in [*ANSWERS, "cut", "garbage", "change"]),
    *((fault, "content", times) for fault in FAULTS for times in (1, None)),
    *((fault, place, None) for fault in ("404", "503", "reset", "hang") for place in ("description", "licence")),
]
PASSES = set(FAULTS) - {"404", "401", "403", "416", "no-etag"}  # one of these is no reason to give up


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """Fault, place, times -> (error, kernels), many at a time as most of it is waiting; and the kernels allowed."""
    folder = tmp_path_factory.mktemp("faults")
    content = saved(folder, network(0))

    def outcome(case: tuple[str, str, int | None]) -> tuple[str, dict | None, list[dict]]:
        """The error, the kernels of the shards, and those of each version that the hub has had."""
        fault, place, times = case
        with Hub() as hub:
            reader = Reader(folder / f"{fault}-{place}-{times}", hub)
            reader.folder.mkdir()
            hub.add(REPO, {FILE: content})
            hub.fail(fault, times, PLACES[place])
            error = reader.read(HF_HUB_DISABLE_PROGRESS_BARS="1")
            trees = hub.repos[REPO].commits.values()
            versions = []
            for number, tree in enumerate(trees):
                (reader.folder / f"{number}.safetensors").write_bytes(tree[FILE].data)
                versions.append(depthwise_of(reader.folder / f"{number}.safetensors"))
            return error, reader.kernels() if reader.shards.exists() else None, versions

    with ThreadPoolExecutor(16) as pool:
        return {case: pool.submit(outcome, case) for case in CASES}


def depthwise_of(path: Path) -> dict[str, np.ndarray]:
    return depthwise(dict(sorted(load_file(path).items())))


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case)))
def test_a_fault_gives_all_kernels_or_one_line_and_none(outcomes, case):
    fault, _, times = case
    error, kernels, versions = outcomes[case].result()
    if error:
        assert kernels is None
        assert error.startswith(f"error: model net: {SOURCE}: ") and REPO in error.removeprefix(
            f"error: model net: {SOURCE}"
        )
        assert "http://" not in error and len(error) < 400
        assert times is None or fault not in PASSES, error
    else:
        assert any(equal(kernels, version) for version in versions)


def test_hub_models_and_own_files_mix_in_one_sheet(project, hub, tmp_path):
    from conftest import ROWS

    hub.add("owner/gamma", {FILE: project / "nets/gamma.safetensors"}, licence="cc-by-nc-4.0")
    environment = Reader(tmp_path, hub).environment()
    make_sheet(project, [*ROWS, f"gamma hf:owner/gamma:{FILE} assign toy 60 500"])
    snakemake(project, environment=environment)
    sources = pq.read_table(project / "results/kernels/gamma/000.parquet").schema.metadata
    assert sources[b"licence"] == b"cc-by-nc-4.0"
    assert "cc-by-nc-4.0" in (project / "results/report.html").read_text()

    make_sheet(project, [*ROWS[:2], f"gamma hf:owner/gamma:{FILE} assign toy 60 500", "x init:lcnet_050 control"])
    wrong = snakemake(project, "--config", "licences=permissive", environment=environment, check=False)
    assert (
        "error: model gamma: hf:owner/gamma:model.safetensors: its licence is cc-by-nc-4.0, not permissive"
        in wrong.stdout
    )
    assert wrong.returncode != 0 and not (project / "results/kernels/gamma").exists()
