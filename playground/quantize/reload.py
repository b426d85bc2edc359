"""Load a checkpoint in a process of its own and compare it: `python -m playground.quantize.reload`.

A process that has quantized holds patched modules, hooks and caches that a user's process will not have; only a fresh
one shows what the files are worth. Importing what loads a model takes it several seconds, so it is started while the
last layers are quantized, imports in time that the job does not need, and reads from its standard input what to load.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from playground.errors import PlaygroundError, ReloadMismatch, from_wire, to_wire
from playground.process import leave
from playground.quantize import probe as quantize_probe

PATIENCE_S = 5.0  # for imports when the checkpoint is there; starting again costs about as much
IMPORTS = (
    *("transformers.models.auto.modeling_auto", "transformers.modeling_utils", "compressed_tensors.compressors"),
    "playground.models.weights",
)


class FreshProcess:
    """Loads one checkpoint and compares it. Leaving the context ends the process, however far it is."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._imported: int | None = None  # a pipe in which something comes when it has imported patiently

    def start(self) -> None:
        """Begin importing, in processor time that nobody wants. Only the first call does anything."""
        if self._process is None:
            self._imported, told = os.pipe()
            try:
                self._process = self._begin(told)
            finally:
                os.close(told)

    def compare(self, checkpoint: Path, probe: Path) -> dict[str, object]:
        """What `reload` returns there. `probe` is what `quantize_probe.save` wrote, and is removed.

        Raises ReloadMismatch where the checkpoint cannot be loaded.
        """
        if self._imported is not None and not select.select([self._imported], [], [], PATIENCE_S)[0]:
            self._end()  # a busy machine has no time that nobody wants
        self._process = process = self._process or self._begin()
        answer = probe.with_suffix(".json")
        try:
            process.communicate(json.dumps([str(checkpoint), str(probe), str(answer)]))
        except BrokenPipeError:  # it has ended before it read anything
            process.wait()
        if process.returncode or not answer.exists():
            raise ReloadMismatch(
                "The saved checkpoint cannot be loaded again.",
                hint="The log has what transformers said; choose another scheme or method for this model.",
            )
        found = dict(json.loads(answer.read_bytes()))
        if "error" in found:
            raise ReloadMismatch(
                f"The saved checkpoint cannot be loaded again: {from_wire(found).message}",
                hint="It is broken on the disk and was removed; choose another scheme or method for this model.",
            )
        probe.unlink()
        return found

    def __enter__(self) -> FreshProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end()

    def _begin(self, *told: int) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "playground.quantize.reload", *map(str, told)]
        return subprocess.Popen(command, stdin=subprocess.PIPE, text=True, pass_fds=told)

    def _end(self) -> None:
        if self._imported is not None:
            os.close(self._imported)
            self._imported = None
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.communicate()
        self._process = None


def reload(checkpoint: Path, probe: Path) -> dict[str, object]:
    """The difference, and the seconds that loading took."""
    import torch

    from playground.models.weights import load_model

    began = time.monotonic()
    place = {"": str(torch.accelerator.current_accelerator())} if torch.accelerator.is_available() else None
    model = load_model(checkpoint, dtype="auto", device_map=place)
    loaded = time.monotonic()
    prompts, expected, original = quantize_probe.load(probe)
    difference = quantize_probe.compare(expected, quantize_probe.logits(model, prompts), original)
    return {**difference.as_dict(), "agrees": difference.agrees, "load_seconds": round(loaded - began, 3)}


def _import(told: Sequence[int]) -> None:
    """What loads a model. Patiently, where somebody waits to be told, in a thread of its own: on Linux a thread has a
    priority of its own, and this one gets what nobody wants and is interrupted at once. A low niceness is not enough,
    the job's threads meet too often. What loads and compares afterwards has the priority of the job."""
    if told and sys.platform == "linux":
        with contextlib.suppress(OSError):  # a sandbox that does not know it
            os.sched_setscheduler(threading.get_native_id(), os.SCHED_IDLE, os.sched_param(0))
    for name in IMPORTS:
        importlib.import_module(name)
    for pipe in told:
        os.write(pipe, b".")


def main(arguments: Sequence[str]) -> int:
    """Exit status 1 where nobody said what to load: the job has ended meanwhile."""
    importing = threading.Thread(target=_import, args=[list(map(int, arguments))], name="imports")
    importing.start()
    order = sys.stdin.read()
    importing.join()
    if not order:
        return 1
    checkpoint, probe, result = map(Path, json.loads(order))
    try:
        answer = reload(checkpoint, probe)
    except PlaygroundError as error:
        answer = dict(to_wire(error))
    result.write_text(json.dumps(answer))
    return 0


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
