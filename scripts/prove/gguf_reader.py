"""A GGUF file is its original in transformers, or is refused there.

A tiny random model of every architecture that transformers' GGUF reader knows is exported in F16 and read as the
transformers engine reads it: as a variant of its model, and as a file of which nothing else is known. The mean KLD to
the original is below 0.03 nats at 8, 300 and 600 tokens, or the load is refused with the reason. One line of JSON a
case, and a run goes on where the last one stopped. Exit status 1 where a case fails.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
import transformers

from tests.parity.gguf_reader import CASES, reading


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", help="by name; all by default")
    parser.add_argument("--out", type=Path, default=Path("prove/gguf_reader.jsonl"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    warnings.simplefilter("ignore")
    rows = _run(options.cases or CASES, options.out)
    failed = [row["case"] for row in rows if not row["holds"]]
    counts = {
        "cases": len(rows),
        "read": sum(bool(row["variant"]["kld"]) for row in rows),
        "refused": [row["case"] for row in rows if row["variant"]["refused"]],
        "not_exported": [row["case"] for row in rows if row["not_exported"]],
        "failed": failed,
    }
    sys.stdout.write(json.dumps(counts, indent=1) + "\n")
    return 1 if failed else 0


def _run(cases: Iterable[str], out: Path) -> list[dict[str, Any]]:
    out.parent.mkdir(parents=True, exist_ok=True)
    done = {row["case"]: row for row in map(json.loads, out.read_text().splitlines())} if out.exists() else {}
    with tempfile.TemporaryDirectory() as scratch:
        os.environ |= {"PLAYGROUND_HOME": scratch, "PLAYGROUND_OFFLINE": "1"}
        for number, case in enumerate(cases):
            if case not in done:
                done[case] = reading(Path(scratch) / str(number), case).as_dict()
                with out.open("a") as file:
                    file.write(json.dumps(done[case]) + "\n")
            sys.stderr.write(f"{json.dumps(done[case])}\n")
    return [done[case] for case in cases]


if __name__ == "__main__":
    sys.exit(main())
