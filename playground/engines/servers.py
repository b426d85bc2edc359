"""Start, watch and end server processes.

`start` returns the `ServerProcess` of a `ServerSpec`. `Servers` holds those of an engine with one per variant;
`Restarting` holds that of an engine with one process for all variants.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

from playground import machine, process
from playground.core import Loaded
from playground.engines.base import importable
from playground.errors import Cancelled, EngineDied, EngineUnavailable, OutOfMemory, PlaygroundError, UnknownVariant
from playground.process import without_keys
from playground.settings import settings

log = logging.getLogger(__name__)
START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 5.0
ENDED_S = 0.3  # from a broken connection until the end of its process is noticed
LOG_LINES = 20
PORTS = 3  # attempts with a free port, which another program may take before the server does
_SECRETS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_HUB_TOKEN")


@dataclass(slots=True)
class Held:
    """One variant's server. `loaded` is set when it is ready; `busy` counts the calls that are using it."""

    process: ServerProcess
    loaded: Loaded | None = None
    used: float = field(default_factory=time.monotonic)
    busy: int = 0


class Servers:
    """Every server of one engine, by variant. Callable from any thread."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._held: dict[str, Held] = {}
        self._lock = threading.RLock()
        self._starting: dict[str, threading.Lock] = {}
        self._closed = False

    def loaded(self) -> list[Loaded]:
        """Return the loaded variants, least recently used first."""
        with self._lock:
            alive = [held for held in self._held.values() if held.process.alive]
        return [held.loaded for held in sorted(alive, key=lambda held: held.used) if held.loaded]

    def held(self, variant: str) -> Loaded | None:
        """Return the facts of a variant whose server is ready, else None. Counts as a use. Does not block."""
        with self._lock:
            held = self._held.get(variant)
            if held is None or held.loaded is None or not held.process.alive:
                return None
            held.used = time.monotonic()
            return held.loaded

    @contextlib.contextmanager
    def starting(self, variant: str) -> Iterator[Loaded | None]:
        """Lock the start of a variant's server. Yields its facts, or None if it must be started."""
        with self._lock:
            turn = self._starting.setdefault(variant, threading.Lock())
        with turn:
            if self._closed:
                raise EngineUnavailable(f"The {self._name} engine is shut down.")
            with self._lock:
                held = self._held.get(variant)
                if held and not held.process.alive:
                    held.process.stop()
                    del self._held[variant]
                    held = None
                if held:
                    held.used = time.monotonic()
            yield held.loaded if held else None

    def start(
        self, variant: str, spec: ServerSpec, client: httpx.Client, is_cancelled: Callable[[], bool]
    ) -> ServerProcess:
        """Start the server of `variant` and return it; one that fails is removed. Raises as `start`."""
        try:
            return start(spec, client, is_cancelled, lambda process: self.started(variant, process))
        except BaseException:
            self.stop(variant)
            raise

    def started(self, variant: str, process: ServerProcess) -> None:
        """Register a process that was just started, so that `close` and `unload` end it."""
        with self._lock:
            if not self._closed:
                self._held[variant] = Held(process)
                return
        process.stop()
        raise EngineUnavailable(f"The {self._name} engine is shut down.")

    def ready(self, variant: str, loaded: Loaded) -> None:
        """Record the facts of a variant whose server is ready to be used."""
        with self._lock:
            if variant in self._held:
                self._held[variant].loaded = loaded

    @contextlib.contextmanager
    def using(self, variant: str) -> Iterator[ServerProcess]:
        """Yield the ready server of `variant`, which is not stopped meanwhile to make room.

        Raises UnknownVariant, and EngineDied for one that died; it is then removed, so that the next load starts it.
        """
        with self._lock:
            held = self._held.get(variant)
            if held is None or held.loaded is None:
                raise UnknownVariant(f"{variant} is not loaded in {self._name}.", hint="Run it again.")
            if not held.process.alive:
                obituary = held.process.obituary()
                self.stop(variant)  # its workers may have outlived it
                raise obituary
            held.busy += 1
            held.used = time.monotonic()
        try:
            yield held.process
        except EngineDied:
            self.stop(variant)
            raise
        finally:
            with self._lock:
                held.busy -= 1
                held.used = time.monotonic()

    def make_room(self, variant: str, needed: int, keep: Sequence[str], free: Callable[[], int] | None = None) -> None:
        """Stop idle servers, least recently used first, until `needed` bytes are free and one more may run.

        Raises OutOfMemory.
        """
        available = free or (lambda: machine.memory().available)
        while self._too_many() or available() < needed:
            victim = self._idle(keep)
            if victim is None:
                if available() >= needed:
                    return  # more servers than wanted, all of them in use
                raise OutOfMemory(
                    f"{variant} needs about {needed / 1e9:.2f} GB in {self._name}; {available() / 1e9:.2f} are free.",
                    hint=self._what_to_unload(keep),
                )
            log.info("%s: %s is stopped to make room for %s", self._name, victim, variant)
            self.stop(victim)

    def _too_many(self) -> bool:
        with self._lock:
            return len(self._held) >= settings().servers

    def _idle(self, keep: Sequence[str]) -> str | None:
        with self._lock:
            idle = [(held.used, name) for name, held in self._held.items() if not held.busy and name not in keep]
        return min(idle)[1] if idle else None

    def _what_to_unload(self, keep: Sequence[str]) -> str:
        with self._lock:
            others = [name for name in self._held if name in keep]
        named = f" It runs beside {', '.join(others)}." if others else ""
        return f"Close other programs, or compare fewer variants at once.{named}"

    def stop(self, variant: str) -> bool:
        """End a variant's server. Return False if there is none."""
        with self._lock:
            held = self._held.pop(variant, None)
        if held is None:
            return False
        held.process.stop()
        return True

    def stop_idle(self) -> str | None:
        """End the least recently used idle server and return its variant; None if there is none."""
        victim = self._idle(())
        if victim is not None:
            self.stop(victim)
        return victim

    def close(self) -> None:
        """End all servers, also those that are still starting."""
        with self._lock:
            self._closed = True
            names = list(self._held)
        for name in names:
            self.stop(name)


@dataclass(frozen=True, slots=True)
class ServerSpec:
    """How to start a Python module that serves HTTP on loopback, and how to read its log.

    name         its name in messages
    arguments    arguments of the module, after its address
    binds        it gets `--port` and binds it itself, so that another program may take it first; else it gets `--fd`, a
                 listening socket
    python       interpreter of the environment that has the module
    environment  added to the inherited environment
    log_name     its log is logs/<log_name>.log
    timeout_s    from its start to its first response
    on_log       called with every new line of its log until it is ready
    is_ready     returns whether the server that responds on the port is this one; may block, may raise EngineDied
    port_taken   text in its log if another program has the port
    explain      returns the error of a failed start, from its log and the default error
    noise        lines of its log to leave out of messages
    """

    name: str
    module: str
    arguments: tuple[str, ...] = ()
    binds: bool = False
    python: str = sys.executable
    environment: Mapping[str, str] = field(default_factory=dict)
    log_name: str = ""
    timeout_s: float = START_TIMEOUT_S
    on_log: Callable[[str], None] = lambda _: None
    is_ready: Callable[[ServerProcess], bool] = lambda _: True
    port_taken: re.Pattern[str] = re.compile(r"(?!)")
    explain: Callable[[str, EngineDied], PlaygroundError] = lambda _, error: error
    noise: re.Pattern[str] = re.compile(r"(?!)")


def start(
    spec: ServerSpec,
    client: httpx.Client,
    is_cancelled: Callable[[], bool] = lambda: False,
    on_start: Callable[[ServerProcess], None] = lambda _: None,
) -> ServerProcess:
    """Start a server and return it when it is ready. If its port is taken, try another, at most `PORTS` in all.

    on_start  called with each process as soon as it runs, so that it can be ended before it is ready

    Raises Cancelled, EngineUnavailable, and the error of `spec.explain` if the process ends.
    """
    process: ServerProcess | None = None
    for _ in range(PORTS):
        process = ServerProcess(spec)
        on_start(process)
        try:
            process.wait_ready(client, is_cancelled)
            if spec.is_ready(process):
                return process
        except EngineDied as error:
            log_text = process.log_text()
            if not spec.port_taken.search(log_text):
                raise spec.explain(log_text, error) from None
        process.stop()
    raise EngineUnavailable(
        f"The {spec.name} engine found its port taken {PORTS} times in a row.",
        hint="Run it again.",
        log_tail=process.log_tail() if process else "",
    )


class ServerProcess:
    """A server in its own process group.

    The child's standard input is a pipe from this process, so that it ends when this process does, even by kill -9. It
    gets no hub token and works offline: all files that it loads are on this machine.
    """

    def __init__(self, spec: ServerSpec) -> None:
        self.spec, self.name = spec, spec.name
        self.key = secrets.token_urlsafe(24)
        self.log_path = settings().logs / f"{spec.log_name or spec.name}.log"
        listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        port = listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        _keep_previous(self.log_path)
        self._log_start = self.log_path.stat().st_size if self.log_path.exists() else 0
        if spec.binds:
            listener.close()
            address, fds = ["--port", str(port)], []
        else:
            os.set_inheritable(listener.fileno(), True)
            address, fds = ["--fd", str(listener.fileno())], [listener.fileno()]
        with listener, self.log_path.open("ab") as log_file:
            self._process = subprocess.Popen(
                [spec.python, "-m", spec.module, *address, *spec.arguments],
                stdin=subprocess.PIPE,
                stdout=log_file,
                stderr=subprocess.STDOUT,
                pass_fds=fds,
                env=_environment(self.key) | dict(spec.environment),
                start_new_session=True,
            )
        self.pid = self._process.pid
        self._note = process.note_process_group(self.pid, spec.name)
        log.info("%s started: pid %d at %s", spec.name, self.pid, self.url)

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def wait_ready(self, client: httpx.Client, is_cancelled: Callable[[], bool] = lambda: False) -> None:
        """Wait until /health responds. Raises EngineDied with the last log lines if the process ends first, Cancelled,
        EngineUnavailable after `timeout_s`.
        """
        deadline = time.monotonic() + self.spec.timeout_s
        position = self._log_start
        while time.monotonic() < deadline:
            position = self._follow(position)
            if not self.alive:
                error = self.obituary("could not start")
                self.stop()
                raise error
            if is_cancelled():
                self.stop()
                raise Cancelled(f"Starting {self.name} was stopped.")
            if self.answers(client):
                return
            time.sleep(0.05)
        self.stop()
        raise EngineUnavailable(
            f"The {self.name} engine did not answer within {self.spec.timeout_s:.0f} s.",
            hint=f"Its log: {self.log_path}",
        )

    def answers(self, client: httpx.Client) -> bool:
        """Return whether /health responds with success within a second."""
        try:
            return client.get(f"{self.url}/health", timeout=1.0).is_success
        except httpx.TransportError:
            return False

    def _follow(self, position: int) -> int:
        """Pass the complete lines of the log after `position` to `on_log`. Return the position of the next one."""
        with self.log_path.open("rb") as file:
            file.seek(position)
            whole, _, _ = file.read(1 << 20).rpartition(b"\n")
        if not whole:
            return position
        for line in whole.decode(errors="replace").splitlines():
            self.spec.on_log(line)
        return position + len(whole) + 1

    def log_text(self) -> str:
        """Return the log of this process, at most 4 MiB."""
        with self.log_path.open("rb") as file:
            file.seek(self._log_start)
            return file.read(1 << 22).decode(errors="replace")

    def log_tail(self, lines: int = LOG_LINES) -> str:
        """Return the last lines of the log without noise; "" if there are none."""
        try:
            with self.log_path.open("rb") as file:
                file.seek(max(0, self.log_path.stat().st_size - 16_384))
                text = file.read().decode(errors="replace")
        except OSError:
            return ""
        return tail(text, lines, self.spec.noise)

    def obituary(self, what: str = "died") -> EngineDied:
        """Return the error for a process that has ended or does not respond, with its last log lines."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=ENDED_S)
        code = self._process.returncode
        how = ": it answers no more" if code is None else f" ({_ending(code)})"
        return EngineDied(
            f"The {self.name} engine {what}{how}.", hint="Run again: it starts anew.", log_tail=self.log_tail()
        )

    def stop(self) -> None:
        """End the process group with SIGTERM, then SIGKILL. May be called more than once."""
        children = _descendants(self.pid)
        if self._process.stdin:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        self._signal(signal.SIGTERM)
        try:
            self._process.wait(timeout=STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self._process.wait(timeout=STOP_TIMEOUT_S)
        self._signal(signal.SIGKILL)  # workers that a killed leader could not end
        for child in psutil.wait_procs(children, timeout=1.0)[1]:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        self._note.unlink(missing_ok=True)

    def _signal(self, number: int) -> None:
        process.end_group(self.pid, number)


def tail(text: str, lines: int, noise: re.Pattern[str]) -> str:
    return "\n".join([line for line in text.splitlines() if line.strip() and not noise.search(line)][-lines:])


def thread_count() -> str:
    """Return OMP_NUM_THREADS of an engine: PLAYGROUND_THREADS, else the user's own value, else all cores but one.

    OpenMP's threads synchronize hundreds of times per token, spinning. If another process uses one of their cores, all
    of them wait: 5 to 20 times slower was measured beside one busy process. So one core is left for the page and the
    browser (docs/measurements.md).
    """
    if (chosen := settings().threads) is not None:
        return str(chosen)
    return os.environ.get("OMP_NUM_THREADS") or str(max(1, machine.cores() - 1))


def _environment(key: str) -> dict[str, str]:
    environment = {
        name: value for name, value in process.as_user_said(without_keys(os.environ)).items() if name not in _SECRETS
    }
    return environment | {
        "OMP_NUM_THREADS": thread_count(),
        "PLAYGROUND_ENGINE_KEY": key,
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "DO_NOT_TRACK": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": os.pathsep.join([str(importable()), *filter(None, [os.environ.get("PYTHONPATH", "")])]),
    }


def _ending(code: int) -> str:
    if code < 0:
        name = signal.Signals(-code).name
        return f"killed by {name}{', often the system running out of memory' if name == 'SIGKILL' else ''}"
    return f"exit code {code}"


def _descendants(pid: int) -> list[psutil.Process]:
    try:
        return list(psutil.Process(pid).children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def _keep_previous(path: Path, limit: int = 4 * 2**20) -> None:
    """Rename a large log, replacing the older one, so that logs do not fill the disk."""
    if path.exists() and path.stat().st_size > limit:
        path.replace(path.with_suffix(".log.1"))


class Restarting:
    """A server that is started on first use, and again after it has died."""

    def __init__(self, spec: ServerSpec, client: httpx.Client) -> None:
        self._spec, self._client = spec, client
        self._process: ServerProcess | None = None
        self._lock = threading.Lock()
        self._closed = False

    @property
    def current(self) -> ServerProcess | None:
        """Return the process if it runs, ready or not."""
        process = self._process
        return process if process is not None and process.alive else None

    def ready(self) -> ServerProcess:
        """Return the running process; start one if there is none. Concurrent callers wait for the same start."""
        with self._lock:
            if self.current is None:
                if self._process is not None:
                    self._process.stop()
                start(self._spec, self._client, on_start=self._started)
            assert self._process is not None  # noqa: S101 - started, or raised
            return self._process

    def _started(self, process: ServerProcess) -> None:
        self._process = process
        if self._closed:
            process.stop()
            raise EngineUnavailable(f"The {self._spec.name} engine is shut down.")

    def close(self) -> None:
        """End the process, also while it is starting: callers that wait for it then get EngineDied."""
        self._closed = True
        if self._process is not None:
            self._process.stop()
        with self._lock:  # a concurrent start has noticed the close, or has left a process
            if self._process is not None:
                self._process.stop()
                self._process = None
