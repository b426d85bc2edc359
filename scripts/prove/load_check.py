"""The check after a load tells sound variants from broken ones: passes of 8, 7 and 1 tokens against one pass of 16.

Forms of the bundled model (16, 8 and 4 bits, made here), tiny models of every architecture in bfloat16, and models
whose positions begin at 0 in every pass. One line of JSON each; a run goes on where the last one stopped. Exit status 1
where a form of the bundled model loses its cache, or a broken one would keep it.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import transformers

from playground import catalog
from playground.engines.transformers_host import loading
from playground.engines.transformers_host.memory import DeviceMemory
from playground.engines.transformers_host.reading import MAX_DEVIATION, TRIAL, TRIAL_ENDS, Reading, deviation
from playground.errors import PlaygroundError
from tests.parity import product, tiny

PROSE = Path(__file__).parents[2] / "playground/evals/prose"
FEW = ("--samples", "4", "--max-length", "128")
MADE = {  # how each form of the bundled model is made; "" for what needs no job
    "bf16": (),
    "fp16": (),
    "fp32": (),
    "nf4": (),
    "int8": (),
    "rtn-w8a16": ("--method", "rtn", "--scheme", "W8A16"),
    "rtn-w4a16": ("--method", "rtn", "--scheme", "W4A16"),
    "smoothquant-w8a8": ("--method", "smoothquant", "--scheme", "W8A8", *FEW),
    "fp8-dynamic": ("--method", "fp8", "--scheme", "FP8_DYNAMIC"),
    "fp8-static": ("--method", "fp8", "--scheme", "FP8", *FEW),
    "nvfp4a16": ("--method", "nvfp4", "--scheme", "NVFP4A16"),
    "nvfp4": ("--method", "nvfp4", "--scheme", "NVFP4", *FEW),
    "mxfp8": ("--method", "mxfp", "--scheme", "MXFP8"),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("prove/load_check.jsonl"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    warnings.simplefilter("ignore")
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    os.environ["PLAYGROUND_HOME"] = str((options.out.parent / "load_check-home").absolute())
    done = [json.loads(line) for line in options.out.read_text().splitlines()] if options.out.exists() else []
    known = {row["name"] for row in done}
    for name, broken, measure in _cases():
        if name not in known:
            row = {"name": name, "broken": broken, **measure()}
            with options.out.open("a") as file:
                file.write(json.dumps(row) + "\n")
            done.append(row)
            sys.stderr.write(f"{row}\n")
    return _report(done)


def _cases() -> Iterator[tuple[str, bool, Callable[[], dict[str, Any]]]]:
    for name, arguments in MADE.items():
        yield f"smollm2:{name}", False, lambda name=name, arguments=arguments: _bundled(name, arguments)
    for kind in tiny.KINDS:
        yield f"{kind}, bfloat16", False, lambda kind=kind: _tiny(kind, Reading)
    for kind in ("llama", "qwen3", "bamba", "gpt2", "opt"):
        yield f"{kind}, positions from 0", True, lambda kind=kind: _tiny(kind, _FromZero)


class _FromZero(Reading):
    """The fault that Bamba shows where nobody gives it positions."""

    def read(self, model: Any, ids: torch.Tensor, keep: int = 1) -> torch.Tensor:
        prepare = model.prepare_inputs_for_generation

        def from_zero(ids: torch.Tensor, **options: Any) -> Any:
            positions = options["position_ids"]
            return prepare(ids, **options | {"position_ids": positions - positions[0, 0]})

        model.prepare_inputs_for_generation = from_zero
        try:
            return super().read(model, ids, keep)
        finally:
            del model.prepare_inputs_for_generation


def _bundled(name: str, arguments: tuple[str, ...]) -> dict[str, Any]:
    if arguments:
        command = [sys.executable, "-m", "playground", "quantize", "smollm2", *arguments, "--name", name]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        if ended.returncode and "already" not in ended.stderr:
            return {"error": ended.stderr.strip().splitlines()[-1:]}
    spec = catalog.resolve(f"smollm2:{name}", lambda _: None, lambda: False)
    resident = loading.load(spec, DeviceMemory(loading.device_of_choice()), lambda _: None)
    broken = _deviations(resident.model, resident.tokenizer, _FromZero)
    return _deviations(resident.model, resident.tokenizer, Reading) | {"cached": resident.cached, "from_zero": broken}


def _tiny(kind: str, reading: type[Reading]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        try:
            model = tiny.make(Path(folder), kind, dtype=torch.bfloat16)
            resident = product.load(Path(folder))
            return _deviations(model, resident.tokenizer, reading) | {"cached": resident.cached}
        except PlaygroundError as error:
            return {"refused": str(error)}
        except Exception as error:  # noqa: BLE001 - a configuration that cannot be made tiny; the row says why
            return {"error": f"{type(error).__name__}: {error}"}


def _deviations(model: Any, tokenizer: Any, reading: type[Reading]) -> dict[str, Any]:
    """The largest deviation of sixteen texts, and that of the text that a load tries; `noise`: of passes without a
    state over the beginnings of the same texts."""
    texts = [loading.TRIAL_TEXT, *_prose()[:16]]
    rows = []
    for text in texts:
        ids = tokenizer.encode(text, add_special_tokens=False)[:TRIAL]
        rows.append((_deviation(model, reading(model), ids), _deviation(model, None, ids)))
    return {"deviation": rows[0][0], "noise": rows[0][1], "texts": rows[1:]}


def _prose() -> list[str]:
    lines = [line for file in sorted(PROSE.glob("*.jsonl")) for line in file.read_text().splitlines()[:2]]
    return [json.loads(line)["text"] for line in lines]


def _deviation(model: Any, parts: Reading | None, ids: list[int]) -> float:
    text = torch.tensor([ids], device=model.device)
    whole = Reading(model).read(model, text, keep=TRIAL)
    ends = TRIAL_ENDS[parts is not None and parts.one_pass :]
    rows = [(parts or Reading(model, cached=False)).read(model, text[:, :end]) for end in ends]
    return max(deviation(whole[end - 1 : end], row) for end, row in zip(ends, rows, strict=True))


def _report(rows: list[dict[str, Any]]) -> int:
    measured = [row for row in rows if "deviation" in row]
    sound = sorted((row["deviation"], row["name"]) for row in measured if not row["broken"])
    broken = sorted((row["deviation"], row["name"]) for row in measured if row["broken"])
    bundled = [row for row in measured if row["name"].startswith("smollm2")]
    without = [row["name"] for row in measured if not row["broken"] and not row["cached"]]
    failed = [name for value, name in broken if value < MAX_DEVIATION]
    failed += [row["name"] for row in bundled if not row["cached"] or row["from_zero"]["deviation"] < MAX_DEVIATION]
    report = {
        "limit": MAX_DEVIATION,
        "sound": len(sound),
        "largest_sound": sound[-6:],
        "without_a_cache": without,
        "bundled": {
            row["name"]: {
                "deviation": row["deviation"],
                "noise": row["noise"],
                "largest_of_16_texts": max(value for value, _ in row["texts"]),
                "positions_from_0": row["from_zero"]["deviation"],
            }
            for row in bundled
        },
        "broken": broken,
        "not_measured": {row["name"]: row.get("refused") or row.get("error") for row in rows if row not in measured},
        "failed": failed,
    }
    sys.stdout.write(json.dumps(report, indent=1) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
