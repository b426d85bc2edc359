"""Load a checkpoint in a process of its own and compare it: `python -m playground.jobs.reload`.

A process that has quantized holds patched modules, hooks and caches that a user's process will not have; only a fresh
one shows what the files are worth. Importing what loads a model takes it several seconds, so it is started while the
last layers are quantized, imports in time that the job does not need, and reads from its standard input what to load.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType

from playground.errors import ReloadMismatch
from playground.jobs import quantize_probe
from playground.jobs.leaving import leave

NICE = 15  # of its imports: one of two processors is often idle in a job, and never both
IMPORTS = ("transformers.models.auto.modeling_auto", "transformers.modeling_utils", "compressed_tensors.compressors")


class FreshProcess:
    """Loads one checkpoint and compares it. Leaving the context ends the process, however far it is."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Begin importing. Only the first call does anything."""
        if self._process is None:
            command = [sys.executable, "-m", "playground.jobs.reload"]
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, text=True)

    def compare(self, checkpoint: Path, probe: Path) -> dict[str, object]:
        """What `reload` returns there. `probe` is what `quantize_probe.save` wrote, and is removed.

        Raises ReloadMismatch where the checkpoint cannot be loaded.
        """
        self.start()
        process, answer = self._process, probe.with_suffix(".json")
        assert process is not None  # noqa: S101  started above
        try:
            process.communicate(json.dumps([str(checkpoint), str(probe), str(answer)]))
        except BrokenPipeError:  # it has ended before it read anything
            process.wait()
        if process.returncode or not answer.exists():
            raise ReloadMismatch(
                "The saved checkpoint cannot be loaded again.",
                hint="The log has what transformers said; choose another scheme or method for this model.",
            )
        probe.unlink()
        return dict(json.loads(answer.read_bytes()))

    def __enter__(self) -> FreshProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.communicate()


def reload(checkpoint: Path, probe: Path) -> dict[str, object]:
    """The difference, and the seconds that loading took."""
    import torch
    from transformers import AutoModelForCausalLM

    began = time.monotonic()
    place = {"": str(torch.accelerator.current_accelerator())} if torch.accelerator.is_available() else None
    model = AutoModelForCausalLM.from_pretrained(
        checkpoint, dtype="auto", device_map=place, trust_remote_code=False
    ).eval()
    loaded = time.monotonic()
    prompts, expected, original = quantize_probe.load(probe)
    difference = quantize_probe.compare(expected, quantize_probe.logits(model, prompts), original)
    return {**difference.as_dict(), "agrees": difference.agrees, "load_seconds": round(loaded - began, 3)}


def _import() -> None:
    """What loads a model, in a thread of its own. On Linux a thread has a niceness of its own too, and what loads and
    compares afterwards keeps that of the job: nobody may take a niceness back."""
    if sys.platform == "linux":
        me = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, me, max(NICE, os.getpriority(os.PRIO_PROCESS, me)))
    for name in IMPORTS:
        importlib.import_module(name)


def main() -> int:
    """Exit status 1 where nobody said what to load: the job has ended meanwhile."""
    importing = threading.Thread(target=_import, name="imports")
    importing.start()
    order = sys.stdin.read()
    importing.join()
    if not order:
        return 1
    checkpoint, probe, result = map(Path, json.loads(order))
    result.write_text(json.dumps(reload(checkpoint, probe)))
    return 0


if __name__ == "__main__":
    leave(main())
