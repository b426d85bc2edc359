"""Engine processes that outlived a crashed app: noted when they start, found and ended at the next start.

Every engine also watches its standard input and ends with it. This is for what a kill -9 in the wrong moment leaves:
a worker whose launcher is gone.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
from pathlib import Path

import psutil

from playground.settings import settings

log = logging.getLogger(__name__)
_TOLERANCE_S = 1.0  # between two readings of a process's start


def note(pid: int, name: str) -> Path:
    """Write down that this app started the process group `pid`. Returns the note, to be removed when it has ended."""
    folder = settings().running
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{pid}.json"
    owner = psutil.Process()
    body = {
        "name": name,
        "pid": pid,
        "started": _started(pid),
        "owner": owner.pid,
        "owner_started": owner.create_time(),
    }
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(body))
    partial.replace(path)
    return path


def sweep() -> list[str]:
    """End every noted process group whose app is gone. Returns the names of those that were still running."""
    ended = []
    folder = settings().running
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else []:
        try:
            body = json.loads(path.read_text())
            name, pid, started = str(body["name"]), int(body["pid"]), float(body["started"])
            owned = _same(int(body["owner"]), float(body["owner_started"]))
        except (OSError, ValueError, KeyError, TypeError):
            log.warning("%s cannot be read and is removed", path)
            path.unlink(missing_ok=True)
            continue
        if owned:
            continue
        if members := _group(pid, started):
            log.warning("%s (process group %d) was left by an app that is gone; ending it", name, pid)
            for member in members:
                with contextlib.suppress(psutil.NoSuchProcess):
                    member.kill()
            psutil.wait_procs(members, timeout=5)
            ended.append(name)
        path.unlink(missing_ok=True)
    return ended


def _started(pid: int) -> float:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).create_time()
    return 0.0


def _same(pid: int, started: float) -> bool:
    """Whether `pid` is still that process, and not a later one with its number."""
    return abs(_started(pid) - started) < _TOLERANCE_S


def _group(pgid: int, started: float) -> list[psutil.Process]:
    """The living members of a process group that this user started no earlier than its leader."""
    members = []
    for process in psutil.process_iter(["pid", "create_time", "uids"]):
        with contextlib.suppress(ProcessLookupError, PermissionError, psutil.Error):
            mine = process.info["uids"].real == os.getuid()
            if mine and os.getpgid(process.pid) == pgid and process.info["create_time"] >= started - _TOLERANCE_S:
                members.append(process)
    return members


def end_group(pgid: int, number: int = signal.SIGKILL) -> None:
    """Signal a whole process group; one that is gone is fine."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pgid, number)
