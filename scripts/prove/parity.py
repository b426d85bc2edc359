"""Every causal architecture of the installed transformers answers here as it does in transformers' own `generate`.

A tiny random model of each, greedy, in float32; one line of JSON an architecture, and a run goes on where the last one
stopped. Exit status 1 where one answers otherwise.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import warnings
from collections.abc import Iterable
from pathlib import Path

import torch
import transformers

from tests.parity import compare, tiny


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", help="model types; all by default")
    parser.add_argument("--out", type=Path, default=Path("prove/parity.jsonl"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    warnings.simplefilter("ignore")
    rows = _run(options.kinds or tiny.KINDS, options.out)
    return _report(rows)


def _run(kinds: Iterable[str], out: Path) -> list[dict[str, object]]:
    out.parent.mkdir(parents=True, exist_ok=True)
    done = {row["kind"]: row for row in map(json.loads, out.read_text().splitlines())} if out.exists() else {}
    rows = []
    for kind in kinds:
        if kind not in done:
            with tempfile.TemporaryDirectory() as folder:
                done[kind] = compare.parity(Path(folder), kind).as_dict()
            with out.open("a") as file:
                file.write(json.dumps(done[kind]) + "\n")
        rows.append(done[kind])
        sys.stderr.write(f"{kind}: {_words(done[kind])}\n")
    return rows


def _words(row: dict[str, object]) -> str:
    if reason := row["not_built"] or row["refused"] or row["generate_fails"]:
        return str(reason)
    return "equal" if row["equal"] else json.dumps({"apart": row["apart"], "answers": row["answers"]})


def _report(rows: list[dict[str, object]]) -> int:
    failed = [row["kind"] for row in rows if row["answers"] and not row["equal"]]
    counts = {
        "architectures": len(rows),
        "equal": sum(bool(row["equal"]) for row in rows),
        "without_a_cache": [row["kind"] for row in rows if row["equal"] and not row["cached"]],
        "refused": [row["kind"] for row in rows if row["refused"]],
        "generate_fails_too": [row["kind"] for row in rows if row["generate_fails"]],
        "not_built": [row["kind"] for row in rows if row["not_built"]],
        "failed": failed,
    }
    sys.stdout.write(json.dumps(counts, indent=1) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
