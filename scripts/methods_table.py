"""The table of methods, and every method on the bundled model: `make methods`.

Writes the table of methods into docs/methods.md, between its markers; with `--list` that is all. Then makes each
variant with `playground quantize`, lets it answer one prompt greedily on the engines that run it, and prints the
measurements, of which docs/measurements.md has an excerpt. Finished rows are not repeated: each is one JSON line in
bench/methods.jsonl.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
DOC = ROOT / "docs" / "methods.md"
BEGIN, END = "<!-- methods: written by `make methods` -->", "<!-- end of methods -->"
MODEL = "smollm2"
PROMPT = "What is gravity?"
TEXT = ["--samples", "32", "--max-length", "256"]
VLLM = (
    "W4A16",
    "W8A8",
    "FP8_DYNAMIC",
)  # what vLLM is asked for here; the others say in the methods table what runs them
ROWS: tuple[tuple[str, str, list[str]], ...] = (
    *(("rtn", scheme, []) for scheme in ("W8A16", "W4A16", "W4A16_ASYM", "W3A16", "W2A16")),
    *(("fp8", scheme, []) for scheme in ("FP8_DYNAMIC", "FP8_BLOCK")),
    ("fp8", "FP8", TEXT),
    ("nvfp4", "NVFP4A16", []),
    ("nvfp4", "NVFP4", TEXT),
    *(("mxfp", scheme, []) for scheme in ("MXFP4A16", "MXFP4", "MXFP8A16", "MXFP8")),
    *(("gguf", scheme, []) for scheme in ("BF16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_0")),
    *(("bitsandbytes", scheme, []) for scheme in ("nf4", "int8")),
    ("spinquant", "W4A16", []),
    *(("gptq", scheme, TEXT) for scheme in ("W4A16", "W3A16", "W8A8")),
    ("awq", "W4A16_ASYM", TEXT),
    ("smoothquant", "W8A8", TEXT),
    ("autoround", "W4A16", [*TEXT, "--option", "iters=20"]),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("--list", action="store_true", help="only write the table of methods")
    parser.add_argument("--only", default="", help="methods, separated by commas")
    parser.add_argument("--rows", type=Path, default=ROOT / "bench" / "methods.jsonl")
    asked = parser.parse_args()
    DOC.write_text(between(DOC.read_text(encoding="utf-8"), methods()), encoding="utf-8")
    if asked.list:
        return
    asked.rows.parent.mkdir(parents=True, exist_ok=True)
    done = [json.loads(line) for line in asked.rows.read_text().splitlines()] if asked.rows.exists() else []
    known = {(row["method"], row["scheme"]) for row in done}
    for method, scheme, more in ROWS:
        if (method, scheme) in known or (asked.only and method not in asked.only.split(",")):
            continue
        row = measure(method, scheme, more)
        with asked.rows.open("a") as file:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
        done.append(row)
        print(row["command"], f"{row['wall']:.0f} s", row["error"] or row["answers"], file=sys.stderr, flush=True)
    print(table(done))


def methods() -> str:
    """Return the table of methods, as Markdown."""
    from playground.methods import TABLE

    lines = ["| method | schemes | calibration | result | runs on | paper |", "|---|---|---|---|---|---|"]
    for row in TABLE:
        source = "arXiv" if "arxiv.org" in row.paper else "source"
        lines.append(
            f"| {row.title} | {', '.join(row.schemes)} | {'yes' if row.needs_calibration else 'no'} "
            f"| {row.output_format} | {', '.join(row.engines)}: {', '.join(row.devices)} | [{source}]({row.paper}) |"
        )
    return "\n".join(lines)


def between(text: str, content: str) -> str:
    """Return `text` with `content` between the markers. Exits if they are missing."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        sys.exit(f"There is no place for the table: it goes between {BEGIN} and {END}.")
    return f"{before}{BEGIN}\n\n{content}\n\n{END}{after}"


def measure(method: str, scheme: str, more: list[str]) -> dict[str, Any]:
    """One row: what the command said, or the sentence with which it refused."""
    words = ["quantize", MODEL, "--method", method, "--scheme", scheme, *more]
    began = time.monotonic()
    ended = playground(*words, "--json")
    row: dict[str, Any] = {"method": method, "scheme": scheme, "command": " ".join(["python -m playground", *words])}
    row |= {"wall": time.monotonic() - began, "error": "", "answers": {}, "made": None}
    if ended.returncode:
        row["error"] = ended.stderr.strip().splitlines()[-1] if ended.stderr.strip() else f"exit {ended.returncode}"
        row["stderr"] = ended.stderr[-2000:]
        return row
    made = json.loads(ended.stdout)
    row["made"] = {key: value for key, value in made.items() if key != "layers"}
    engines = ["llamacpp"] if method == "gguf" else ["transformers"]
    if scheme in VLLM and method in ("rtn", "gptq", "fp8", "smoothquant"):
        engines.append("vllm")
    for engine in engines:
        row["answers"][engine] = answer(f"{made['variant']}@{engine}")
    return row


def answer(variant: str) -> dict[str, Any]:
    """The greedy answer and its decode speed, or what the engine said instead."""
    ended = playground("generate", variant, "--prompt", PROMPT, "--max-tokens", "24", "--json")
    try:
        (pane,) = json.loads(ended.stdout)["panes"]
    except (ValueError, KeyError):
        return {"error": ended.stderr.strip()[-300:]}
    if pane.get("error"):
        return {"error": pane["error"]["message"]}
    return {"text": pane["text"], "decode_tok_s": pane["metrics"]["decode_tok_s"]}


def playground(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "playground", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )


def reloaded(made: dict[str, Any]) -> str:
    """What the check in a fresh process found; a dash where there was no model in memory to compare with."""
    return f"{made['reload']['kld_mean']:.1g}" if made.get("reload") else "–"


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown, in the order of ROWS."""
    order = {(method, scheme): n for n, (method, scheme, _) in enumerate(ROWS)}
    lines = [
        "| method | scheme | size | bits | seconds | peak memory | reload: mean KLD | engine | greedy answer |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in sorted(rows, key=lambda row: order[row["method"], row["scheme"]]):
        made = row["made"]
        if made is None:
            lines.append(
                f"| {row['method']} | {row['scheme']} | | | {row['wall']:.0f} | | | | refused: {row['error']} |"
            )
            continue
        facts = (
            f"| {row['method']} | {row['scheme']} | {made['bytes_after'] / 1e6:.0f} MB | {made['bits_per_weight']:.2f} "
            f"| {made['seconds']:.0f} | {made['peak_memory_bytes'] / 1e9:.2f} GB "
            f"| {reloaded(made)} |"
        )
        for engine, said in row["answers"].items():
            if "error" in said:
                lines.append(f"{facts} {engine} | {said['error'].splitlines()[0][:160]} |")
            else:
                text = " ".join(said["text"].split()).replace("|", "\\|")
                lines.append(f"{facts} {engine}, {said['decode_tok_s'] or 0:.1f} tok/s | {text} |")
            facts = "| | | | | | | |"
    return "\n".join(lines)


if __name__ == "__main__":
    main()
