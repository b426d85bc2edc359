"""How long a list of many runs takes, in SQLite and where one is given in PostgreSQL: PLAYGROUND_DATABASE_URL.

    python scripts/bench_runs.py --runs 10000 --result-kb 100

Fills a database of its own in a temporary folder; with PostgreSQL the tables of the given database, which it empties of
these runs again.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playground.store import database, runs
from playground.store.schema import Run

KINDS = ("comparison", "evaluation", "divergence", "bench", "quantization")
MODELS = ("smollm2", "Qwen/Qwen3-0.6B", "meta-llama/Llama-3.2-1B-Instruct", "/models/mine")
WORDS = [
    "gravity",
    "ocean",
    "bridge",
    "music",
    "winter",
    "engine",
    "history",
    "river",
    "number",
    "garden",
    "market",
    "silence",
]
VARIANTS = ("nf4", "int8", "fp4", "awq-w4a16_asym-g64", "gptq-w4a16-g128", "gguf-q4_k_m")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--result-kb", type=int, default=100, help="size of one result")
    parser.add_argument("--rounds", type=int, default=15)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PLAYGROUND_HOME"] = folder
        filler = {"text": "x" * (asked.result_kb * 1000)}
        made = [_run(number, filler) for number in range(asked.runs)]
        for start in range(0, len(made), 500):
            with database.writing() as session:
                session.add_all(made[start : start + 500])
        try:
            _measure(made, asked.rounds)
        finally:
            if os.environ.get("PLAYGROUND_DATABASE_URL"):
                for run in made:
                    runs.remove(run.id)


def _run(number: int, result: dict[str, Any]) -> Run:
    rng = random.Random(number)  # noqa: S311 - the same runs every time
    model, chosen = rng.choice(MODELS), rng.sample(VARIANTS, 2)
    variants = [{"id": model, "label": "BF16", "scheme": "BF16", "content_hash": f"{number:064x}"}]
    variants += [{"id": f"{model}:{name}", "label": name, "scheme": name, "content_hash": "ab" * 32} for name in chosen]
    return Run(
        id=runs.new_id(),
        kind=rng.choice(KINDS),
        title=f"{model} · {' '.join(rng.sample(WORDS, 4))}",
        model=model,
        created_at=1.79e9 + 60 * number,
        settings={"sampling": {"max_tokens": 128, "temperature": 0.0}},
        versions={f"package-{n}": "1.2.3" for n in range(14)},
        device={"device": "cpu", "name": "a processor", "cores": 2},
        variants=variants,
        result=result,
    )


def _measure(made: list[Run], rounds: int) -> None:
    calls: dict[str, Callable[[], Any]] = {
        "the newest 50, and how many there are": lambda: (runs.search(limit=50), runs.count()),
        "50 of one kind": lambda: (runs.search(kind="bench", limit=50), runs.count(kind="bench")),
        "50 of one model, page 20": lambda: runs.search(model="smollm2", limit=50, offset=1000),
        "two words, and how many": lambda: (runs.search("gravity nf4", limit=50), runs.count("gravity nf4")),
        "a word that nothing has": lambda: (runs.search("absent", limit=50), runs.count("absent")),
        "all": lambda: runs.search(limit=len(made)),
        "one, with its result": lambda: runs.get(made[len(made) // 2].id),
    }
    rows = []
    for name, call in calls.items():
        times = []
        for _ in range(rounds):
            began = time.perf_counter()
            call()
            times.append(1000 * (time.perf_counter() - began))
        rows.append({"what": name, "median_ms": round(statistics.median(times), 1), "max_ms": round(max(times), 1)})
    size = Path(database.path()).stat().st_size if database.path().exists() else None
    print(json.dumps({"database": database.version(), "runs": len(made), "bytes": size, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
