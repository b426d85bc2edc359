"""`python -m playground.push.upload`: uploads files to the hub in one commit. The request is a line of standard input.

It ends when its standard input closes, with the process that started it. The hub library retries every request five
times and has no timeout; here only an upload that was cut or that the storage failed is retried.
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
from playground.parent import end_with_parent
from playground.process import say
from playground.push.hub import RETRY, typed, unreachable

CONNECT_S = 10.0
REPORT_S = 0.1
TRIES = 3  # of one upload
THREADS = 4
_OF_THE_HUB = {".gitattributes"}  # which it writes into every new repository


class UploadProgress:
    """Prints the progress of an upload for the parent. Callable from any thread."""

    def __init__(self) -> None:
        self.stage, self.total = "", 0
        self.sent: Counter[str] = Counter()
        self._printed = 0.0
        self._lock = threading.Lock()

    def at(self, stage: str) -> None:
        with self._lock:
            self.stage = stage
            self._print()

    def count(self, address: str, done: int) -> None:
        """Bytes of one upload so far; a second try begins at 0."""
        with self._lock:
            self.sent[address] = done
            if time.monotonic() - self._printed >= REPORT_S:
                self._print()

    def _print(self) -> None:
        self._printed = time.monotonic()
        measured = self.stage == "uploading"
        done, total = (self.sent.total(), self.total) if measured else (0, 0)
        say({"stage": self.stage, "done": done, "total": total, "unit": "bytes" if measured else ""})


class CountedStream(httpx.SyncByteStream):
    """The body of an upload, counted as it is sent."""

    def __init__(self, stream: httpx.SyncByteStream, address: str, progress: UploadProgress) -> None:
        self._stream, self._address, self._progress = stream, address, progress

    def __iter__(self) -> Iterator[bytes]:
        done = 0
        self._progress.count(self._address, 0)
        for chunk in self._stream:
            yield chunk
            done += len(chunk)
            self._progress.count(self._address, done)

    def close(self) -> None:
        self._stream.close()


class Client(httpx.Client):
    """The hub library's client with timeouts, which reports what each request means."""

    def __init__(self, progress: UploadProgress, quiet_s: float) -> None:
        super().__init__(follow_redirects=True, timeout=httpx.Timeout(quiet_s, connect=min(CONNECT_S, quiet_s)))
        self._progress = progress
        self._failed: Counter[str] = Counter()

    def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        address, path = str(request.url), request.url.path
        upload = request.method == "PUT"
        if path.endswith("/api/repos/create"):
            self._progress.at("creating the repository")
        elif "/commit/" in path:
            self._progress.at("committing")
        if upload and not isinstance(request.stream, CountedStream):
            request.stream = CountedStream(request.stream, address, self._progress)  # type: ignore[arg-type]
        try:
            response = super().send(request, **options)
        except httpx.TransportError as error:
            lost = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
            if lost or not self._may_retry(upload, address):
                raise unreachable(error, committing="/commit/" in path) from error
            raise
        if (response.status_code >= 500 or response.status_code == 429) and not self._may_retry(upload, address):
            raise HubUnreachable(f"The hub answered {response.status_code}.", hint=f"Wait a little, then {RETRY}")
        self._report(path, response)
        return response

    def _may_retry(self, upload: bool, address: str) -> bool:
        """Count a failure. Return whether the library may try once more."""
        self._failed[address] += 1
        return upload and self._failed[address] < TRIES

    def _report(self, path: str, response: httpx.Response) -> None:
        if "/preupload/" in path:
            self._progress.at("computing checksums")
        elif path.endswith("/info/lfs/objects/batch") and response.is_success:
            objects = response.json().get("objects") or ()
            self._progress.total += sum(entry.get("size", 0) for entry in objects if entry.get("actions"))
            self._progress.at("uploading")


def upload(
    token: str, repository: str, private: bool, replace: bool, paths: Mapping[str, str], texts: Mapping[str, str],
    message: str, quiet_s: float,
) -> dict[str, Any]:  # fmt: skip
    """Return the fields of `Pushed` that the hub knows. Raises PlaygroundError and whatever the library raises."""
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

    progress = UploadProgress()
    set_client_factory(lambda: Client(progress, quiet_s))
    api = HfApi(token=token)
    progress.at("asking the hub")
    info = _info(api, repository)
    if info is None:
        api.create_repo(repository, private=private, exist_ok=True)
        info = _info(api, repository)
    held = {entry.rfilename for entry in (info.siblings or ())} - _OF_THE_HUB if info else set()
    hidden = info.private if info else private
    _check_existing(repository, held, replace=replace, exposed=private and not hidden)
    deleted = sorted(held - {*paths, *texts})
    operations: list[CommitOperationAdd | CommitOperationCopy | CommitOperationDelete] = [
        *(CommitOperationAdd(name, path) for name, path in paths.items()),
        *(CommitOperationAdd(name, text.encode()) for name, text in texts.items()),
        *(CommitOperationDelete(name, is_folder=False) for name in deleted),
    ]
    commit = api.create_commit(
        repository, operations, commit_message=message, num_threads=THREADS, parent_commit=info.sha if info else None
    )
    url = f"{constants.ENDPOINT}/{repository}"
    return {"url": url, "commit": commit.oid, "private": bool(hidden), "sent": progress.sent.total()}


def _info(api: Any, repository: str) -> Any:
    """The hub's ModelInfo of a repository; None where this token may see none."""
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
    end_with_parent()
    try:
        say({"result": upload(**request)})
    except Exception as error:  # noqa: BLE001  whatever it is, the parent gets a typed error
        say(to_wire(typed(error, request["repository"])))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
