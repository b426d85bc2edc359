"""Divergence against the bare loop: two forward passes over the same windows and nothing else, in turn, as JSON.

`python scripts/bench_divergence.py [--variant smollm2:nf4] [--rounds 6] [--tokens 2048] [--max-length 512]`. What is
between the two is the comparison over the full vocabulary and the files of the documents. They take turns, so that a
drift of the machine hits both alike; loading is in neither. Beside the watch stand the seconds that the process
computed: on a busy machine they say more.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playground.process import briefly

os.environ.update(briefly(os.environ))  # as in a job

import torch

from playground import machine
from playground import models as catalog
from playground.core import LoadSpec, Progress
from playground.engines.host import loading
from playground.engines.host.loading import Resident, tokenizer_of
from playground.evaluate import divergence
from playground.evaluate.divergence import Plan, plan_windows
from playground.texts import prose


class Once:
    """Stands where `measure` loads, and loads each model once."""

    def __init__(self) -> None:
        self._load = loading.load
        self._residents: dict[str, Resident] = {}

    def __call__(self, spec: LoadSpec, *arguments: Any) -> Resident:
        if spec.id not in self._residents:
            self._residents[spec.id] = self._load(spec, *arguments)
        return self._residents[spec.id]


class Silent:
    def progress(self, item: Progress) -> None:
        pass

    def note(self, text: str) -> None:
        print(text, file=sys.stderr)


def bare(models: tuple[Any, Any], wanted: Plan) -> None:
    """What every such measurement has to do."""
    with torch.inference_mode():
        for window in (window for document in wanted.documents for window in document):
            ids = torch.tensor([window.ids], device=models[0].device)
            for model in models:
                model(input_ids=ids, use_cache=False)


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """By the watch, and those that this process computed."""
    began, computed = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - began, time.process_time() - computed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reference", default="smollm2")
    parser.add_argument("--variant", default="smollm2:nf4")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--tokens", type=int, default=2048)
    parser.add_argument("--max-length", type=int, default=divergence.MAX_LENGTH)
    asked = parser.parse_args()
    reference, variant = (catalog.resolve(name) for name in (asked.reference, asked.variant))
    text = prose.text(prose.BUNDLED)
    wanted = plan_windows(text, tokenizer_of(reference.path), asked.tokens, asked.max_length)
    loading.load = load = Once()  # type: ignore[assignment]
    divergence.noise_floor = lambda _: variant  # type: ignore[assignment]  # the one pair that is timed

    def ours() -> None:
        with tempfile.TemporaryDirectory() as folder:
            divergence.measure(
                *(reference, [], text, asked.tokens, Path(folder), Silent()), max_length=asked.max_length
            )

    ours()  # loads and warms up
    models = load(reference).model, load(variant).model
    rows: list[dict[str, float]] = []
    for number in range(asked.rounds):
        turns: dict[str, Callable[[], object]] = {"bare": lambda: bare(models, wanted), "measure": ours}
        took = {name: seconds(turns[name]) for name in sorted(turns, reverse=bool(number % 2))}
        rows.append(
            {
                **{name: wanted.tokens / watch for name, (watch, _) in took.items()},
                "ratio": took["bare"][0] / took["measure"][0],
                "ratio_computed": took["bare"][1] / took["measure"][1],
            }
        )
        print(", ".join(f"{name} {value:.4g}" for name, value in rows[-1].items()), file=sys.stderr, flush=True)
    result = {
        "reference": asked.reference,
        "variant": asked.variant,
        "tokens": wanted.tokens,
        "max_length": asked.max_length,
        "threads": torch.get_num_threads(),
        "cpu": machine.cpu_name(),
        "tokens_per_second": {name: statistics.median(row[name] for row in rows) for name in ("bare", "measure")},
        **{name: statistics.median(row[name] for row in rows) for name in ("ratio", "ratio_computed")},
        "rounds": rows,
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
