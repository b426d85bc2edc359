"""`python -m playground.push.upload`: uploads files to the hub in one commit. The request is a line of standard input.

It ends with the process that started it: with the end of standard input. The hub library would try everything five
times and wait for an answer for ever; here what cannot be reached is said at once, and only an upload that was cut or
that the storage failed is tried again.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import httpx

from playground.errors import HubUnreachable, NameTaken, to_wire
from playground.process import end_with_parent, say
from playground.push.hub import AGAIN, typed, unreachable

CONNECT_S = 10.0
REPORT_S = 0.1
TRIES = 3  # of one upload
THREADS = 4
_OF_THE_HUB = {".gitattributes"}  # which it writes into every new repository


class Telling:
    """How far the upload is, for the parent."""

    def __init__(self) -> None:
        self.stage, self.total = "", 0
        self.sent: Counter[str] = Counter()
        self._said = 0.0
        self._lock = threading.Lock()

    def at(self, stage: str) -> None:
        with self._lock:
            self.stage = stage
            self._say()

    def count(self, address: str, done: int) -> None:
        """Bytes of one upload so far; a second try begins at 0."""
        with self._lock:
            self.sent[address] = done
            if time.monotonic() - self._said >= REPORT_S:
                self._say()

    def _say(self) -> None:
        self._said = time.monotonic()
        measured = self.stage == "uploading"
        done, total = (self.sent.total(), self.total) if measured else (0, 0)
        say({"stage": self.stage, "done": done, "total": total, "unit": "bytes" if measured else ""})


class Counted(httpx.SyncByteStream):
    """The body of an upload, counted as it is sent."""

    def __init__(self, stream: httpx.SyncByteStream, address: str, telling: Telling) -> None:
        self._stream, self._address, self._telling = stream, address, telling

    def __iter__(self) -> Iterator[bytes]:
        done = 0
        self._telling.count(self._address, 0)
        for piece in self._stream:
            yield piece
            done += len(piece)
            self._telling.count(self._address, done)

    def close(self) -> None:
        self._stream.close()


class Client(httpx.Client):
    """The hub library's client with an end to waiting, and with what each request means told to the parent."""

    def __init__(self, telling: Telling, quiet_s: float) -> None:
        super().__init__(follow_redirects=True, timeout=httpx.Timeout(quiet_s, connect=min(CONNECT_S, quiet_s)))
        self._telling = telling
        self._failed: Counter[str] = Counter()

    def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        address, path = str(request.url), request.url.path
        upload = request.method == "PUT"
        if path.endswith("/api/repos/create"):
            self._telling.at("creating the repository")
        elif "/commit/" in path:
            self._telling.at("committing")
        if upload and not isinstance(request.stream, Counted):
            request.stream = Counted(request.stream, address, self._telling)  # type: ignore[arg-type]
        try:
            answer = super().send(request, **options)
        except httpx.TransportError as error:
            lost = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
            if lost or not self._again(upload, address):
                raise unreachable(error, committing="/commit/" in path) from error
            raise
        if (answer.status_code >= 500 or answer.status_code == 429) and not self._again(upload, address):
            raise HubUnreachable(f"The hub answered {answer.status_code}.", hint=f"Wait a little, then {AGAIN}")
        self._answered(path, answer)
        return answer

    def _again(self, upload: bool, address: str) -> bool:
        """Whether the library may try once more."""
        self._failed[address] += 1
        return upload and self._failed[address] < TRIES

    def _answered(self, path: str, answer: httpx.Response) -> None:
        if "/preupload/" in path:
            self._telling.at("computing checksums")
        elif path.endswith("/info/lfs/objects/batch") and answer.is_success:
            objects = answer.json().get("objects") or ()
            self._telling.total += sum(one.get("size", 0) for one in objects if one.get("actions"))
            self._telling.at("uploading")


def upload(
    token: str, repository: str, private: bool, replace: bool, paths: Mapping[str, str], texts: Mapping[str, str],
    message: str, quiet_s: float,
) -> dict[str, Any]:  # fmt: skip
    """The fields of `Pushed` that the hub knows. Raises PlaygroundError and whatever the library raises."""
    # Read when the library is imported. Xet transfers run in native code, whose patience is its own.
    os.environ |= {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    from huggingface_hub import (
        CommitOperationAdd,
        CommitOperationCopy,
        CommitOperationDelete,
        HfApi,
        constants,
        set_client_factory,
    )

    telling = Telling()
    set_client_factory(lambda: Client(telling, quiet_s))
    api = HfApi(token=token)
    telling.at("asking the hub")
    there = _existing(api, repository)
    if there is None:
        api.create_repo(repository, private=private, exist_ok=True)
        there = _existing(api, repository)
    held = {entry.rfilename for entry in (there.siblings or ())} - _OF_THE_HUB if there else set()
    hidden = there.private if there else private
    _check_existing(repository, held, replace=replace, exposed=private and not hidden)
    gone = sorted(held - {*paths, *texts})
    operations: list[CommitOperationAdd | CommitOperationCopy | CommitOperationDelete] = [
        *(CommitOperationAdd(name, path) for name, path in paths.items()),
        *(CommitOperationAdd(name, text.encode()) for name, text in texts.items()),
        *(CommitOperationDelete(name, is_folder=False) for name in gone),
    ]
    made = api.create_commit(
        repository, operations, commit_message=message, num_threads=THREADS, parent_commit=there.sha if there else None
    )
    url = f"{constants.ENDPOINT}/{repository}"
    return {"url": url, "commit": made.oid, "private": bool(hidden), "sent": telling.sent.total()}


def _existing(api: Any, repository: str) -> Any:
    """What the hub has under this name; None when nothing that this token may see."""
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        return api.model_info(repository)
    except RepositoryNotFoundError:
        return None


def _check_existing(repository: str, held: Collection[str], *, replace: bool, exposed: bool) -> None:
    """Raise NameTaken for a repository that others would see, or that holds files which nobody gave up."""
    if exposed:
        raise NameTaken(f"{repository} is public on the hub.", hint="Choose another name, or push it as public.")
    if held and not replace:
        raise NameTaken(
            f"{repository} is on the hub already and holds files.",
            hint="Choose another name, or let this push replace them; its history keeps them.",
        )


def main() -> int:
    request = json.loads(sys.stdin.readline())
    threading.Thread(target=end_with_parent, daemon=True).start()
    try:
        say({"result": upload(**request)})
    except Exception as error:  # noqa: BLE001  whatever it is, the parent gets a typed error
        say(to_wire(typed(error, request["repository"])))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
