"""A Hugging Face Hub on the loopback interface, in memory: as much of its HTTP API as publishing and downloading needs.

Every file is a regular one, so that nothing of LFS or Xet is spoken, and every repository is private.
"""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

Files = dict[str, bytes]
"""Path to content."""


def git_hash(content: bytes) -> str:
    """The name that git gives a file."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Hub(ThreadingHTTPServer):
    """Listens on a free port; those who name the token read and write."""

    daemon_threads = True

    def __init__(self, token: str) -> None:
        super().__init__(("127.0.0.1", 0), Request)
        self.token = token
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.repos: dict[str, dict[str, Files]] = {}
        """Repository to its commits, oldest first: hash to the files that it leaves."""
        self.requests: list[str] = []
        """What came, as `METHOD path`."""
        self.spoiled: set[str] = set()
        """Paths whose last byte is sent with a bit changed."""

    def revision(self, repo: str, name: str) -> tuple[str, Files]:
        """Hash and files of a commit, of the newest for `main`; `KeyError` if there is none."""
        commit = list(self.repos[repo])[-1] if name == "main" else name
        return commit, self.repos[repo][commit]

    def commit(self, repo: str, body: bytes) -> str:
        """Add the files of a request, a JSON object a line, to the newest commit; returns the new hash."""
        parent, files = self.revision(repo, "main")
        lines = [json.loads(line) for line in body.splitlines()]
        added = {line["value"]["path"]: line["value"]["content"] for line in lines if line["key"] == "file"}
        oid = hashlib.sha1(parent.encode() + body).hexdigest()
        self.repos[repo][oid] = files | {path: base64.b64decode(content) for path, content in added.items()}
        return oid

    def upload_mode(self, path: str, present: Files) -> dict[str, object]:
        """How a client should send a file, and the hash of what is there already."""
        oid = git_hash(present[path]) if path in present else None
        return {"path": path, "uploadMode": "regular", "shouldIgnore": False, "oid": oid}


class Request(BaseHTTPRequestHandler):
    """One request and its answer."""

    server: Hub

    def log_message(self, *_: object) -> None:
        """Keeps standard error clean."""

    def answer(self, body: object, status: int = 200, headers: dict[str, str] | None = None) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def handle_request(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server.requests.append(f"{self.command} {path}")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Authorization") != f"Bearer {self.server.token}":
            return self.answer({"error": "unknown token"}, 401)
        try:
            self.route(path.strip("/").split("/"), body)
        except KeyError as missing:
            self.answer({"error": f"there is no {missing}"}, 404)

    do_GET = do_HEAD = do_POST = handle_request

    def route(self, parts: list[str], body: bytes) -> None:
        hub = self.server
        match self.command, parts:
            case "POST", ["api", "repos", "create"]:
                wanted = json.loads(body)
                repo = f"{wanted['organization']}/{wanted['name']}"
                status = 409 if repo in hub.repos else 200
                hub.repos.setdefault(repo, {hashlib.sha1(repo.encode()).hexdigest(): {}})
                self.answer({"url": f"{hub.url}/{repo}"}, status)
            case "POST", ["api", "models", owner, name, "preupload", revision]:
                _, present = hub.revision(f"{owner}/{name}", revision)
                asked = [file["path"] for file in json.loads(body)["files"]]
                self.answer({"files": [hub.upload_mode(path, present) for path in asked]})
            case "POST", ["api", "models", owner, name, "commit", "main"]:
                oid = hub.commit(f"{owner}/{name}", body)
                self.answer({"commitOid": oid, "commitUrl": f"{hub.url}/{owner}/{name}/commit/{oid}"})
            case "GET", ["api", "models", owner, name, "revision", revision]:
                oid, files = hub.revision(f"{owner}/{name}", revision)
                self.answer({"id": f"{owner}/{name}", "sha": oid, "siblings": [{"rfilename": path} for path in files]})
            case "GET", ["api", "models", owner, name, "tree", revision]:
                files = hub.revision(f"{owner}/{name}", revision)[1].items()
                self.answer([{"type": "file", "path": p, "size": len(c), "oid": git_hash(c)} for p, c in files])
            case "GET" | "HEAD", [owner, name, "resolve", revision, *file]:
                oid, files = hub.revision(f"{owner}/{name}", revision)
                content = files[path := "/".join(file)]
                sent = content[:-1] + bytes([content[-1] ^ 1]) if path in hub.spoiled else content
                self.answer(sent, headers={"X-Repo-Commit": oid, "ETag": f'"{git_hash(content)}"'})
            case _:
                self.answer({"error": "this hub has no such address"}, 501)


@contextmanager
def serve(token: str) -> Iterator[Hub]:
    """A hub that runs in a thread until the block ends."""
    with Hub(token) as hub:
        thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield hub
        finally:
            hub.shutdown()
            thread.join()
