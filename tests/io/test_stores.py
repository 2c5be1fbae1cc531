"""Checkpoints behind addresses of the web and of stores of fsspec, by the real clients: bytes read, values, faults."""

import json
import os
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import fsspec
import ml_dtypes  # noqa: F401  (gives numpy the type bfloat16)
import numpy as np
import pytest
import torch
from conftest import ROOT
from fsspec.implementations.memory import MemoryFileSystem
from safetensors.numpy import load_file, save_file

from kernel_atlas import AtlasError, describe, diff, extract, label, read_tensors
from kernel_atlas.io import web

NET = ROOT / "resources/zoo/cifar10_7x7_s0.safetensors"
CHANNELS, LAYERS = 32, 6


def network(seed: int) -> dict[str, np.ndarray]:
    """A state dict of 6 MB, of which the depthwise tensors are 23 KB."""
    random, tensors = np.random.default_rng(seed), {}
    for layer in range(LAYERS):
        tensors[f"blocks.{layer}.dw.weight"] = random.normal(size=(CHANNELS, 1, 3, 3)).astype(np.float32)
        tensors[f"blocks.{layer}.pw.weight"] = random.normal(size=(512, 512, 1, 1)).astype(np.float32)
    return tensors


def is_depthwise(name: str, shape: tuple[int, ...]) -> bool:
    return ".dw." in name and shape[1:] == (1, 3, 3)


def same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> bool:
    return found.keys() == expected.keys() and all(
        found[name].dtype == expected[name].dtype and np.array_equal(found[name], expected[name]) for name in found
    )


@pytest.fixture(scope="module")
def content(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("net") / "net.safetensors"
    save_file(network(0), path)
    return path.read_bytes()


class Web:
    """A server of files on loopback; `fault` is what it does wrong, after `after` good answers."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.sent, self.requests, self.fault, self.after, self.version = 0, [], None, 0, 1
        web_server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                web_server.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def answer(self, to: BaseHTTPRequestHandler) -> None:
        path = to.path.partition("?")[0]
        self.requests.append(to.headers["Range"])
        fault = self.fault if len(self.requests) > self.after else None
        data = self.files.get(path)
        if fault == "change":
            self.version = 2
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", to.headers["Range"] or "")
        status, headers, body = 200, {"ETag": f'"v{self.version}"'}, data
        if data is None or isinstance(fault, int):
            status, body = fault or 404, b"refused"
        elif asked and fault != "whole":
            start, stop = int(asked[1]), min(int(asked[2]) + 1, len(data))
            status, body = 206, data[start:stop]
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(data)}"
        to.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            to.send_header(name, value)
        to.end_headers()
        body = body[: len(body) // 2] if fault == "cut" else body
        to.close_connection |= fault == "cut"
        try:
            to.wfile.write(body)
            self.sent += len(body)
        except OSError:  # the client has read enough
            to.close_connection = True


@pytest.fixture
def server(content, monkeypatch, tmp_path):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("huggingface_hub.constants.HF_ASSETS_CACHE", str(tmp_path / "assets"))
    server = Web()
    server.files["/net.safetensors"] = content
    yield server
    server.server.shutdown()
    server.server.server_close()


class Sent:
    """Counts the bytes that leave the memory file system of fsspec; `cut` halves each answer."""

    def __init__(self) -> None:
        self.bytes, self.cut = 0, False


@pytest.fixture
def sent(monkeypatch) -> Sent:
    sent, read = Sent(), MemoryFileSystem.cat_file

    def counted(store, path, start=None, end=None, **more):
        data = read(store, path, start, end, **more)
        sent.bytes += len(data)
        return data[: len(data) // 2] if sent.cut else data

    monkeypatch.setattr(MemoryFileSystem, "cat_file", counted)
    return sent


@pytest.fixture
def store(content, sent, monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_ASSETS_CACHE", str(tmp_path / "assets"))
    store = fsspec.filesystem("memory")
    store.pipe("/nets/net.safetensors", content)
    yield store
    store.rm("/nets", recursive=True)


def test_a_web_server_is_asked_for_the_header_and_the_wanted_bytes_alone(server, content):
    found = read_tensors(f"{server.address}/net.safetensors", is_depthwise)
    assert same(found, {name: values for name, values in network(0).items() if ".dw." in name})
    assert server.sent < 0.03 * len(content) and len(server.requests) <= 3 + LAYERS and all(server.requests)


def test_a_store_gives_the_same_for_as_few_bytes(store, sent, content):
    names = ["blocks.3.dw.weight", "blocks.0.dw.weight"]
    found = read_tensors("memory://nets/net.safetensors", names)
    assert list(found) == names and same(found, {name: network(0)[name] for name in names})
    assert sent.bytes < 0.03 * len(content)
    assert same(read_tensors("memory://nets/net.safetensors"), network(0))


def test_every_command_takes_addresses(server, store, tmp_path):
    for address in (f"{server.address}/net.safetensors?signature=secret", "memory://nets/net.safetensors"):
        kernels = extract(address)
        assert len(kernels) == LAYERS * CHANNELS
        np.testing.assert_array_equal(kernels["weight"][40], network(0)["blocks.1.dw.weight"][8].ravel())
        assert label(address)["label"].notna().all() and len(describe(address)) == LAYERS
        change = diff(address, NET)
        assert change.loc[change["size"] == "3x3", "share_b"].notna().all()
    assert server.sent < 0.1 * 4 * len(server.files["/net.safetensors"])


def test_the_command_line_takes_an_address_and_shows_no_signature(server, tmp_path):
    address = f"{server.address}/net.safetensors?signature=secret"
    command = [sys.executable, "-m", "kernel_atlas", "label", address, "--only", "3x3"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "HF_HOME": str(tmp_path / "home"), "NO_PROXY": "127.0.0.1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "") and f"{LAYERS * CHANNELS}" in done.stdout
    done = subprocess.run([*command[:-1], "9x9"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stderr.startswith(f"error: {server.address}/net.safetensors: no kernels of 9x9")
    assert "secret" not in done.stdout + done.stderr and not [p for p in tmp_path.iterdir() if "secret" in p.name]


def test_an_index_is_read_shard_by_shard(server, store, sent, tmp_path):
    tensors, shards = network(0), {}
    for layer in range(LAYERS):
        shard = f"net-0000{layer % 2 + 1}-of-00002.safetensors"
        shards |= dict.fromkeys([f"blocks.{layer}.dw.weight", f"blocks.{layer}.pw.weight"], shard)
    for shard in set(shards.values()):
        save_file({name: tensors[name] for name, own in shards.items() if own == shard}, tmp_path / "shard")
        server.files[f"/{shard}"] = (tmp_path / "shard").read_bytes()
        store.pipe(f"/nets/{shard}", server.files[f"/{shard}"])
    index = json.dumps({"weight_map": shards}).encode()
    server.files["/net.safetensors.index.json"] = index
    store.pipe("/nets/net.safetensors.index.json", index)
    for place in (server.address, "memory://nets"):
        address = f"{place}/net.safetensors.index.json"
        assert same(read_tensors(address, is_depthwise), {n: v for n, v in tensors.items() if ".dw." in n})
        assert len(extract(address)) == LAYERS * CHANNELS
        with pytest.raises(AtlasError, match=r"one of several parts of a network; name their index net.safetensors"):
            extract(f"{place}/net-00001-of-00002.safetensors")
    assert server.sent + sent.bytes < 0.2 * len(server.files["/net.safetensors"])


def test_other_formats_are_fetched_whole_and_once(server, store, tmp_path):
    weights = {name: torch.from_numpy(values) for name, values in network(0).items()}
    torch.save({"state_dict": weights}, tmp_path / "net.pth")
    server.files["/net.pth"] = (tmp_path / "net.pth").read_bytes()
    store.pipe("/nets/net.pth", server.files["/net.pth"])
    for address in (f"{server.address}/net.pth", "memory://nets/net.pth"):
        assert same(read_tensors(address), network(0))
        assert len(extract(address)) == LAYERS * CHANNELS
    assert server.requests.count(None) == 1, "the second reading finds it in the cache"
    server.version = 2
    read_tensors(f"{server.address}/net.pth")
    assert server.requests.count(None) == 2, "a new version is fetched"


def test_a_server_that_ignores_ranges_sends_the_file_once(server, content):
    server.fault = "whole"
    assert same(read_tensors(f"{server.address}/net.safetensors"), network(0))
    assert len(server.requests) == 2 and server.sent <= 2 * len(content)
    server.requests.clear()
    server.after = 3  # from here on
    assert len(extract(f"{server.address}/net.safetensors")) == LAYERS * CHANNELS


@pytest.mark.parametrize(
    "fault, after, line",
    [
        (404, 0, "not there; check the address"),
        (404, 3, "not there; check the address"),
        (403, 0, "no right to read it; give a signed address"),
        (418, 0, r"cannot be read \(status 418\); check the address"),
        ("cut", 2, "the server does not send what it was asked for"),
        ("change", 3, "it changed while it was read; try again"),
    ],
)
def test_what_a_server_does_wrong_is_one_line(server, fault, after, line):
    server.fault, server.after = fault, after
    address = f"{server.address}/net.safetensors"
    for read in (extract, read_tensors):
        server.requests.clear()
        server.version = 1
        with pytest.raises(AtlasError, match=rf"^{address}: {line}") as refused:
            read(f"{address}?signature=secret")
        assert "\n" not in str(refused.value) and "secret" not in str(refused.value)


def test_a_body_that_is_cut_once_is_asked_for_again(server, monkeypatch):
    answer, cut = Web.answer, []

    def cut_once(self, to):
        self.fault = "cut" if len(self.requests) == 3 and not cut else None
        cut.extend([self.fault] if self.fault else [])
        answer(self, to)

    monkeypatch.setattr(Web, "answer", cut_once)
    found = read_tensors(f"{server.address}/net.safetensors", is_depthwise)
    assert cut and same(found, {name: values for name, values in network(0).items() if ".dw." in name})


def test_a_file_cut_on_the_server_is_truncated(server, store, content):
    server.files["/net.safetensors"] = content[: len(content) // 2]
    with pytest.raises(AtlasError, match=r"truncated: tensor .* ends at byte"):
        read_tensors(f"{server.address}/net.safetensors")
    store.pipe("/nets/net.safetensors", content[:-1])
    with pytest.raises(AtlasError, match=r"truncated: tensor .* ends at byte"):
        extract("memory://nets/net.safetensors")


def test_what_a_store_does_wrong_is_one_line(store, sent, content, monkeypatch):
    for path, line in {"nets/none": "not there; check the address", "nets": "a folder; name the file"}.items():
        with pytest.raises(AtlasError, match=f"^memory://{path}: {line}"):
            extract(f"memory://{path}")
    store.pipe("/nets/empty", b"")
    with pytest.raises(AtlasError, match="the file is empty"):
        read_tensors("memory://nets/empty")
    sent.cut = True
    with pytest.raises(AtlasError, match=r"asked for 9 bytes from 0 on, got 4; try again"):
        read_tensors("memory://nets/net.safetensors")
    sent.cut = False
    read = MemoryFileSystem.cat_file

    def changing(self, path, start=None, end=None, **more):
        if start:  # a tensor, after the header
            self.pipe(path, content)
        return read(self, path, start, end, **more)

    monkeypatch.setattr(MemoryFileSystem, "cat_file", changing)
    for call in (extract, read_tensors):
        with pytest.raises(AtlasError, match=r"^memory://nets/net.safetensors: it changed while it was read"):
            call("memory://nets/net.safetensors")


@pytest.mark.parametrize(
    "address, line",
    [
        ("nosuch://a/b", "no kind of store is called nosuch://; use https://, s3://"),
        ("http://127.0.0.1:9/a.safetensors", r"cannot be read \(.*refused"),
        ("init:resnet18", "is a network, no file; name the file"),
    ],
)
def test_addresses_that_lead_nowhere_are_one_line(address, line, monkeypatch):
    monkeypatch.setattr(web.time, "sleep", lambda seconds: None)
    with pytest.raises(AtlasError, match=rf"^{address}: .*{line}"):
        read_tensors(address)


def test_a_missing_package_of_a_scheme_is_named():
    for scheme, package in {"s3": "s3fs", "gs": "gcsfs"}.items():
        if not subprocess.run([sys.executable, "-c", f"import {package}"], capture_output=True).returncode:
            pytest.skip(f"{package} is installed")
        for call in (extract, read_tensors):
            with pytest.raises(AtlasError, match=f"^{scheme}://a/b: needs {package}, which is not installed: pip inst"):
                call(f"{scheme}://a/b")


def test_files_on_disk_and_types_of_all_kinds(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    values = np.arange(24).reshape(2, 3, 4)
    kinds = ["float64", "float16", "bfloat16", "int16", "uint32", "int64", "bool", "float8_e4m3fn"]
    torch_types = {kind: torch.from_numpy(values).to(getattr(torch, kind)) for kind in kinds}
    from safetensors.torch import save_file as save_torch

    save_torch(torch_types, "net.safetensors")
    torch.save(torch_types, "net.pth")
    for name in ("net.safetensors", f"file://{tmp_path}/net.safetensors", tmp_path / "net.pth"):
        found = read_tensors(name)
        assert {kind: str(found[kind].dtype) for kind in found} == {kind: kind for kind in kinds}
        for kind in kinds:
            np.testing.assert_array_equal(found[kind].astype(np.float64), values.astype(kind).astype(np.float64))
    with pytest.raises(AtlasError, match=r"^net.pth: none of its 8 tensors is called 'float'; near are float64, "):
        read_tensors("net.pth", ["bool", "float"])
    with pytest.raises(AtlasError, match=r"^none.pth: cannot read none.pth: No such file or directory; check"):
        read_tensors("none.pth")
    with pytest.raises(AtlasError, match=r"^dict: no path and no address"):
        read_tensors({})
    assert same(read_tensors(NET), load_file(NET))
