"""Files of the Quantize page: a variant as one download, and calibration files that a browser sends.

A download is a .tar that is made while it is sent, so that it takes neither memory nor disk.

Calibration files come piece by piece: gradio's own upload is shut, and takes any file of any name. A file keeps nothing
of the name it came with but its ending. It is text to the program, never anything else; where it lies is derived from
its content, so that the same file is stored once and a recipe finds it again.
"""

from __future__ import annotations

import hashlib
import re
import tarfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from playground import texts
from playground.errors import InvalidCalibration, OwnerOnly, PlaygroundError
from playground.files import write_whole
from playground.settings import settings
from playground.store import database, variants
from playground.texts import Calibration
from playground.web import gradio as gr
from playground.web.owner import Owner

ADDRESS = "/quantize/files"
BLOCK = tarfile.BLOCKSIZE
PIECE = 2**20
SUFFIXES = (".jsonl", ".json", ".txt")
MAX_BYTES = 20 * 2**20
MAX_PIECE = 2**20  # characters of one message
MAX_OPEN = 4  # files that may be on their way at once
STALE_S = 300.0
_TOKEN = re.compile(r"[0-9a-f]{32}\.(jsonl|json|txt)")


def serve(app: Any, owner: Owner) -> None:
    """Answer `?variant=ID` in front of gradio's own routes. Only ids of the store are taken, never a path."""

    def files(request: Request) -> Response:
        try:
            owner.check(gr.Request(request))
        except OwnerOnly as error:
            return PlainTextResponse(str(error), 403)
        wanted = request.query_params.get("variant", "")
        row = variants.get(wanted) if wanted and database.exists() else None
        if row is None or not Path(row.path).is_dir():
            return PlainTextResponse("There is no such variant, or its files are gone.", 404)
        members = list(_members(Path(row.path)))
        size = sum(len(head) + -(-length // BLOCK) * BLOCK for head, _, length in members) + 2 * BLOCK
        name = re.sub(r"[^\w.-]+", "-", Path(row.path).name, flags=re.ASCII)
        headers = {"Content-Length": str(size), "Content-Disposition": f'attachment; filename="{name}.tar"'}
        return StreamingResponse(_stream(members), headers=headers, media_type="application/x-tar")

    app.router.routes.insert(0, Route(ADDRESS, files, methods=["GET"]))


def _members(folder: Path) -> Iterator[tuple[bytes, Path, int]]:
    """The header, path and length of every file."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            info = tarfile.TarInfo(f"{folder.name}/{path.relative_to(folder)}")
            info.size, info.mtime, info.mode = path.stat().st_size, int(path.stat().st_mtime), 0o644
            yield info.tobuf(tarfile.PAX_FORMAT), path, info.size


def _stream(members: list[tuple[bytes, Path, int]]) -> Iterator[bytes]:
    for head, path, length in members:
        yield head
        left = length
        with path.open("rb") as file:
            while left and (piece := file.read(min(PIECE, left))):
                left -= len(piece)
                yield piece
        if left:
            raise OSError(f"{path} became shorter while it was sent")
        yield b"\0" * (-length % BLOCK)
    yield b"\0" * (2 * BLOCK)


# Uploads.


@dataclass(slots=True)
class _Incoming:
    suffix: str
    pieces: list[bytes] = field(default_factory=list)
    size: int = 0
    told: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True)
class Uploaded:
    """A file that is here. `token` names it afterwards; `rows` could be used, `skipped` could not."""

    token: str
    bytes: int
    rows: int
    skipped: int


def folder() -> Path:
    """Where uploaded calibration text lies: beside the variants, because recipes refer to it."""
    return settings().data / "calibration"


class Uploads:
    """Files on their way, by whoever sends them. Callable from any thread."""

    def __init__(self) -> None:
        self._incoming: dict[str, _Incoming] = {}
        self._lock = threading.Lock()

    def piece(self, key: str, name: str, number: int, last: bool, text: str) -> Uploaded | None:
        """Take the next piece; the file when it was the last. Raises InvalidCalibration."""
        data = text.encode("utf-8", errors="replace")
        with self._lock:
            self._forget_stale()
            if number == 0:
                self._incoming.pop(key, None)
                if len(self._incoming) >= MAX_OPEN:
                    raise InvalidCalibration("Several files are on their way already.", hint="Try again in a moment.")
                self._incoming[key] = _Incoming(_suffix(name))
            found = self._incoming.get(key)
            if found is None or number != len(found.pieces) or len(text) > MAX_PIECE:
                self._incoming.pop(key, None)
                raise InvalidCalibration("The file did not arrive in one piece.", hint="Choose it again.")
            found.pieces.append(data)
            found.size, found.told = found.size + len(data), time.monotonic()
            if found.size > MAX_BYTES:
                self._incoming.pop(key)
                raise too_large(found.size)
            if not last:
                return None
            self._incoming.pop(key)
        return _keep(b"".join(found.pieces), found.suffix)

    def drop(self, key: str) -> None:
        """Forget what a closed tab had begun to send."""
        with self._lock:
            self._incoming.pop(key, None)

    def path(self, token: str) -> Path:
        """The file behind a token. Raises InvalidCalibration."""
        if not _TOKEN.fullmatch(token) or not (found := folder() / token).is_file():
            raise InvalidCalibration("No calibration file is chosen.", hint="Choose a .jsonl, .json or .txt file.")
        return found

    def _forget_stale(self) -> None:
        old = time.monotonic() - STALE_S
        self._incoming = {key: found for key, found in self._incoming.items() if found.told > old}


def _suffix(name: str) -> str:
    suffix = Path(name).suffix.lower()
    if suffix not in SUFFIXES:
        raise InvalidCalibration(
            f"{name[-60:]!r} is no calibration file.", hint=f"Choose a file that ends in {', '.join(SUFFIXES)}."
        )
    return suffix


def too_large(size: int) -> InvalidCalibration:
    return InvalidCalibration(
        f"The file has {size / 2**20:.0f} MiB; {MAX_BYTES // 2**20} MiB is the page's limit.",
        hint="Use it by its path on the command line: --calibration FILE.",
    )


def _keep(data: bytes, suffix: str) -> Uploaded:
    """Write it under its content's name, and read it once: a broken file is told now and not by a job."""
    token = f"{hashlib.sha256(data).hexdigest()[:32]}{suffix}"
    path = folder() / token
    write_whole(path, data)
    try:
        drawn = texts.draw(Calibration(source=str(path), samples=1))
    except PlaygroundError as error:
        path.unlink(missing_ok=True)
        raise InvalidCalibration(error.message.replace(token, "the file"), hint=error.hint) from None
    return Uploaded(token, len(data), drawn.seen, drawn.skipped)
