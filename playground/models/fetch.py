"""Download files of one commit into the hub's cache: `python -m playground.models.fetch REQUEST`.

REQUEST is JSON: `repo`, `commit`, `files` (name to bytes), `force`. Runs in a child process, because a download can
only be stopped at once by ending its process: the library reads ten megabytes at a time and sleeps between retries.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from playground.errors import Cancelled, to_wire
from playground.models.hub import typed
from playground.process import say

REPORT_S = 0.1
CHUNK = 256 << 10


class Download:
    """The bytes of all files so far, told to the parent."""

    def __init__(self, total: int) -> None:
        self.done, self.total = 0, total
        self._told = 0.0

    def add(self, count: float | None) -> None:
        self.done += int(count or 0)
        now = time.monotonic()
        if now - self._told >= REPORT_S:
            self._told = now
            self.tell()

    def tell(self) -> None:
        say({"stage": "downloading", "done": self.done, "total": self.total, "unit": "B"})

    def bar(self) -> type[Any]:
        """A tqdm for one file, which adds to this download and draws nothing."""
        from huggingface_hub.utils.tqdm import tqdm

        download = self

        class Bar(tqdm):
            def __init__(self, *arguments: Any, **options: Any) -> None:
                super().__init__(*arguments, **options | {"disable": True})  # type: ignore[no-untyped-call]
                download.add(options.get("initial"))

            def update(self, n: float | None = 1) -> bool | None:
                download.add(n)
                return bool(super().update(n))

        return Bar


def fetch(repo: str, commit: str, files: dict[str, int], *, force: bool = False) -> str:
    """Download `files` (names to bytes); return their folder, or the file itself for one GGUF file.

    Raises the hub library's errors.
    """
    # Read when the library is imported. Xet transfers run in native code, where no signal ends them.
    os.environ["HF_HUB_DISABLE_XET"] = "1"
    from huggingface_hub import constants, hf_hub_download

    constants.DOWNLOAD_CHUNK_SIZE = CHUNK  # 10 MB: on a slow line no progress for many seconds
    download = Download(sum(files.values()))
    finished, path = 0, Path()
    for name, size in files.items():
        path = Path(
            hf_hub_download(
                repo,
                name,
                revision=commit,
                tqdm_class=download.bar(),
                etag_timeout=10,
                force_download=force,
            )
        )
        finished += size
        download.done = finished
        download.tell()
    return str(path if len(files) == 1 and path.suffix == ".gguf" else path.parent)


def _stop(*_: object) -> None:
    raise Cancelled("The download was stopped.")


def main(argument: str) -> int:
    signal.signal(signal.SIGTERM, _stop)
    request = json.loads(argument)
    try:
        say({"result": {"path": fetch(**request)}})
    except Exception as error:  # noqa: BLE001  whatever it is, the parent gets a typed error
        say(to_wire(typed(error, request["repo"])))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
