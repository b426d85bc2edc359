"""A kind of job that does what its spec says, step by step: waits, writes, dies. `python -m tests.fakes.job ID` is its
worker: the real one, with one more kind.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from playground.core import Progress
from playground.errors import Cancelled, InvalidRequest
from playground.jobs import kinds, worker
from playground.jobs.progress import Report
from playground.spec import Spec as BaseSpec
from playground.store import folders, variants
from playground.store.schema import StoredVariant

WORKER = "tests.fakes.job"
_RAISED: dict[str, BaseException] = {
    "sentence": InvalidRequest("A group of 128 does not divide 576.", hint="Take 64."),
    "bug": KeyError("model.layers.0"),
    "disk": OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
    "memory": MemoryError(),
    "exit": SystemExit(3),
}


class FakeSpec(BaseSpec):
    """Steps, each a word and its argument:

    layer NAME      tell a layer          sleep SECONDS   do nothing
    touch PATH      say "I am here"       until PATH      wait until the test has made it
    partial BYTES   write aside           publish NAME    rename it, register the variant
    allocate BYTES  hold memory           child SESSION   leave a process running, in a session of its own if "new"
    raise WHAT      fail                  kill SIGNAL     die
    deaf -          ignore SIGTERM        stubborn -      go on after Cancelled
    """

    steps: tuple[tuple[str, Any], ...]
    out: str = ""
    kind: str = "fake"

    @property
    def title(self) -> str:
        return " ".join(word for word, _ in self.steps)


def steps(*words: str, out: str = "") -> FakeSpec:
    """ "layer a", "sleep 1" … as a spec."""
    return FakeSpec(steps=tuple((word, value) for word, _, value in (text.partition(" ") for text in words)), out=out)


Spec = FakeSpec


def run(spec: FakeSpec, folder: Path, report: Report) -> dict[str, Any]:
    """The body."""
    held: list[bytes] = []
    partial = folders.partial(folder.name, spec.out)
    result: dict[str, Any] = {"steps": len(spec.steps)}
    for number, (word, value) in enumerate(spec.steps):
        report.progress(Progress(word, number, len(spec.steps), "steps"))
        match word:
            case "layer":
                report.layer(value, 0.01, "relative weight error")
            case "sleep":
                time.sleep(float(value))
            case "touch":
                Path(value).touch()
            case "until":
                wait_for(Path(value))
            case "partial":
                partial.mkdir(parents=True, exist_ok=True)
                with (partial / "model.safetensors").open("ab") as file:
                    for _ in range(0, int(value), 1 << 16):
                        file.write(b"x" * (1 << 16))
                        file.flush()
            case "publish":
                result |= publish(partial, value, folder.name, spec.out)
            case "allocate":
                held.append(b"x" * int(value))
            case "child":
                code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
                subprocess.Popen([sys.executable, "-c", code], start_new_session=value == "new")
            case "raise":
                raise _RAISED[value]
            case "kill":
                os.kill(os.getpid(), signal.Signals[value])
                time.sleep(60)
            case "deaf":
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
            case "stubborn":
                while True:
                    with contextlib.suppress(Cancelled):
                        time.sleep(60)
            case "unregister":  # as if the worker died between the rename and the store
                variants.remove(f"smollm2:{value}")
            case _:
                raise ValueError(word)
    return result


def publish(partial: Path, name: str, job_id: str, out: str) -> dict[str, Any]:
    """What every body does at its end: mark, rename, register."""
    place = Path(out) if out else folders.variants() / name
    folders.mark(partial, {"job_id": job_id, "variant": f"smollm2:{name}"})
    partial.rename(place)
    variants.add(stored(place, name, job_id=job_id))
    return {"variant": f"smollm2:{name}", "path": str(place)}


def stored(place: Path, name: str, *, model: str = "smollm2", job_id: str | None = None) -> StoredVariant:
    """A row as a body writes it."""
    return StoredVariant(
        id=f"{model}:{name}", model=model, name=name, method="awq", scheme="W4A16_ASYM", group_size=64, path=str(place),
        bytes=112_000_000, bits_per_weight=6.66, parameters=134_515_008, content_hash="ab" * 32,
        recipe={"method": "awq", "scheme": "W4A16_ASYM", "group_size": 64}, parent={"id": model, "content_hash": "cd"},
        card={"bytes_after": 112_000_000, "seconds": 3.0}, job_id=job_id, created_at=time.time(),
    )  # fmt: skip


def wait_for(path: Path, seconds: float = 60.0) -> None:
    """Until the file is there. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while not path.exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{path} did not come")
        time.sleep(0.02)


if __name__ == "__main__":
    kinds.KINDS["fake"] = "tests.fakes.job"
    sys.exit(worker.main())
