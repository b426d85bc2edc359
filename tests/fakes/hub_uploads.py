"""The write side of the fake hub: repositories, upload modes, LFS storage and commits, as the hub library asks them."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any, Literal

import yaml

if TYPE_CHECKING:
    from tests.fakes.hub import Hub

Step = Literal["models", "create", "validate", "preupload", "batch", "storage", "commit"]
INVALID = "Invalid credentials in Authorization header"
LFS_FROM = 10_000  # bytes; the real one looks at .gitattributes too


@dataclass
class Writes:
    """What may be written, what goes wrong, and what has arrived.

    tokens     token → the namespaces it may write to
    faults     at a step: a status, "hang" until `released`, or "cut" the connection
    times      how often each fault strikes; without a number always
    stored     LFS objects by their sha256
    said       the words of a 403, for instance
    """

    tokens: dict[str, tuple[str, ...]] = field(default_factory=dict)
    faults: dict[Step, int | Literal["hang", "cut"]] = field(default_factory=dict)
    times: dict[Step, int] = field(default_factory=dict)
    stored: dict[str, bytes] = field(default_factory=dict)
    said: str = "You don't have the rights to create a model under this namespace"
    pause_s: float = 0.0
    released: threading.Event = field(default_factory=threading.Event)
    struck: Counter[Step] = field(default_factory=Counter)


class Uploads(BaseHTTPRequestHandler):
    """POST and PUT to the hub that is `running`."""

    running: Hub

    def token(self) -> str:
        return str(self.headers.get("Authorization") or "").removeprefix("Bearer ")

    def may_write(self, name: str) -> bool:
        return name.partition("/")[0] in self.running.writes.tokens.get(self.token(), ())

    def do_PUT(self) -> None:
        oid = self.path.rpartition("/")[2]
        if not self.strikes("storage"):
            data = self._body(self.running.writes.pause_s)
            assert hashlib.sha256(data).hexdigest() == oid
            self.running.writes.stored[oid] = data
            self._json(200, {})

    def do_POST(self) -> None:
        path = self.path.partition("?")[0]
        self.running.requests.append(("POST", path, ""))
        step = self._step(path)
        if self.strikes(step):
            return None
        body = self._body()
        if self.token() not in self.running.writes.tokens:
            return self._json(401, {"error": INVALID}, INVALID)
        if step == "create":
            self._create(json.loads(body))
        elif step == "validate":
            self._validate(json.loads(body)["content"])
        elif step == "batch":
            self._batch(path.removesuffix(".git/info/lfs/objects/batch").strip("/"), json.loads(body))
        elif path.endswith("/verify"):
            self._json(200, {})
        else:
            name, _, _ = path.removeprefix("/api/models/").partition(f"/{step}/")
            if name not in self.running.repos or not self.may_write(name):
                return self._json(403, {"error": self.running.writes.said}, self.running.writes.said)
            if step == "preupload":
                self._preupload(json.loads(body))
            else:
                self._commit(name, [json.loads(line) for line in body.splitlines()])
        return None

    def _step(self, path: str) -> Step:
        known: dict[str, Step] = {"/repos/create": "create", "/validate-yaml": "validate", "/preupload/": "preupload",
                                  "/objects/batch": "batch", "/commit/": "commit"}  # fmt: skip
        return next((step for part, step in known.items() if part in path), "storage")

    def strikes(self, step: Step) -> bool:
        """Go wrong, where the test wants it; whether it did."""
        writes = self.running.writes
        fault = writes.faults.get(step)
        if fault is None or writes.struck[step] >= writes.times.get(step, 10**9):
            return False
        writes.struck[step] += 1
        if fault == "hang":
            writes.released.wait(60)
            self.close_connection = True
        elif fault == "cut":
            self.rfile.read(min(1000, int(self.headers.get("Content-Length") or 0)))
            self.close_connection = True
        else:
            self._body()
            self._json(fault, {"error": writes.said}, writes.said)
        return True

    def _body(self, pause_s: float = 0.0) -> bytes:
        left, found = int(self.headers.get("Content-Length") or 0), bytearray()
        while left:
            time.sleep(pause_s)
            piece = self.rfile.read(min(left, 65536))
            if not piece:
                raise ConnectionError("cut by the client")
            found += piece
            left -= len(piece)
        return bytes(found)

    def reply(self, status: int, headers: dict[str, str], data: bytes = b"", *, body: bool = True) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(data)

    def _json(self, status: int, body: Any, said: str = "") -> None:
        headers = {"Content-Type": "application/json", **({"X-Error-Message": said} if said else {})}
        self.reply(status, headers, json.dumps(body).encode())

    def _create(self, asked: dict[str, Any]) -> None:
        name = f"{asked['organization']}/{asked['name']}"
        if not self.may_write(name):
            return self._json(403, {"error": self.running.writes.said}, self.running.writes.said)
        if name in self.running.repos:
            return self._json(
                409, {"error": "You already created this model repo", "url": f"{self.running.url}/{name}"}
            )
        self.running.add(
            name, {".gitattributes": b"*.safetensors filter=lfs\n"}, private=asked["visibility"] == "private"
        )
        return self._json(200, {"url": f"{self.running.url}/{name}"})

    def _validate(self, content: str) -> None:
        front = yaml.safe_load(content.split("---\n", 2)[1])
        wrong = [] if isinstance(front.get("tags"), list) else [{"message": '"tags" must be a list'}]
        self._json(400 if wrong else 200, {"errors": wrong, "warnings": []})

    def _preupload(self, asked: dict[str, Any]) -> None:
        modes = [
            {"path": file["path"], "uploadMode": "lfs" if file["size"] > LFS_FROM else "regular", "shouldIgnore": False}
            for file in asked["files"]
        ]
        self._json(200, {"files": modes})

    def _batch(self, name: str, asked: dict[str, Any]) -> None:
        if not self.may_write(name):
            return self._json(403, {"error": self.running.writes.said})
        objects = []
        for one in asked["objects"]:
            put = {"upload": {"href": f"{self.running.url}/storage/{one['oid']}"}}
            verify = {"verify": {"href": f"{self.running.url}/storage/verify"}}
            new = one["oid"] not in self.running.writes.stored
            objects.append({"oid": one["oid"], "size": one["size"], **({"actions": put | verify} if new else {})})
        return self._json(200, {"transfer": "basic", "objects": objects})

    def _commit(self, name: str, lines: list[dict[str, Any]]) -> None:
        """All of it or nothing."""
        repo = self.running.repos[name]
        files = dict(repo.files)
        parent = lines[0]["value"].get("parentCommit")
        if parent not in (None, repo.commit):
            return self._json(412, {"error": "The branch has moved"})
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.running.writes.stored[value["oid"]]
            else:
                del files[value["path"]]
        digest = hashlib.sha1(usedforsecurity=False)
        for path, data in sorted(files.items()):
            digest.update(path.encode() + data)
        repo.files, repo.commit = files, digest.hexdigest()
        url = f"{self.running.url}/{name}/commit/{repo.commit}"
        return self._json(200, {"commitUrl": url, "commitOid": repo.commit})
