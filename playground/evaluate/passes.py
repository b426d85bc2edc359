"""Seconds of a forward pass of a variant on this machine: measured once, on a slice of it, in a child process.

A slice is the embedding, the first layers and the head, as the engine loads them; layers and head are timed separately
and the layers' time is scaled to all layers. So a model of any size is measured in seconds, with little memory.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from playground import machine, process
from playground.core import LoadSpec
from playground.files import write_whole
from playground.settings import settings

MODULE = "playground.evaluate.passes"
TIMEOUT_S = 300.0
_FORMAT = 3  # increase it when the measurement changes
_PACKAGES = ("transformers", "bitsandbytes", "compressed-tensors")
LAYERS = 4  # of a slice
WINDOW = 256  # tokens of the timed prompt
BATCH = 8  # sequences of the larger decode step
REPEATS = 5


@dataclass(frozen=True, slots=True)
class Pass:
    """Times of a whole variant on this machine.

    imports_s  seconds to import torch and transformers
    load_s     seconds to load it
    token_s    seconds for each token of a prompt, logits included
    step_s     seconds of a decode step for one sequence
    row_s      additional seconds for each further sequence of the batch
    """

    imports_s: float
    load_s: float
    token_s: float
    step_s: float
    row_s: float

    def step(self, batch: float) -> float:
        """Return the seconds of a decode step of `batch` sequences."""
        return self.step_s + max(0.0, batch - 1) * self.row_s


def key(spec: LoadSpec) -> str:
    """Return a cache key of a variant's files (name, size, time), this hardware and the package versions."""
    path = Path(spec.path)
    files = sorted(path.glob("*.safetensors")) if path.is_dir() else [path]
    stamps = [(file.name, file.stat().st_size, int(file.stat().st_mtime)) for file in files]
    return json.dumps(
        [_FORMAT, machine.key(), machine.versions(_PACKAGES), spec.path, spec.dtype, spec.quantize, stamps]
    )


def cached(spec: LoadSpec) -> Pass | None:
    """Return the stored measurement of a variant, or None."""
    fields = _stored().get(key(spec))
    return None if fields is None else Pass(**fields)


def cached_or_measured(specs: Sequence[LoadSpec]) -> list[Pass | None]:
    """Return the measurement of each variant, measuring those that are missing; None if its slice does not load.

    Raises EngineUnavailable.
    """
    missing = [spec for spec in specs if cached(spec) is None]
    if missing:
        measured = dict(zip(map(key, missing), _measure_in_child(missing), strict=True))
        with contextlib.suppress(OSError):  # with a read-only home the next call measures again
            _store({name: asdict(measurement) for name, measurement in measured.items() if measurement is not None})
        return [measured[key(spec)] if key(spec) in measured else cached(spec) for spec in specs]
    return [cached(spec) for spec in specs]


def _cache() -> Path:
    return settings().cache / "passes.json"


def _stored() -> dict[str, Any]:
    try:
        content = json.loads(_cache().read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _store(fresh: dict[str, Any]) -> None:
    write_whole(_cache(), json.dumps(_stored() | fresh, indent=1))


def _measure_in_child(specs: Sequence[LoadSpec]) -> list[Pass | None]:
    """Measure in a child process with the environment of a job's worker."""
    threads = settings().threads
    return process.ask(
        MODULE,
        lambda rows: [None if row is None else Pass(**row) for row in rows],
        TIMEOUT_S,
        late="The variants could not be measured",
        failed="The variants could not be measured",
        message=json.dumps([asdict(spec) for spec in specs]),
        HF_HUB_OFFLINE="1",
        **process.briefly(os.environ),
        **({} if threads is None else {"OMP_NUM_THREADS": str(threads)}),
    )


# ---- in the child


def measure(spec: LoadSpec, imports_s: float) -> Pass:
    """Measure a variant in this process. Raises the errors of loading."""
    from playground.engines.host.loading import device_of_choice, load_slice

    layer_count = _layers(Path(spec.path))
    for _ in range(2):  # the first load also imports packages
        began = time.perf_counter()
        model = load_slice(spec, device_of_choice(), min(LAYERS, layer_count))
        load_s = time.perf_counter() - began
    slice_layers = int(model.config.get_text_config(decoder=True).num_hidden_layers)
    body, head = _times(model)
    token, step, batch = (layers * layer_count / slice_layers + once for layers, once in zip(body, head, strict=True))
    return Pass(
        imports_s, load_s * layer_count / slice_layers, token / WINDOW, step, max(0.0, batch - step) / (BATCH - 1)
    )


def _layers(folder: Path) -> int:
    config = json.loads((folder / "config.json").read_bytes())
    return int((config.get("text_config") or config)["num_hidden_layers"])


Times = tuple[float, float, float]  # seconds of a prompt, of a decode step of one sequence, of one of BATCH


def _times(model: Any) -> tuple[Times, Times]:
    """Return the times of the slice's layers and of the head."""
    import torch

    sizes = model.config.get_text_config(decoder=True)
    ids = (torch.arange(WINDOW, device=model.device) % min(1000, sizes.vocab_size - 1) + 1)[None]

    def fastest(work: Callable[[], object]) -> float:
        seconds = []
        for _ in range(1 + REPEATS):
            began = time.perf_counter()
            work()
            if model.device.type != "cpu":
                torch.accelerator.synchronize()
            seconds.append(time.perf_counter() - began)
        return min(seconds[1:])

    def step(batch: int) -> float:
        cache = layers(input_ids=ids.expand(batch, -1), use_cache=True).past_key_values
        return fastest(lambda: layers(input_ids=ids[:, :1].expand(batch, 1), past_key_values=cache, use_cache=True))

    def last(rows: int) -> float:
        hidden = torch.ones(1, rows, sizes.hidden_size, device=model.device, dtype=model.dtype)
        return fastest(lambda: head(hidden))

    with torch.inference_mode():
        model(input_ids=ids[:, :2])  # the first pass unpacks packed weights
        layers, head = model.base_model, model.get_output_embeddings()
        body = fastest(lambda: layers(input_ids=ids, use_cache=False)), step(1), step(BATCH)
        return body, (last(WINDOW), last(1), last(BATCH))


def main() -> None:
    began = time.perf_counter()
    import transformers

    from playground.engines.host import loading  # noqa: F401  a job imports it too

    imports_s = time.perf_counter() - began
    transformers.logging.set_verbosity_error()
    answers: list[dict[str, Any] | None] = []
    for raw in json.load(sys.stdin):
        try:
            answers.append(asdict(measure(LoadSpec(**raw), imports_s)))
        except Exception as error:  # noqa: BLE001  transformers can raise anything: the variant is not measured
            print(f"{raw['id']}: {error}", file=sys.stderr)
            answers.append(None)
    print(json.dumps(answers))


if __name__ == "__main__":
    main()
