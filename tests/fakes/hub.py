"""A hub on loopback: the API and the file endpoints that the hub library uses, with every request recorded."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tests.fakes.hub_uploads import INVALID, Uploads, Writes


@dataclass
class Repo:
    """One repository. `gated` answers files with 403, `private` answers everything as if it did not exist, except to
    those who may write to it.

    `token` opens a gated one.
    `sizes` overrides what the listing claims; `pause_s` is slept before every 16 KiB of `slow` files.
    """

    files: dict[str, bytes]
    commit: str = ""
    gated: bool = False
    token: str = ""
    private: bool = False
    license: str = ""
    slow: frozenset[str] = frozenset()
    pause_s: float = 0.05
    sizes: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        digest = hashlib.sha1(repr(sorted(self.files)).encode(), usedforsecurity=False)
        self.commit = self.commit or digest.hexdigest()


@dataclass
class Hub:
    """The running server: `url`, its repositories, and (method, path, range) of each request. `status` breaks it.

    `writes` is the side that takes uploads.
    """

    url: str
    repos: dict[str, Repo]
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    served: int = 0
    ranges: bool = True
    status: int = 0
    writes: Writes = field(default_factory=Writes)

    def add(self, name: str, folder: Path | Mapping[str, bytes], **options: object) -> Repo:
        """Publish a folder, or files given by name."""
        files = (
            {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
            if isinstance(folder, Path)
            else dict(folder)
        )
        self.repos[name] = Repo(files, **options)  # type: ignore[arg-type]
        return self.repos[name]


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(Uploads):
        running = hub
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None: ...

        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            self.answer(body=True)

        def answer(self, *, body: bool) -> None:
            path = unquote(urlsplit(self.path).path)
            hub.requests.append((self.command, path, self.headers.get("Range", "")))
            if hub.status:
                return self.reply(hub.status, {}, body=body)
            if path.startswith("/api/models/"):
                if self.strikes("models"):
                    return None
                return self.api(path.removeprefix("/api/models/"))
            owner, name, _, revision, file = (path.strip("/").split("/", 4) + [""] * 5)[:5]
            return self.file(f"{owner}/{name}", revision, file, body=body)

        def missing(self, code: str, *, status: int = 404, body: bool = True) -> None:
            self.reply(status, {"X-Error-Code": code, "X-Error-Message": code}, body=body)

        def api(self, rest: str) -> None:
            if "/tree/" in rest:
                return self.missing("EntryNotFound")
            name, _, revision = rest.partition("/revision/")
            repo = hub.repos.get(name)
            if hub.writes.tokens and self.token() and self.token() not in hub.writes.tokens:
                return self.reply(401, {"X-Error-Message": INVALID})
            if repo is None or (repo.private and not self.may_write(name)):
                return self.missing("RepoNotFound", status=401)
            if revision not in ("", "main", repo.commit):
                return self.missing("RevisionNotFound")
            siblings = [
                {"rfilename": file, "size": repo.sizes.get(file, len(data)), "blobId": "0" * 40}
                for file, data in repo.files.items()
            ]
            body = {
                "id": name,
                "modelId": name,
                "sha": repo.commit,
                "private": repo.private,
                "siblings": siblings,
                "tags": [],
                **({"cardData": {"license": repo.license}} if repo.license else {}),
            }
            return self.reply(200, {"Content-Type": "application/json"}, json.dumps(body).encode())

        def file(self, name: str, revision: str, file: str, *, body: bool) -> None:
            repo = hub.repos.get(name)
            if repo is None or repo.private:
                return self.missing("RepoNotFound", status=401, body=body)
            if repo.gated and (not repo.token or self.headers.get("Authorization") != f"Bearer {repo.token}"):
                return self.missing("GatedRepo", status=403, body=body)
            if revision not in ("main", repo.commit):
                return self.missing("RevisionNotFound", body=body)
            if file not in repo.files:
                return self.missing("EntryNotFound", body=body)
            data, status = repo.files[file], 200
            headers = {
                "X-Repo-Commit": repo.commit,
                "ETag": f'"{hashlib.sha256(data).hexdigest()}"',
                "X-Linked-Size": str(len(data)),
                "Accept-Ranges": "bytes",
            }
            if (wanted := self.headers.get("Range")) and hub.ranges:
                begin, _, end = wanted.removeprefix("bytes=").partition("-")
                last = min(int(end), len(data) - 1) if end else len(data) - 1
                headers["Content-Range"] = f"bytes {begin}-{last}/{len(data)}"
                data, status = data[int(begin) : last + 1], 206
            self.reply(status, {**headers, "Content-Length": str(len(data))}, body=False)
            for start in range(0, len(data) if body else 0, 16384):
                if file in repo.slow:
                    time.sleep(repo.pause_s)
                try:
                    self.wfile.write(data[start : start + 16384])
                except OSError:
                    return None
                hub.served += len(data[start : start + 16384])
            return None

    return Handler


@contextmanager
def serve() -> Iterator[Hub]:
    """A running hub with no repositories."""
    hub = Hub("", {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
