"""Start child processes, read their results, end them, and identify processes across restarts.

A child never inherits a key. `run` is for work with progress that can be cancelled, `ask` for a single result.

`briefly` and `wait_briefly` set how torch's threads wait at a barrier in a job. There are hundreds of barriers in a
layer, and libgomp spins at each for up to 300,000 rounds: 17 ms where a round is the `pause` of a new Intel core. If
another process keeps a core busy, the thread waited for is not running, and the others spin in vain. Sleeping at once
(`OMP_WAIT_POLICY=PASSIVE`) is safe but slow, because each barrier then costs a sleep and a wake-up. So a job spins for
a twentieth of a millisecond, longer than most barriers take: as fast as spinning on an idle machine, and no slower than
sleeping on a busy one (docs/measurements.md).

`sweep_orphans` ends engine processes that outlived a crashed app. An engine ends when its standard input closes; this
is for what a kill -9 at the wrong moment leaves: a worker whose launcher is gone.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import IO, Any, TypeVar

import psutil

from playground.core import Progress
from playground.errors import Cancelled, CatalogError, EngineUnavailable, from_wire
from playground.files import write_whole
from playground.settings import settings

POLL_S = 0.1
GRACE_S = 2.0
log = logging.getLogger(__name__)
T = TypeVar("T")
PAGE_SECRETS = {"PLAYGROUND_OWNER_TOKEN", "OAUTH_CLIENT_ID", "OAUTH_CLIENT_SECRET"}
DATABASE_URL = "PLAYGROUND_DATABASE_URL"  # may hold a password
_WAIT_VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")  # a user's own values are kept
_BRIEFLY = {"GOMP_SPINCOUNT": "1000"}
_added_variables: dict[str, str] = {}  # by `wait_briefly`, in this process


def command(module: str, *arguments: str) -> list[str]:
    """Return the command `python -m module arguments` with the current interpreter."""
    return [sys.executable, "-m", module, *arguments]


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a child that runs a module of this program: this one's without keys, plus `more`.

    PYTHONPATH makes it independent of the working directory.
    """
    root = str(Path(__file__).resolve().parents[1])
    paths = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    return {**without_keys(os.environ), "PYTHONPATH": paths, **more}


def ask(
    module: str,
    read: Callable[[Any], T],
    timeout_s: float,
    late: str,
    failed: str,
    message: str = "",
    **more: str,
) -> T:
    """Run a module of this program and return `read` of the JSON in the last line of its output.

    late, failed  messages of the error after a timeout, and for other failures
    message       its standard input
    more          added to its environment

    Raises EngineUnavailable after `timeout_s`, or with the last line of standard error if there is no such JSON.
    """
    try:
        child = subprocess.run(
            command(module),
            input=message,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            env=environment(**more),
        )
    except subprocess.TimeoutExpired:
        raise EngineUnavailable(f"{late} within {timeout_s:.0f} s.") from None
    try:
        return read(json.loads(child.stdout.splitlines()[-1]))
    except (IndexError, ValueError, TypeError):
        last = (child.stderr.strip().splitlines() or ["no output"])[-1]
        raise EngineUnavailable(f"{failed}: {last}", hint="Run `make setup`.", log_tail=child.stderr[-4000:]) from None


def run(
    module: str,
    arguments: list[str],
    report: Callable[[Progress], None],
    stop: Callable[[], bool],
    what: str,
    message: str = "",
) -> dict[str, Any]:
    """Run `python -m module arguments` and return its `result`; `what` names the work in errors.

    `message` is a line on its standard input, for secrets, which a list of processes would show in arguments. The
    child prints `{"stage", "done", "total", "unit"}` lines, then `{"result"}` or an error body. Raises the
    child's typed error, Cancelled, or CatalogError with the last log lines.
    """
    with tempfile.TemporaryFile("w+") as log:
        child = subprocess.Popen(
            command(module, *arguments),
            stdin=subprocess.PIPE if message else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=environment(),
            start_new_session=True,
        )
        try:
            if child.stdin is not None:
                _send(child.stdin, message)
            result = _listen(child, report, stop, what)
        finally:
            _end(child)
        if result is None:
            log.seek(0)
            raise CatalogError(f"{what} failed.", hint="See the log lines.", log_tail=log.read()[-2000:])
    return result


def _end(child: subprocess.Popen[str]) -> None:
    """End the child with SIGTERM, so that it removes its partial files, and with SIGKILL after GRACE_S."""
    if child.poll() is None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(POLL_S)
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            child.kill()
    child.wait()
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            pipe.close()


def _send(stdin: IO[str], message: str) -> None:
    """Send a line to the child. The pipe stays open: the child ends when it closes."""
    with contextlib.suppress(BrokenPipeError):  # the child has ended; its error is read from standard output
        stdin.write(f"{message}\n")
        stdin.flush()


def _listen(
    child: subprocess.Popen[str], report: Callable[[Progress], None], stop: Callable[[], bool], what: str
) -> dict[str, Any] | None:
    lines: queue.Queue[str | None] = queue.Queue()
    assert child.stdout is not None  # noqa: S101  a pipe was asked for
    reader = threading.Thread(target=_pump, args=(child.stdout, lines), daemon=True)
    reader.start()
    while True:
        if stop():
            raise Cancelled(f"{what} was stopped.")
        try:
            line = lines.get(timeout=POLL_S)
        except queue.Empty:
            continue
        if line is None:
            reader.join()
            return None
        message = json.loads(line)
        if "error" in message:
            raise from_wire(message)
        if "result" in message:
            result: dict[str, Any] = message["result"]
            return result
        report(Progress(message["stage"], message["done"], message["total"], message["unit"]))


def _pump(stream: IO[str], lines: queue.Queue[str | None]) -> None:
    with contextlib.suppress(ValueError):
        for line in stream:
            lines.put(line)
    lines.put(None)


def say(message: dict[str, Any]) -> None:
    """Print a message as a JSON line for the parent. Called in the child."""
    print(json.dumps(message), flush=True)


def without_keys(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without variables that hold keys: of endpoints, of the page, of the database."""
    hidden = _key_variables() | PAGE_SECRETS | {DATABASE_URL}
    return {name: value for name, value in environment.items() if name not in hidden}


def _key_variables() -> set[str]:
    """Return the environment variables that hold keys of endpoints, from the file of `models.endpoints`."""
    path = settings().data / "endpoints.json"
    try:
        return {str(raw.get("key_env", "")) for raw in json.loads(path.read_bytes())["endpoints"].values()}
    except FileNotFoundError:
        return set()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        log.warning("%s cannot be read: the variables that hold keys are not known.", path.name)
        return set()


@cache
def process_table() -> str:
    """Return an id of the process table: of this boot and, on Linux, of the PID namespace (a container).

    A process recorded under another table counts as ended, which is true after a reboot or in the next container on
    the same volume. Processes of a second container or machine on the same home are not visible: a home must be used
    from one table at a time.
    """
    if sys.platform == "linux":
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
    boot_session = ["sysctl", "-n", "kern.bootsessionuuid"]
    return subprocess.run(boot_session, capture_output=True, text=True, check=True, timeout=5).stdout.strip()


def process_identity(pid: int) -> str:
    """Return "TABLE START", which identifies the process with this PID uniquely; "" for none and for a zombie.

    START is field 22 of /proc/PID/stat, in ticks since the boot (proc_pid_stat(5)); without /proc, the start date that
    ps prints. psutil's create_time() adds the date of the boot, which changes when the clock is set.
    """
    if sys.platform != "linux":
        return _identity_by_ps(pid)
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""
    fields = stat.rpartition(")")[2].split()  # from the third on: the second, a name, may hold spaces and brackets
    return "" if fields[0] in "ZX" else f"{process_table()} {fields[19]}"


def _identity_by_ps(pid: int) -> str:
    ps = ["ps", "-o", "stat=,lstart=", "-p", str(pid)]
    variables = os.environ | {"LC_ALL": "C", "TZ": "UTC0"}
    output = subprocess.run(ps, capture_output=True, text=True, check=False, timeout=5, env=variables).stdout
    state, _, start = output.strip().partition(" ")
    return "" if not start or state.startswith("Z") else f"{process_table()} {' '.join(start.split())}"


# Threads of torch in a job.


def briefly(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables to add to a process that works like a job; {} if the user has set one of them."""
    return {} if any(name in environment for name in _WAIT_VARIABLES) else dict(_BRIEFLY)


def wait_briefly() -> None:
    """Set the variables of `briefly` in this process. Call it before torch is imported, which reads them."""
    variables = briefly(os.environ)
    _added_variables.update(variables)
    os.environ.update(variables)


def as_user_said(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without what `wait_briefly` added, for an engine that a job starts."""
    return {name: value for name, value in environment.items() if name not in _added_variables}


# Engine processes that outlived a crashed app.


def note_process_group(pid: int, name: str) -> Path:
    """Record that this app started the process group `pid`. Return the file, to be removed when the group has ended."""
    path = settings().running / f"{pid}.json"
    body = {
        "name": name,
        "pid": pid,
        "identity": process_identity(pid),
        "owner": os.getpid(),
        "owner_identity": process_identity(os.getpid()),
    }
    write_whole(path, json.dumps(body))
    return path


def sweep_orphans() -> list[str]:
    """End every recorded process group whose app is gone. Return the names of those that were still running."""
    ended = []
    folder = settings().running
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else []:
        try:
            body = json.loads(path.read_text())
            name, pid, identity = str(body["name"]), int(body["pid"]), str(body["identity"])
            owned = process_identity(int(body["owner"])) == str(body["owner_identity"])
        except (OSError, ValueError, KeyError, TypeError):
            log.warning("%s cannot be read and is removed", path)
            path.unlink(missing_ok=True)
            continue
        if owned:
            continue
        if members := _members_of(pid, identity):
            log.warning("%s (process group %d) was left by an app that is gone; ending it", name, pid)
            for member in members:
                with contextlib.suppress(psutil.NoSuchProcess):
                    member.kill()
            psutil.wait_procs(members, timeout=5)
            ended.append(name)
        path.unlink(missing_ok=True)
    return ended


def _members_of(pgid: int, identity: str) -> list[psutil.Process]:
    """Return this user's living members of a recorded process group; [] if its number has been reused.

    The kernel does not reuse a group's number while a member lives, even if its leader has ended.
    """
    if process_identity(pgid) not in ("", identity) or not identity.startswith(f"{process_table()} "):
        return []
    members = []
    for process in psutil.process_iter(["pid", "uids"]):
        with contextlib.suppress(ProcessLookupError, PermissionError, psutil.Error):
            if process.info["uids"].real == os.getuid() and os.getpgid(process.pid) == pgid:
                members.append(process)
    return members


def end_group(pgid: int, number: int = signal.SIGKILL) -> None:
    """Send a signal to a process group; does nothing if it is gone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pgid, number)
