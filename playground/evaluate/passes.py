"""How fast this machine takes a variant through text: measured once, on slices of it, in a child process.

A slice is the embedding, the first layers and the head, as the engine loads them; the layers and the head are timed
apart, and all layers cost the same. So a model of any size is measured in seconds, without its memory.
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
_FORMAT = 3  # raise it when something is measured differently
_PACKAGES = ("transformers", "bitsandbytes", "compressed-tensors")
LAYERS = 4  # of a slice
WINDOW = 256  # tokens of the prompt that is timed
BATCH = 8  # sequences of the larger decode step
REPEATS = 5


@dataclass(frozen=True, slots=True)
class Pass:
    """One variant, whole, on this machine.

    imports_s  seconds to import torch and transformers
    load_s     seconds to load it
    token_s    seconds for each token of a prompt, its logits included
    step_s     seconds of a decode step for one sequence
    row_s      seconds more for each further sequence of the batch
    """

    imports_s: float
    load_s: float
    token_s: float
    step_s: float
    row_s: float

    def step(self, batch: float) -> float:
        """Seconds of a decode step of so many sequences."""
        return self.step_s + max(0.0, batch - 1) * self.row_s


def key(spec: LoadSpec) -> str:
    """Names a variant's files as they are now, on this hardware under these packages."""
    path = Path(spec.path)
    files = sorted(path.glob("*.safetensors")) if path.is_dir() else [path]
    stamps = [(file.name, file.stat().st_size, int(file.stat().st_mtime)) for file in files]
    return json.dumps(
        [_FORMAT, machine.key(), machine.versions(_PACKAGES), spec.path, spec.dtype, spec.quantize, stamps]
    )


def cached(spec: LoadSpec) -> Pass | None:
    """What was measured; never measures."""
    found = _stored().get(key(spec))
    return None if found is None else Pass(**found)


def cached_or_measured(specs: Sequence[LoadSpec]) -> list[Pass | None]:
    """Of each variant, measured now where it was not; None of one whose slices do not load.

    Raises EngineUnavailable.
    """
    missing = [spec for spec in specs if cached(spec) is None]
    if missing:
        found = dict(zip(map(key, missing), _ask(missing), strict=True))
        with contextlib.suppress(OSError):  # a read-only home costs the next caller a measurement, nothing else
            _store({name: asdict(one) for name, one in found.items() if one is not None})
        return [found[key(spec)] if key(spec) in found else cached(spec) for spec in specs]
    return [cached(spec) for spec in specs]


def _cache() -> Path:
    return settings().cache / "passes.json"


def _stored() -> dict[str, Any]:
    try:
        found = json.loads(_cache().read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _store(fresh: dict[str, Any]) -> None:
    write_whole(_cache(), json.dumps(_stored() | fresh, indent=1))


def _ask(specs: Sequence[LoadSpec]) -> list[Pass | None]:
    """In a process with the environment of a job's worker."""
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
    """In this process. Raises what loading raises."""
    from playground.engines.host.loading import device_of_choice, load_slice

    whole = _layers(Path(spec.path))
    for _ in range(2):  # the first one imports what this form needs
        began = time.perf_counter()
        model = load_slice(spec, device_of_choice(), min(LAYERS, whole))
        loaded = time.perf_counter() - began
    held = int(model.config.get_text_config(decoder=True).num_hidden_layers)
    body, head = _times(model)
    token, step, batch = (layers * whole / held + once for layers, once in zip(body, head, strict=True))
    return Pass(imports_s, loaded * whole / held, token / WINDOW, step, max(0.0, batch - step) / (BATCH - 1))


def _layers(folder: Path) -> int:
    config = json.loads((folder / "config.json").read_bytes())
    return int((config.get("text_config") or config)["num_hidden_layers"])


Times = tuple[float, float, float]  # seconds of a prompt, of a decode step of one sequence, of one of BATCH


def _times(model: Any) -> tuple[Times, Times]:
    """Of the layers, and of the head."""
    import torch

    sizes = model.config.get_text_config(decoder=True)
    ids = (torch.arange(WINDOW, device=model.device) % min(1000, sizes.vocab_size - 1) + 1)[None]

    def fastest(work: Callable[[], object]) -> float:
        taken = []
        for _ in range(1 + REPEATS):
            began = time.perf_counter()
            work()
            if model.device.type != "cpu":
                torch.accelerator.synchronize()
            taken.append(time.perf_counter() - began)
        return min(taken[1:])

    def step(batch: int) -> float:
        cache = layers(input_ids=ids.expand(batch, -1), use_cache=True).past_key_values
        return fastest(lambda: layers(input_ids=ids[:, :1].expand(batch, 1), past_key_values=cache, use_cache=True))

    def last(rows: int) -> float:
        hidden = torch.ones(1, rows, sizes.hidden_size, device=model.device, dtype=model.dtype)
        return fastest(lambda: head(hidden))

    with torch.inference_mode():
        model(input_ids=ids[:, :2])  # where packed weights are unpacked
        layers, head = model.base_model, model.get_output_embeddings()
        body = fastest(lambda: layers(input_ids=ids, use_cache=False)), step(1), step(BATCH)
        return body, (last(WINDOW), last(1), last(BATCH))


def main() -> None:
    began = time.perf_counter()
    import transformers

    from playground.engines.host import loading  # noqa: F401  what a job imports

    imports_s = time.perf_counter() - began
    transformers.logging.set_verbosity_error()
    answers: list[dict[str, Any] | None] = []
    for raw in json.load(sys.stdin):
        try:
            answers.append(asdict(measure(LoadSpec(**raw), imports_s)))
        except Exception as error:  # noqa: BLE001  whatever a checkpoint makes transformers raise: it is not measured
            print(f"{raw['id']}: {error}", file=sys.stderr)
            answers.append(None)
    print(json.dumps(answers))


if __name__ == "__main__":
    main()
