"""A Hugging Face hub on loopback, as far as the `huggingface_hub` client asks of it; and its faults.

As at the real hub, large files are redirected to a content store of another origin (here another port), which knows
files by their hash and must never see a token. Set `HF_ENDPOINT` to `Hub.endpoint` in the environment of a subprocess,
as the client reads it at import, and `NO_PROXY=127.0.0.1` where there is a proxy.
"""

import hashlib
import json
import re
import socket
import struct
import sys
import threading
import time
from base64 import b64decode
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs, quote, unquote, urlsplit

GOOD = "Bearer hf_good"  # opens gated and private repositories, and may write to all
READS = "Bearer hf_reads"  # is known, and may not write
BLOCK = 64 * 1024
FAULTS = {
    **{name: f"status {name}" for name in ("500", "502", "503", "504", "404", "401", "403", "416")},
    "429": "status 429, Retry-After: 0",
    "429-long": "status 429, Retry-After: 1",
    "reset": "the connection is closed before any response",
    "rst": "the same by a TCP reset, which a client sees as another error",
    "hang": "no response for 30 s or until the hub closes",
    "cut": "Content-Length is right, but the connection is closed after half the body",
    "short": "half the body, and Content-Length and Content-Range say so",
    "slow": "the body trickles: 10 KB, 0.05 s, 10 KB",
    "garbage": "a page of HTML as the body, status and Content-Range kept",
    "whole": "the range is ignored: 200 with the whole file",
    "wrong-range": "206 with bytes and Content-Range of another offset",
    "wrong-total": "the Content-Range claims another size of the file",
    "change": "right after this answer the file's second half, its etag and the commit differ; its size does not",
    "no-etag": "neither ETag nor X-Linked-Etag",
}


class Request(NamedTuple):
    """An entry of the log, made before the first byte leaves: a client that has its answer finds it there."""

    server: str  # "hub" or "cdn"
    method: str
    path: str  # as sent: quoted, with the query
    range: str | None
    status: int  # 0 for no response
    sent: int  # bytes of body given to the socket; a client that hangs up may have read less
    received: int = 0  # bytes of the request's own body


class Content:
    """The bytes of a file and the names the hub has for them."""

    def __init__(self, data: bytes, lfs: bool) -> None:
        # a view, so that a part of a large file is no copy
        self.data, self.lfs, self.sha256 = memoryview(data), lfs, hashlib.sha256(data).hexdigest()
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {len(data)}\n".encode()
        blob = pointer if lfs else data
        self.oid = hashlib.sha1(b"blob %d\0" % len(blob) + blob).hexdigest()  # as git names it

    def listed(self, oid: str, sha256: str) -> dict:
        """Its entry in a listing; the hub's two listings call the same things differently."""
        entry = {oid: self.oid, "size": len(self.data)}
        lfs = {sha256: self.sha256, "size": len(self.data), "pointerSize": 134}
        return entry | {"lfs": lfs} if self.lfs else entry


@dataclass
class Repo:
    """A repository; the id of a data set or a page begins with `datasets/` or `spaces/`.

    `lfs` says of all its files whether they are large; without it, name and size do.
    """

    id: str
    licence: str | None = "apache-2.0"
    gated: bool | str = False
    private: bool = False
    lfs: bool | None = None
    commits: dict[str, dict[str, Content]] = field(default_factory=dict)
    revisions: dict[str, str] = field(default_factory=dict)  # a test may add to them

    @property
    def commit(self) -> str:
        return self.revisions["main"]

    def is_large(self, name: str, size: int) -> bool:
        large = size >= 1_000_000 or name.endswith((".safetensors", ".bin", ".pth", ".parquet"))
        return large if self.lfs is None else self.lfs

    def add(self, files: dict[str, bytes | str | Path], removed: Sequence[str] = ()) -> str:
        tree = dict(self.commits[self.commit]) if self.commits else {}
        for name, source in files.items():
            data = source if isinstance(source, bytes) else Path(source).read_bytes()
            tree[name] = Content(data, self.is_large(name, len(data)))
        for name in removed:
            del tree[name]
        names = self.id, len(self.commits), sorted((name, content.sha256) for name, content in tree.items())
        self.revisions["main"] = hashlib.sha1(repr(names).encode()).hexdigest()
        self.commits[self.commit] = tree
        return self.commit


@dataclass(frozen=True)
class Reply:
    """An answer before it is sent; `start` is where in the content the body begins."""

    status: int
    headers: dict[str, str]
    body: bytes | memoryview
    content: Content | None = None
    start: int = 0
    file: tuple[str, str] | None = None  # repository and file that were asked for


def _json(data: object, status: int = 200, **headers: str) -> Reply:
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, {"Content-Type": "application/json", **headers}, json.dumps(data).encode())


def _refusal(status: int, code: str, message: str, **headers: str) -> Reply:
    return _json({"error": message}, status, X_Error_Code=code, X_Error_Message=message, **headers)


def _part(content: Content, start: int, stop: int, headers: dict[str, str], total: int) -> Reply:
    headers = headers | {"Content-Range": f"bytes {start}-{stop - 1}/{total}"}
    return Reply(206, headers, content.data[start:stop], content, start)


def _serve(content: Content, asked: str | None, headers: dict[str, str]) -> Reply:
    """The file or the range asked for; ranges of another form than one `a-b`, `a-` or `-n` may be ignored."""
    size, headers = len(content.data), {"Accept-Ranges": "bytes", **headers}
    first, last = re.fullmatch(r"bytes=(?=-?\d)(\d*)-(\d*)|.*", asked or "").groups()
    if first is None or (first and last and int(last) < int(first)):
        return Reply(200, headers, content.data[:], content)
    start = int(first) if first else max(size - int(last), 0)
    stop = min(int(last) + 1, size) if first and last else size
    if start >= stop:
        return Reply(416, {"Content-Range": f"bytes */{size}"}, b"", content)
    return _part(content, start, stop, headers, size)


def _applies(fault: str, method: str, reply: Reply) -> bool:
    """Whether a fault can show in a reply. It stays armed where not: no HEAD uses up a fault of the body."""
    if fault in ("whole", "wrong-range", "wrong-total"):
        return method == "GET" and reply.status == 206
    if fault in ("cut", "short", "slow", "garbage"):
        return method == "GET" and reply.status in (200, 206) and len(reply.body) > 0
    if fault == "no-etag":
        return "ETag" in reply.headers
    return fault != "change" or (reply.file is not None and reply.status < 400)


def _spoil(fault: str, reply: Reply) -> Reply:
    """The reply with a fault of status, headers or choice of bytes; the others are the sender's."""
    content, start, length = reply.content, reply.start, len(reply.body)
    size = len(content.data) if content else 0
    if fault[:3].isdigit():
        headers = {"429": {"Retry-After": "0"}, "429-long": {"Retry-After": "1"}}.get(fault, {})
        return Reply(int(fault[:3]), {"Content-Range": f"bytes */{size}"} if fault == "416" else headers, b"refused")
    if fault == "garbage":
        page = b"<html><body>Please log in to the wireless network.</body></html>"
        page += b"\n" * (len(page) == length)
        return replace(reply, headers=reply.headers | {"Content-Type": "text/html"}, body=page)
    if fault == "no-etag":
        return replace(reply, headers={k: v for k, v in reply.headers.items() if not k.lower().endswith("etag")})
    if fault == "short" and reply.status == 200:
        return replace(reply, body=reply.body[: length // 2])
    if fault == "short":
        return _part(content, start, start + max(length // 2, 1), reply.headers, size)
    if fault == "whole":
        return _serve(content, None, {k: v for k, v in reply.headers.items() if k != "Content-Range"})
    if fault == "wrong-range":
        start = start - 1 if start and start + length == size else start + 1
        return _part(content, start, min(start + length, size), reply.headers, size)
    if fault == "wrong-total":
        return _part(content, start, start + length, reply.headers, size + 1000)
    return reply


class Hub:
    """Hub and content store, serving while the context lasts; `endpoint` and `store` are their addresses."""

    def __init__(self) -> None:
        self.requests: list[Request] = []  # in the order in which the answers began
        self.leaks = 0  # requests to the content store with an authorization header
        self.delay = 0.0  # seconds before every answer
        self.bandwidth: float | None = None  # bytes of body per second, over all connections together
        self.faults: list[list] = []  # those armed: fault, times, match
        self.repos: dict[str, Repo] = {}
        self.renamed: dict[str, str] = {}
        self.stored: dict[str, Content] = {}  # all that ever got an address: old addresses serve old content
        self.closing = threading.Event()
        self.lock = threading.RLock()
        self.bugs: list[BaseException] = []  # a thread of this file has nobody else to tell
        self._free_at = 0.0  # when all bytes given to the line so far have passed it
        self._servers = [_Server(self, "hub"), _Server(self, "cdn")]
        self.endpoint, self.store = (f"http://127.0.0.1:{server.server_port}" for server in self._servers)

    def __enter__(self) -> "Hub":
        for server in self._servers:
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        self.closing.set()
        for server in self._servers:
            server.shutdown()
            server.server_close()
            for connection in list(server.connections):
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        if self.bugs and kind is None:
            raise self.bugs[0]

    def add(self, repo_id: str, files: dict[str, bytes | str | Path], **about: object) -> Repo:
        """A repository with one commit; `about` is licence, gated, private and lfs, as in `Repo`."""
        repo = Repo(repo_id, **about)
        repo.add(files)
        with self.lock:
            self.repos[repo_id] = repo
        return repo

    def update(self, repo_id: str, file: str, data: bytes | str | Path) -> str:
        """Replace or add a file in a new commit, which is returned; older commits are still served."""
        with self.lock:
            return self.repos[repo_id].add({file: data})

    def rename(self, old: str, new: str) -> None:
        """Move a repository; the old name redirects."""
        with self.lock:
            self.repos[new] = self.repos.pop(old)
            self.repos[new].id = new
            self.renamed[old] = new

    def fail(self, fault: str, times: int | None = 1, match: str | None = None) -> None:
        """Arm one of `FAULTS` for the next `times` requests (None: for ever) in which it can show.

        `match` has to occur in server and unquoted path of the request, such as "hub:/owner/net/resolve/main/a.bin"
        or "cdn:/repos/owner/net/SHA256/a.bin?Expires=...". One request takes one fault, the one armed first.
        """
        assert fault in FAULTS, f"no fault {fault!r} among {', '.join(FAULTS)}"
        with self.lock:
            self.faults.append([fault, times, match or ""])

    def heal(self) -> None:
        """Disarm all faults."""
        with self.lock:
            self.faults.clear()

    def clear(self) -> None:
        """Forget requests and leaks; faults stay armed."""
        with self.lock:
            self.requests.clear()
            self.leaks = 0

    def pace(self, size: int, pause: float) -> None:
        """Wait for `pause` and until the line that all connections share has carried `size` more bytes."""
        with self.lock:
            if self.bandwidth:
                now = time.monotonic()
                self._free_at = max(self._free_at, now) + size / self.bandwidth
                pause += self._free_at - now
        if self.closing.wait(pause):
            raise ConnectionAbortedError

    def answer(self, server: str, method: str, path: str, headers: dict, body: bytes) -> tuple[Reply, str | None]:
        """The reply to a request and the fault it met."""
        with self.lock:
            parts = [unquote(part) for part in urlsplit(path).path.split("/")[1:]]  # a revision may hold a quoted slash
            if method in ("POST", "PUT"):
                reply = self._keep(parts, headers, body) if server == "cdn" else self._take(parts, headers, body)
            else:
                reply = (self._stored if server == "cdn" else self._page)(parts, path, headers)
            for armed in self.faults:
                fault, times, match = armed
                if match in f"{server}:{unquote(path)}" and _applies(fault, method, reply):
                    break
            else:
                return reply, None
            if times is not None:
                armed[1] -= 1
                if times <= 1:
                    self.faults.remove(armed)
            if fault == "change" and reply.file[0] in self.repos:
                # Done before the answer leaves, or the client's next request might still meet the old file.
                repo = self.repos[reply.file[0]]
                data = bytes(repo.commits[repo.commit][reply.file[1]].data)
                half = len(data) // 2  # a checkpoint's header is kept: nothing but the etag tells
                repo.add({reply.file[1]: data[:half] + data[half:].translate(bytes([*range(1, 256), 0]))})
            return _spoil(fault, reply), fault

    def _stored(self, parts: list[str], path: str, headers: dict) -> Reply:
        self.leaks += "authorization" in headers
        content = self.stored.get("".join(parts[3:4]))
        if content is None or "&Signature=" not in path:
            return Reply(404 if content is None else 403, {"Content-Type": "application/xml"}, b"<Error></Error>")
        reply = _serve(content, headers["range"], {"ETag": f'"{content.sha256[::-2]}"'})
        return replace(reply, file=("/".join(parts[1:3]), "/".join(parts[4:])))

    def _keep(self, parts: list[str], headers: dict, body: bytes) -> Reply:
        """Store a large file under its hash, as the address says that came with leave to do so."""
        self.leaks += "authorization" in headers
        content = Content(body, True)
        if parts != ["uploads", content.sha256]:
            return Reply(400, {}, b"another hash")
        self.stored[content.sha256] = content
        return Reply(200, {}, b"")

    def _take(self, parts: list[str], headers: dict, body: bytes) -> Reply:
        """What a client sends to write: a new repository, questions about files, a commit."""
        if parts == ["api", "validate-yaml"]:
            return _json({"errors": [], "warnings": []})
        if headers["authorization"] != GOOD:
            refused = 403 if headers["authorization"] == READS else 401
            return _json({"error": "You don't have the rights" if refused == 403 else "Invalid token"}, refused)
        match parts:
            case ["api", "repos", "create"]:
                asked = json.loads(body)
                repo_id = f"{asked['type']}s/{asked['organization']}/{asked['name']}"
                known = repo_id in self.repos
                if not known:
                    self.add(repo_id, {".gitattributes": b"*.parquet filter=lfs"}, licence=None)
                return _json({"url": f"{self.endpoint}/{repo_id}"}, 409 if known else 200)
            case ["api", kind, owner, name, "preupload", "main"]:
                repo = self.repos[f"{kind}/{owner}/{name}"]
                modes = {
                    file["path"]: "lfs" if repo.is_large(file["path"], file["size"]) else "regular"
                    for file in json.loads(body)["files"]
                }
                files = [{"path": path, "uploadMode": mode, "shouldIgnore": False} for path, mode in modes.items()]
                return _json({"files": files})
            case [_, _, _, "info", "lfs", "objects", "batch"]:
                objects = [
                    {"oid": one["oid"], "size": one["size"]}
                    | ({} if one["oid"] in self.stored else {"actions": {"upload": self._place(one["oid"])}})
                    for one in json.loads(body)["objects"]
                ]
                return _json({"transfer": "basic", "objects": objects})
            case ["api", kind, owner, name, "commit", "main"]:
                repo = self.repos[f"{kind}/{owner}/{name}"]
                lines = [json.loads(line) for line in body.splitlines()]
                said = [(line["key"], line["value"]) for line in lines]
                files = {value["path"]: b64decode(value["content"]) for key, value in said if key == "file"}
                files |= {
                    value["path"]: bytes(self.stored[value["oid"]].data) for key, value in said if key == "lfsFile"
                }
                commit = repo.add(files, [value["path"] for key, value in said if key == "deletedFile"])
                return _json({"commitUrl": f"{self.endpoint}/{repo.id}/commit/{commit}", "commitOid": commit})
        return _json({"error": "Not Found"}, 404)

    def _place(self, oid: str) -> dict[str, str]:
        return {"href": f"{self.store}/uploads/{oid}"}

    def _page(self, parts: list[str], path: str, headers: dict) -> Reply:
        prefix = next((f"{name}/" for name in ("datasets", "spaces") if name in parts[:2]), "")
        if prefix:  # as a model's, but for the name
            parts = ["api", "models", *parts[2:]] if parts[0] == "api" else parts[1:]
        match parts:
            case ["api", "models", owner, name]:
                kind, revision, inside = "revision", "main", ""
            case ["api", "models", owner, name, "revision" | "tree" as kind, revision, *rest]:
                inside = "/".join(rest)
            case [owner, name, "resolve" as kind, revision, *rest]:
                inside = "/".join(rest)
            case _:
                return _json({"error": "Not Found"}, 404)
        repo_id, token = f"{prefix}{owner}/{name}", headers["authorization"]
        if repo_id in self.renamed and repo_id not in self.repos:
            return Reply(307, {"Location": path.replace(repo_id, self.renamed[repo_id], 1)}, b"Temporary Redirect")
        repo = self.repos.get(repo_id)
        if repo is None or (repo.private and token != GOOD):
            return _refusal(404 if token else 401, "RepoNotFound", "Repository not found")
        if repo.gated and kind == "resolve" and token != GOOD:  # what the api tells is open at the real hub too
            return _refusal(403 if token else 401, "GatedRepo", f"Access to model {repo_id} is restricted.")
        commit = repo.revisions.get(revision, revision)
        if commit not in repo.commits:
            return _refusal(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        tree, query = repo.commits[commit], parse_qs(urlsplit(path).query)
        if kind == "revision":
            return _json(_model_info(repo, commit, "blobs" in query))
        if kind == "tree":
            entries = _listing(tree, inside, query.get("recursive", [""])[0].lower() in ("true", "1"))
            return _json(entries) if entries else _refusal(404, "EntryNotFound", f"{inside} does not exist")
        if inside not in tree:
            return _refusal(404, "EntryNotFound", "Entry not found", X_Repo_Commit=commit)
        content = tree[inside]
        named = {"X-Repo-Commit": commit, "ETag": f'"{content.oid}"'}
        reply = _serve(content, headers["range"], named)
        if content.lfs:
            self.stored[content.sha256] = content
            query = f"Expires=1999999999&Signature={content.oid}"
            named["Location"] = f"{self.store}/repos/{repo_id}/{content.sha256}/{quote(inside)}?{query}"
            named |= {"X-Linked-Etag": f'"{content.sha256}"', "X-Linked-Size": str(len(content.data))}
            reply = Reply(302, named, b"Found. Redirecting.")
        return replace(reply, file=(repo_id, inside))


def _model_info(repo: Repo, commit: str, blobs: bool) -> dict:
    tree, licence = sorted(repo.commits[commit].items()), repo.licence
    return {
        **{"_id": commit[:24], "id": repo.id, "modelId": repo.id, "author": repo.id.split("/")[0], "sha": commit},
        **{"private": repo.private, "gated": "auto" if repo.gated is True else repo.gated, "disabled": False},
        **{"tags": ["timm", *([f"license:{licence}"] if licence else [])], "downloads": 1234, "likes": 5},
        **{"cardData": {"license": licence} if licence else {}, "library_name": "timm"},
        **{"createdAt": "2024-01-01T00:00:00.000Z", "lastModified": "2024-06-01T00:00:00.000Z"},
        "siblings": [{"rfilename": name} | (file.listed("blobId", "sha256") if blobs else {}) for name, file in tree],
    }


def _listing(tree: dict[str, Content], folder: str, recursive: bool) -> list[dict]:
    head, entries = f"{folder}/" if folder else "", {}
    for path, content in sorted(tree.items()):
        if path.startswith(head):
            parts = path[len(head) :].split("/")
            for depth in range(1, len(parts) if recursive else min(2, len(parts))):
                name = head + "/".join(parts[:depth])
                oid = hashlib.sha1(name.encode()).hexdigest()
                entries[name] = {"type": "directory", "path": name, "oid": oid, "size": 0}
            if recursive or len(parts) == 1:
                entries[path] = {"type": "file", "path": path, **content.listed("oid", "oid")}
    return list(entries.values())


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or headers and body, written apart, take 40 ms

    def do_GET(self) -> None:
        hub, log = self.server.hub, self.server.hub.requests
        received = self.rfile.read(int(self.headers["content-length"] or 0))
        if self.path == "/api/agent-harnesses":  # telemetry of the client, which no test means: no faults, no entry
            reply, fault, log = _json({"standardEnvVars": [], "harnesses": {}}), None, []
        else:
            hub.closing.wait(hub.delay)
            reply, fault = hub.answer(self.server.name, self.command, self.path, self.headers, received)
        body = b"" if self.command == "HEAD" else reply.body
        body = body[: len(body) // 2] if fault == "cut" else body
        silent = fault in ("reset", "rst", "hang")
        status, sent = (0, 0) if silent else (reply.status, len(body))
        asked = self.server.name, self.command, self.path, self.headers["range"]
        request = Request(*asked, status, sent, len(received))
        with hub.lock:
            log.append(request)
        self.close_connection |= silent or fault == "cut"
        if silent:
            return self.break_off(fault)
        self.send_response(status)
        for name, value in {**reply.headers, "Content-Length": str(len(reply.body))}.items():
            self.send_header(name, value)
        step, pause, sent = (10_000, 0.05, 0) if fault == "slow" else (BLOCK, 0, 0)
        try:
            self.end_headers()
            for sent in range(0, len(body), step):
                hub.pace(len(body[sent : sent + step]), pause)
                self.wfile.write(body[sent : sent + step])
        except OSError:  # the client hung up, or the hub closes
            self.close_connection = True
            with hub.lock, suppress(ValueError):  # the log may have been cleared meanwhile
                log[log.index(request)] = request._replace(sent=sent)

    do_HEAD = do_POST = do_PUT = do_GET

    def break_off(self, fault: str) -> None:
        if fault == "hang":
            self.server.hub.closing.wait(30)
        if fault == "rst":  # by hand, as the server would end the connection in the orderly way first
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.rfile.close()
            self.connection.close()

    def log_message(self, *_: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    request_queue_size = 128

    def __init__(self, hub: Hub, name: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.hub, self.name = hub, name
        self.connections: set[socket.socket] = set()  # to be ended when the hub closes, as clients keep them alive

    def process_request(self, request: socket.socket, client_address: tuple) -> None:
        self.connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: socket.socket) -> None:
        self.connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: socket.socket, client_address: tuple) -> None:
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            self.hub.bugs.append(error)
