"""Download files of one commit into the hub's cache: `python -m playground.models.fetch REQUEST`.

REQUEST is JSON: `repo`, `commit`, `files` (name to bytes), `force`. Runs in a child process, because a download can
only be stopped at once by ending its process: the library reads ten megabytes at a time and sleeps between retries.
"""

from __future__ import annotations

import json
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


class _Bar:
    """What the hub library needs of a progress bar; adds up over all files."""

    done = 0
    total = 0
    said = 0.0

    def __init__(self, *_: object, **options: Any) -> None:
        _Bar.done += int(options.get("initial") or 0)

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *_: object) -> None: ...

    def update(self, n: float | None = 1) -> None:
        _Bar.done += int(n or 0)
        now = time.monotonic()
        if now - _Bar.said >= REPORT_S:
            _Bar.said = now
            tell()

    def close(self) -> None: ...

    def refresh(self, *_: object, **__: object) -> None: ...

    def set_description(self, *_: object, **__: object) -> None: ...

    def set_postfix_str(self, *_: object, **__: object) -> None: ...


def tell() -> None:
    """Report the bytes so far."""
    say({"stage": "downloading", "done": _Bar.done, "total": _Bar.total, "unit": "B"})


def fetch(repo: str, commit: str, files: dict[str, int], *, force: bool = False) -> str:
    """Download `files`; the folder that holds them, or the one file, comes back. Raises CatalogError."""
    from huggingface_hub import constants, hf_hub_download

    constants.DOWNLOAD_CHUNK_SIZE = CHUNK
    constants.HF_HUB_DISABLE_XET = True  # its transfers run in native code, where no signal ends them
    _Bar.total = sum(files.values())
    finished, path = 0, Path()
    for name, size in files.items():
        path = Path(
            hf_hub_download(
                repo,
                name,
                revision=commit,
                tqdm_class=_Bar,
                etag_timeout=10,
                force_download=force,
            )
        )
        finished += size
        _Bar.done = finished
        tell()
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
