"""A variant's files as one download: a .tar that is made while it is sent, so that it takes neither memory nor disk."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from playground.errors import OwnerOnly
from playground.store import database, variants
from playground.web import gradio as gr
from playground.web.owner import Owner

ADDRESS = "/quantize/files"
BLOCK = tarfile.BLOCKSIZE
PIECE = 2**20


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
