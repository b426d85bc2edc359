"""Files of the Quantize page: downloads of variants, and uploads of calibration files.

A download is a .tar streamed while it is built, so it takes neither memory nor disk.

Calibration files are uploaded in pieces. Of the file's name only the suffix is used, its content is only read as text,
and its path is the hash of its content, so equal files are stored once and a recipe finds its file again.
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

from starlette.responses import Response, StreamingResponse

from playground import texts
from playground.errors import InvalidCalibration, PlaygroundError, UnknownVariant
from playground.files import write_whole
from playground.settings import settings
from playground.store import database, variants
from playground.texts import Calibration

BLOCK = tarfile.BLOCKSIZE
PIECE = 2**20
SUFFIXES = (".jsonl", ".json", ".txt")
MAX_BYTES = 20 * 2**20
PIECE_BYTES = 2**20  # of one request of an upload, at most
MAX_OPEN = 4  # concurrent uploads
STALE_S = 300.0
_TOKEN = re.compile(r"[0-9a-f]{32}\.(jsonl|json|txt)")


def archive(variant_id: str) -> Response:
    """Return the files of a stored variant, named by its id, never by a path. Raises UnknownVariant."""
    row = variants.get(variant_id) if variant_id and database.exists() else None
    if row is None or not Path(row.path).is_dir():
        raise UnknownVariant("There is no such variant, or its files are gone.")
    members = list(_members(Path(row.path)))
    size = sum(len(head) + -(-length // BLOCK) * BLOCK for head, _, length in members) + 2 * BLOCK
    name = re.sub(r"[^\w.-]+", "-", Path(row.path).name, flags=re.ASCII)
    headers = {"Content-Length": str(size), "Content-Disposition": f'attachment; filename="{name}.tar"'}
    return StreamingResponse(_stream(members), headers=headers, media_type="application/x-tar")


def _members(folder: Path) -> Iterator[tuple[bytes, Path, int]]:
    """Yield the tar header, path and length of every file."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            info = tarfile.TarInfo(f"{folder.name}/{path.relative_to(folder)}")
            info.size, info.mtime, info.mode = path.stat().st_size, int(path.stat().st_mtime), 0o644
            yield info.tobuf(tarfile.PAX_FORMAT), path, info.size


def _stream(members: list[tuple[bytes, Path, int]]) -> Iterator[bytes]:
    for head, path, length in members:
        yield head
        remaining = length
        with path.open("rb") as file:
            while remaining and (piece := file.read(min(PIECE, remaining))):
                remaining -= len(piece)
                yield piece
        if remaining:
            raise OSError(f"{path} became shorter while it was sent")
        yield b"\0" * (-length % BLOCK)
    yield b"\0" * (2 * BLOCK)


# Uploads.


@dataclass(slots=True)
class _Incoming:
    suffix: str
    pieces: list[bytes] = field(default_factory=list)
    size: int = 0
    last_piece: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True)
class Uploaded:
    """A stored file. `token` identifies it; `rows` are usable, `skipped` are not."""

    token: str
    bytes: int
    rows: int
    skipped: int


def folder() -> Path:
    """Return the folder of uploaded calibration files; in the data folder, because recipes refer to them."""
    return settings().data / "calibration"


class Uploads:
    """Uploads in progress. Thread-safe."""

    def __init__(self) -> None:
        self._incoming: dict[str, _Incoming] = {}
        self._lock = threading.Lock()

    def piece(self, key: str, name: str, number: int, last: bool, data: bytes) -> Uploaded | None:
        """Add piece `number` of the upload `key`; return the stored file after the last, else None.

        Raises InvalidCalibration.
        """
        with self._lock:
            self._forget_stale()
            if number == 0:
                self._incoming.pop(key, None)
                if len(self._incoming) >= MAX_OPEN:
                    raise InvalidCalibration("Several files are being uploaded already.", hint="Try again in a moment.")
                self._incoming[key] = _Incoming(_suffix(name))
            upload = self._incoming.get(key)
            if upload is None or number != len(upload.pieces) or len(data) > PIECE_BYTES:
                self._incoming.pop(key, None)
                raise InvalidCalibration("A part of the file is missing.", hint="Choose it again.")
            upload.pieces.append(data)
            upload.size, upload.last_piece = upload.size + len(data), time.monotonic()
            if upload.size > MAX_BYTES:
                self._incoming.pop(key)
                raise too_large(upload.size)
            if not last:
                return None
            self._incoming.pop(key)
        return _store_file(b"".join(upload.pieces), upload.suffix)

    def _forget_stale(self) -> None:
        old = time.monotonic() - STALE_S
        self._incoming = {key: upload for key, upload in self._incoming.items() if upload.last_piece > old}


def uploaded(token: str) -> Path:
    """Return the path of a token's file. Raises InvalidCalibration if there is none."""
    if not _TOKEN.fullmatch(token) or not (path := folder() / token).is_file():
        raise InvalidCalibration("No calibration file is chosen.", hint="Choose a .jsonl, .json or .txt file.")
    return path


def _suffix(name: str) -> str:
    suffix = Path(name).suffix.lower()
    if suffix not in SUFFIXES:
        raise InvalidCalibration(
            f"{name[-60:]!r} is not a calibration file.", hint=f"Choose a file that ends in {', '.join(SUFFIXES)}."
        )
    return suffix


def too_large(size: int) -> InvalidCalibration:
    return InvalidCalibration(
        f"The file has {size / 2**20:.0f} MiB; {MAX_BYTES // 2**20} MiB is the page's limit.",
        hint="Use it by its path on the command line: --calibration FILE.",
    )


def _store_file(data: bytes, suffix: str) -> Uploaded:
    """Store a file under its hash and read it once. Raises InvalidCalibration if it is not usable."""
    try:
        data.decode()
    except UnicodeDecodeError:
        raise InvalidCalibration("The file is not UTF-8 text.", hint="Save it as UTF-8.") from None
    token = f"{hashlib.sha256(data).hexdigest()[:32]}{suffix}"
    path = folder() / token
    write_whole(path, data)
    try:
        selection = texts.draw(Calibration(source=str(path), samples=1))
    except PlaygroundError as error:
        path.unlink(missing_ok=True)
        raise InvalidCalibration(error.message.replace(token, "the file"), hint=error.hint) from None
    return Uploaded(token, len(data), selection.seen, selection.skipped)
