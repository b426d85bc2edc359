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

from playground import process as process_module
from playground.settings import settings

log = logging.getLogger(__name__)


def note(pid: int, name: str) -> Path:
    """Write down that this app started the process group `pid`. Returns the note, to be removed when it has ended."""
    folder = settings().running
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{pid}.json"
    body = {
        "name": name,
        "pid": pid,
        "identity": process_module.process_identity(pid),
        "owner": os.getpid(),
        "owner_identity": process_module.process_identity(os.getpid()),
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
            name, pid, identity = str(body["name"]), int(body["pid"]), str(body["identity"])
            owned = process_module.process_identity(int(body["owner"])) == str(body["owner_identity"])
        except (OSError, ValueError, KeyError, TypeError):
            log.warning("%s cannot be read and is removed", path)
            path.unlink(missing_ok=True)
            continue
        if owned:
            continue
        if members := _group(pid, identity):
            log.warning("%s (process group %d) was left by an app that is gone; ending it", name, pid)
            for member in members:
                with contextlib.suppress(psutil.NoSuchProcess):
                    member.kill()
            psutil.wait_procs(members, timeout=5)
            ended.append(name)
        path.unlink(missing_ok=True)
    return ended


def _group(pgid: int, identity: str) -> list[psutil.Process]:
    """This user's living members of a noted process group; none where the number is another process's by now.

    While one of them lives, the kernel gives their group's number to nobody else, whether its leader lives or not.
    """
    if process_module.process_identity(pgid) not in ("", identity) or not identity.startswith(
        f"{process_module.process_table()} "
    ):
        return []
    members = []
    for process in psutil.process_iter(["pid", "uids"]):
        with contextlib.suppress(ProcessLookupError, PermissionError, psutil.Error):
            if process.info["uids"].real == os.getuid() and os.getpgid(process.pid) == pgid:
                members.append(process)
    return members


def end_group(pgid: int, number: int = signal.SIGKILL) -> None:
    """Signal a whole process group; one that is gone is fine."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pgid, number)
