"""A Hugging Face Hub on the loopback interface, in memory: as much of its HTTP API as publishing and downloading needs.

Weights are LFS files, which live at another address, the store; nothing of Xet is spoken. Answers go wrong as planned.
"""

import base64
import hashlib
import json
import os
import re
import socket
import struct
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import huggingface_hub
import pytest

Files = dict[str, bytes]
"""Path to content."""
LARGE = (".safetensors", ".pth")
"""Endings of LFS files."""
HUGE = 10_000_000_000


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def git_hash(content: bytes) -> str:
    """The name that git gives a file."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@dataclass
class Fault:
    """How answers to some requests go wrong.

    Args:
        method: of the requests.
        path: the end of theirs.
        kind: `status`: no more than that; `cut`: half of the content; `reset`: no answer; `spoil`: the last byte
            differs; `huge`: a length of 10 GB is claimed; `slow`: the content in ten pieces, over a second.
        times: how often; None: always.
        status: of kind `status`.
    """

    method: str
    path: str
    kind: str = "status"
    times: int | None = None
    status: int = 500


class Repo(dict[str, Files]):
    """Commits, oldest first: hash to the files that it leaves."""

    def __init__(self, name: str, private: bool) -> None:
        first = hashlib.sha1(name.encode()).hexdigest()
        super().__init__({first: {}})
        self.private, self.gated = private, False
        self.refs = {"main": first}
        """Branches and tags."""


class Refusal(Exception):
    """Status, message and code of an answer that says no, and the commit asked about."""

    def __init__(self, status: int, message: str, code: str | None = None, commit: str | None = None) -> None:
        self.status, self.message, self.code, self.commit = status, message, code, commit


class Server(ThreadingHTTPServer):
    """Listens on a free port."""

    daemon_threads, request_queue_size = True, 32

    def __init__(self, handler: type["Answer"], hub: "Hub") -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.hub, self.url = hub, f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_: object) -> None:
        """Clients may hang up."""


class Hub:
    """Repositories, those who may use them, and what was asked.

    Args:
        token: of one who reads and writes all.
        reader: token of one who only reads, and who has accepted no terms.
    """

    def __init__(self, token: str, reader: str = "reader") -> None:
        self.token, self.reader = token, reader
        self.repos: dict[str, Repo] = {}
        self.objects: dict[str, bytes] = {}
        """LFS files by their hash."""
        self.faults: list[Fault] = []
        self.requests: list[str] = []
        """What came to the hub, as `METHOD path`."""
        self.stored: list[str] = []
        """What came to the store, as `METHOD path range`; it stays a secret who asked."""
        self.leaks: list[str] = []
        """Requests that told the store a token."""
        self.lock = threading.Lock()
        self.servers = [Server(HubAnswer, self), Server(StoreAnswer, self)]
        self.url, self.store = (server.url for server in self.servers)

    def fault(self, method: str, path: str, *kinds: str) -> Fault | None:
        """The first fault of such a kind planned for a request; it counts as one of its times."""
        with self.lock:
            for fault in self.faults:
                fits = fault.method == method and path.endswith(fault.path) and fault.kind in kinds
                if fits and fault.times != 0:
                    fault.times = fault.times and fault.times - 1
                    return fault
        return None

    def put(self, repo: str, files: Files, branch: str = "main", private: bool = False) -> str:
        """Replace all files of a branch, both made if need be; returns the commit."""
        commits = self.repos.setdefault(repo, Repo(repo, private))
        oid = hashlib.sha1(repr((len(commits), sorted(files))).encode()).hexdigest()
        commits[oid], commits.refs[branch] = files, oid
        return oid

    def revision(self, repo: str, name: str) -> tuple[str, Files]:
        """Hash and files of a branch, tag or commit."""
        commits = self.repos[repo]
        commit = commits.refs.get(name, name)
        if commit not in commits:
            raise Refusal(404, f"Invalid rev id: {name}", "RevisionNotFound")
        return commit, commits[commit]

    def commit(self, repo: str, branch: str, body: bytes) -> str:
        """Add and delete the files of a request, a JSON object a line, on top of a branch; returns the new hash."""
        parent, files = self.revision(repo, branch)
        files = dict(files)
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            match line["key"]:
                case "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                case "lfsFile":
                    files[value["path"]] = self.objects[value["oid"]]
                case "deletedFile":
                    del files[value["path"]]
        oid = hashlib.sha1(parent.encode() + body).hexdigest()
        self.repos[repo][oid] = files
        self.repos[repo].refs[branch] = oid
        return oid


class Answer(BaseHTTPRequestHandler):
    """One request and its answer."""

    server: Server

    def log_message(self, *_: object) -> None:
        """Keeps standard error clean."""

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        return b"".join(chunks)

    def answer(self, content: object = b"", status: int = 200, **headers: str | None) -> None:
        """Send bytes, or anything else as JSON, as far as no fault is planned; `_` in names of headers is `-`."""
        content = content if isinstance(content, bytes) else json.dumps(content).encode()
        headers = {"Content-Length": str(len(content)), "Accept-Ranges": "bytes"} | headers
        fault = self.server.hub.fault(self.command, self.place, "spoil", "cut", "huge", "slow")
        kind, step = fault.kind if fault else None, max(len(content), 1)
        if kind == "spoil":
            content = content[:-1] + bytes([content[-1] ^ 1])
        elif kind == "cut":
            content = content[: len(content) // 2]
        elif kind == "huge":
            headers["X_Linked_Size" if "X_Linked_Size" in headers else "Content-Length"] = str(HUGE)
        elif kind == "slow":
            step = len(content) // 10 + 1
        self.send_response(status)
        for name, value in headers.items():
            if value is not None:
                self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        for start in range(0, len(content) if self.command != "HEAD" else 0, step):
            self.wfile.write(content[start : start + step])
            threading.Event().wait(0.1 if kind == "slow" else 0)

    def send(self, content: bytes, **headers: str | None) -> None:
        """Send a file, or the part of it that is asked for."""
        if not (asked := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))):
            return self.answer(content, **headers)
        start, size = int(asked[1]), len(content)
        if start >= size:
            return self.answer(status=416, Content_Range=f"bytes */{size}")
        self.answer(content[start:], 206, Content_Range=f"bytes {start}-{size - 1}/{size}", **headers)

    def handle_request(self) -> None:
        hub, self.place = self.server.hub, unquote(urlsplit(self.path).path)
        body = self.body()
        self.note()
        try:
            if hub.fault(self.command, self.place, "reset"):
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return self.connection.close()
            if fault := hub.fault(self.command, self.place, "status"):
                raise Refusal(fault.status, "as planned")
            self.route([unquote(part) for part in urlsplit(self.path).path.strip("/").split("/")], body)
        except Refusal as no:
            self.answer(
                {"error": no.message},
                no.status,
                X_Error_Code=no.code,
                X_Error_Message=no.message,
                X_Repo_Commit=no.commit,
            )

    do_GET = do_HEAD = do_POST = do_PUT = handle_request

    def note(self) -> None:
        raise NotImplementedError

    def route(self, parts: list[str], body: bytes) -> None:
        raise NotImplementedError


class StoreAnswer(Answer):
    """The store: a hash and a name to an LFS file, for anybody who knows them."""

    def note(self) -> None:
        asked = self.headers.get("Range")
        self.server.hub.stored.append(f"{self.command} {self.place}" + (f" {asked}" if asked else ""))
        if "Authorization" in self.headers:
            self.server.hub.leaks.append(self.server.hub.stored[-1])

    def route(self, parts: list[str], body: bytes) -> None:
        if self.command != "PUT":
            return self.send(self.server.hub.objects[parts[0]])
        if sha256(body) != parts[0]:
            raise Refusal(400, "this is another file")
        self.server.hub.objects[parts[0]] = body
        self.answer()


class HubAnswer(Answer):
    """The hub itself."""

    def note(self) -> None:
        self.server.hub.requests.append(f"{self.command} {self.place}")

    def allow(self, repo: str | None, write: bool = False) -> None:
        """Refuse those who may not, as the Hub does."""
        hub, token = self.server.hub, self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token and token not in (hub.token, hub.reader):
            raise Refusal(401, "Invalid credentials in Authorization header")
        if repo is not None and (repo not in hub.repos or (hub.repos[repo].private and not token)):
            raise Refusal(404 if token else 401, "Repository not found", "RepoNotFound")
        if write and token != hub.token:
            raise Refusal(403 if token else 401, "You don't have the rights to write here")
        if repo and hub.repos[repo].gated and token != hub.token and "/resolve/" in self.place:
            raise Refusal(403 if token else 401, "Access to this model is restricted", "GatedRepo")

    def route(self, parts: list[str], body: bytes) -> None:
        hub = self.server.hub
        match self.command, parts:
            case "POST", ["api", "validate-yaml"]:
                bad = json.loads(body)["content"].startswith("---\nlicense: [")
                self.answer({"errors": [{"message": '"license" must be a string'}] * bad}, 400 if bad else 200)
            case "POST", ["api", "repos", "create"]:
                self.allow(None, write=True)
                wanted = json.loads(body)
                name = f"{wanted['organization']}/{wanted['name']}"
                there, private = name in hub.repos, wanted.get("private") or wanted.get("visibility") == "private"
                hub.repos.setdefault(name, Repo(name, bool(private)))
                self.answer({"url": f"{hub.url}/{name}"}, 409 if there else 200)
            case "POST", [owner, name, "info", "lfs", "objects", *_] if name.endswith(".git"):
                self.allow(f"{owner}/{name.removesuffix('.git')}", write=True)
                if parts[-1] == "verify":
                    return self.answer(status=200 if json.loads(body)["oid"] in hub.objects else 404)
                verify = f"{hub.url}/{owner}/{name}/info/lfs/objects/verify"
                asked = json.loads(body)["objects"]
                for each in asked:
                    if each["oid"] not in hub.objects:
                        upload = f"{hub.store}/{each['oid']}/upload"
                        each["actions"] = {"upload": {"href": upload}, "verify": {"href": verify}}
                self.answer({"transfer": "basic", "objects": asked})
            case method, ["api", "models", owner, name, *rest]:
                self.allow(f"{owner}/{name}", write=method == "POST")
                self.api(f"{owner}/{name}", rest, body)
            case "GET" | "HEAD", [owner, name, "resolve", revision, *path]:
                self.allow(repo := f"{owner}/{name}")
                oid, files = hub.revision(repo, revision)
                if (content := files.get(file := "/".join(path))) is None:
                    raise Refusal(404, "Entry not found", "EntryNotFound", oid)
                if not file.endswith(LARGE):
                    return self.send(content, X_Repo_Commit=oid, ETag=f'"{git_hash(content)}"')
                hub.objects[found := sha256(content)] = content
                linked = {"X_Linked_Etag": f'"{found}"', "X_Linked_Size": str(len(content)), "X_Repo_Commit": oid}
                self.answer(b"Found", 302, Location=f"{hub.store}/{found}/{repo}/{file}?Signature=x", **linked)
            case _:
                raise Refusal(501, "this hub has no such address")

    def api(self, repo: str, parts: list[str], body: bytes) -> None:
        hub = self.server.hub
        match self.command, parts:
            case "POST", ["branch", branch]:
                there = branch in hub.repos[repo].refs
                start = json.loads(body).get("startingPoint", "main")
                hub.repos[repo].refs.setdefault(branch, hub.revision(repo, start)[0])
                self.answer({}, 409 if there else 200)
            case "POST", ["tag", revision]:
                hub.repos[repo].refs[json.loads(body)["tag"]] = hub.revision(repo, revision)[0]
                self.answer({})
            case "POST", ["preupload", revision]:
                present = hub.revision(repo, revision)[1]
                self.answer({"files": [mode(file["path"], present) for file in json.loads(body)["files"]]})
            case "POST", ["commit", branch]:
                oid = hub.commit(repo, branch, body)
                self.answer({"commitOid": oid, "commitUrl": f"{hub.url}/{repo}/commit/{oid}"})
            case "GET", ["tree", revision]:
                files = hub.revision(repo, revision)[1].items()
                self.answer([{"type": "file", "path": p, "size": len(c), "oid": git_hash(c)} for p, c in files])
            case "GET", [] | ["revision", _]:
                oid, present = hub.revision(repo, parts[1] if parts else "main")
                self.answer(
                    {
                        "id": repo,
                        "sha": oid,
                        "private": hub.repos[repo].private,
                        "siblings": [{"rfilename": path} for path in present],
                    }
                )
            case _:
                raise Refusal(501, "this hub has no such address")


def mode(path: str, present: Files) -> dict[str, object]:
    """How a client should send a file, and the hash of what is there already."""
    large = path.endswith(LARGE)
    oid = (sha256 if large else git_hash)(present[path]) if path in present else None
    return {"path": path, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False, "oid": oid}


@contextmanager
def serve(token: str) -> Iterator[Hub]:
    """A hub that runs in threads until the block ends; no client may tell the store its token."""
    hub = Hub(token)
    threads = [threading.Thread(target=server.serve_forever, args=(0.05,)) for server in hub.servers]
    for thread in threads:
        thread.start()
    try:
        yield hub
    finally:
        for server, thread in zip(hub.servers, threads, strict=True):
            server.shutdown()
            thread.join()
            server.server_close()
    assert not hub.leaks


def direct(hub: Hub, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the client in this process talk to a hub alone, as nobody, with a cache of its own, and without waiting."""
    for name in [name for name in os.environ if name.startswith(("HF_", "HUGGING")) or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    configure(
        monkeypatch,
        ENDPOINT=hub.url,
        HUGGINGFACE_CO_URL_TEMPLATE=hub.url + "/{repo_id}/resolve/{revision}/{filename}",
        HF_HUB_CACHE=str(home / "hub"),
        HF_TOKEN_PATH=str(home / "token"),
        HF_STORED_TOKENS_PATH=str(home / "stored_tokens"),
        HF_HUB_DISABLE_TELEMETRY=True,
        HF_HUB_OFFLINE=False,
        HF_HUB_DISABLE_XET=True,
        DOWNLOAD_CHUNK_SIZE=1 << 14,
    )
    monkeypatch.setattr("time.sleep", lambda seconds: None)


def configure(monkeypatch: pytest.MonkeyPatch, **constants: object) -> None:
    """Change constants of the client that it takes from the environment when it is imported."""
    for module in [module for name, module in sys.modules.items() if name.startswith("huggingface_hub")]:
        for name in constants.keys() & vars(module):  # some modules copy them
            monkeypatch.setattr(module, name, constants[name])
    http = huggingface_hub.utils._http  # whose sessions remember proxies, and whether to be offline
    getattr(http, "close_session", getattr(http, "reset_sessions", lambda: None))()
