"""The fake hub, for data sets: their description, their listing and their files, as `datasets` asks for them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

from tests.fakes.hub import Hub, Repo, _handler


def _dataset_handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(_handler(hub)):  # type: ignore[misc]
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = unquote(urlsplit(self.path).path)
            hub.requests.append(("POST", path, ""))
            name, _, _ = path.removeprefix("/api/datasets/").partition("/paths-info/")
            asked = json.loads(body)["paths"] if body.startswith(b"{") else parse_qs(body.decode())["paths"]
            wanted = [item.strip("/") for item in asked]
            self.json([entry for entry in self.entries(hub.repos[name]) if entry["path"] in wanted])

        def answer(self, *, body: bool) -> None:
            path = unquote(urlsplit(self.path).path)
            hub.requests.append((self.command, path, self.headers.get("Range", "")))
            if hub.status:
                return self.reply(hub.status, {}, body=body)
            if path.startswith("/datasets/"):
                owner, name, _, revision, file = path.removeprefix("/datasets/").split("/", 4)
                return self.file(f"{owner}/{name}", revision, file, body=body)
            repo = hub.repos.get("/".join(path.removeprefix("/api/datasets/").split("/")[:2]))
            if not path.startswith("/api/datasets/") or repo is None or repo.private:
                return self.missing("RepoNotFound", status=401, body=body)
            if "/tree/" in path:
                folder = path.partition("/tree/")[2].partition("/")[2]
                return self.json([one for one in self.entries(repo) if one["path"].startswith(folder)])
            name = "/".join(path.removeprefix("/api/datasets/").split("/")[:2])
            files = [{"rfilename": file} for file in repo.files]
            return self.json({"id": name, "sha": repo.commit, "private": False, "siblings": files, "tags": []})

        def entries(self, repo: Repo) -> list[dict[str, object]]:
            return [
                {"type": "file", "path": name, "size": len(data), "oid": "0" * 40} for name, data in repo.files.items()
            ]

        def json(self, body: object) -> None:
            self.reply(200, {"Content-Type": "application/json"}, json.dumps(body).encode())

    return Handler


@contextmanager
def serve_datasets() -> Iterator[Hub]:
    """A running hub without data sets; publish with `add`."""
    hub = Hub("", {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), _dataset_handler(hub))
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
