"""Paths of jobs, variants and runs on the disk, resolved at call time."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from playground.settings import settings

BEFORE = "-before"
MARKER = "playground.json"  # in every folder that this program made: its owner, and that it may be deleted


def home_id() -> str:
    """The id of this home among those that share a database; created at first use."""
    place = settings().data / "home"
    try:
        return place.read_text()
    except FileNotFoundError:
        place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=place.parent, delete=False) as file:
        file.write(secrets.token_hex(16))
    with contextlib.suppress(FileExistsError):
        os.link(file.name, place)  # fails where another process was first
    Path(file.name).unlink()
    return place.read_text()


def variants() -> Path:
    """The home's folder of finished variants."""
    return settings().data / "variants"


def jobs() -> Path:
    return settings().data / "jobs"


def job(job_id: str) -> Path:
    """Events, log, result and error of one job."""
    return jobs() / job_id


def runs() -> Path:
    return settings().data / "runs"


def run(run_id: str) -> Path:
    """The folder for what is too long for a run's row: the items of each task, by variant."""
    return runs() / run_id


def items(run_id: str, task: str) -> Path:
    """The folder of one task's items in a run: a .jsonl file per variant, named by its number in the run."""
    return run(run_id) / "items" / task


def unfinished(key: str) -> Path:
    """The folder of partial results of a job; `key` is a hash of everything that can change its figures."""
    return settings().cache / "evaluations" / key


def device_lock(device: str) -> Path:
    """The file that a worker holds locked while it computes on `device`."""
    return jobs() / f"device-{device.replace(':', '-')}.lock"


def partial(job_id: str, out: str = "") -> Path:
    """The folder in which a job writes until it is complete, beside its destination, for an atomic rename."""
    beside = Path(out).expanduser().absolute().parent if out else variants()
    return beside / f".partial-{job_id}"


def set_aside(partial: Path) -> Path:
    """The folder to which a job moves the variant that it replaces, until the new one is in its place."""
    return partial.with_name(f"{partial.name}{BEFORE}")


def mark(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write the folder's marker while it is still partial. `facts` has at least "job_id" and "variant"."""
    (folder / MARKER).write_text(json.dumps(facts, indent=2))


def markers() -> Iterator[Path]:
    """The markers of all finished folders in the home."""
    for path in variants().glob("*"):
        if not path.name.startswith("."):
            yield from path.rglob(MARKER)


def size(path: Path) -> int:
    """Bytes of a file, or of all files below a folder; 0 if it does not exist."""
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file() and not file.is_symlink())


def remove(path: Path) -> None:
    """Remove a file or a folder, if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
