"""A quantize job against the bare llm-compressor script with the same recipe and samples, in turn, as JSON.

`python scripts/bench_quantize.py [--method gptq] [--scheme W4A16] [--samples 64] [--max-length 256] [--rounds 3]`.
Both are whole processes, from their start to their exit. The job does more than the script: it reloads what it saved in
a fresh process, compares it with the model in memory and with the original, and hashes both checkpoints. So there are
two ratios, with all of that and without; the parts are the job's own laps. The tensors of both must be the same, or it
fails. OpenMP's threads wait in both as they do in a job: asleep. Spinning (`OMP_WAIT_POLICY=ACTIVE` for this script) is
faster on a quiet machine, and many times slower beside anything else.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from playground import calibration, catalog
from playground.core import Progress
from playground.jobs import quantize_llm
from playground.metrics.content import content_hash

BARE = """
import json, sys
from datasets import Dataset
from llmcompressor import oneshot
asked = json.load(open(sys.argv[1]))
columns = asked["columns"]
data = {"dataset": Dataset.from_dict(columns), "shuffle_calibration_samples": False} if columns else {}
oneshot(model=asked["model"], recipe=asked["recipe"], output_dir=asked["out"], **data,
        num_calibration_samples=asked["samples"], max_seq_length=asked["max_length"])
"""
CHECKS = ("reload", "checksums")


def silent(_: Progress) -> None:
    """Nobody watches."""


def timed(command: list[str], environment: dict[str, str]) -> tuple[dict[str, float], str]:
    """Seconds of a whole process on the wall and of processors, its children's too, and what it printed."""
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    seconds, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(f"{command[:4]} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": seconds, "processor_seconds": processor}, done.stdout


def job(arguments: argparse.Namespace, home: Path, environment: dict[str, str]) -> dict[str, Any]:
    """One job through the command line; its variant stays below `home`."""
    command = [sys.executable, "-m", "playground", "quantize", arguments.model, "--json"]
    command += ["--method", arguments.method, "--scheme", arguments.scheme, "--out", str(home / "out")]
    command += ["--samples", str(arguments.samples), "--max-length", str(arguments.max_length)]
    times, printed = timed(command, environment)
    row = json.loads(printed)
    marker = next(Path(row["path"]).rglob("playground.json"))
    result = json.loads(marker.read_text())["result"]
    return {**times, "stages": result["stages"], "content_hash": row["content_hash"], "path": row["path"]}


def bare(arguments: argparse.Namespace, recipe: str, folder: Path, environment: dict[str, str]) -> dict[str, Any]:
    """The script that anyone would write, on the same token ids."""
    source = Path(catalog.resolve(arguments.model, silent).path)
    asked = calibration.Calibration(samples=arguments.samples, max_length=arguments.max_length)
    tokens = calibration.tokenize(
        calibration.samples(asked), quantize_llm.tokenizer(source), asked.max_length, asked.samples
    )
    order = folder / "order.json"
    order.write_text(
        json.dumps(
            {
                "model": str(source),
                "recipe": recipe,
                "out": str(folder / "made"),
                "columns": tokens.columns() if arguments.method != "rtn" else None,
                "samples": arguments.samples,
                "max_length": arguments.max_length,
            }
        )
    )
    times, _ = timed([sys.executable, "-c", BARE, str(order)], environment)
    return {**times, "content_hash": content_hash(folder / "made")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--method", default="gptq")
    parser.add_argument("--scheme", default="W4A16")
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--max-length", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        measure(arguments, Path(name))


def measure(arguments: argparse.Namespace, place: Path) -> None:
    """All rounds, each in a home that was used before: the model is restored, and it is known which device there is."""
    environment = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ}
    ready = environment | {"PLAYGROUND_HOME": str(place / "ready")}
    for command in ("setup", "doctor"):
        timed([sys.executable, "-m", "playground", command], ready)
    rounds = []
    for number in range(arguments.rounds):
        with tempfile.TemporaryDirectory(dir=place) as name:
            folder = Path(name)
            shutil.copytree(place / "ready", folder / "home", copy_function=os.link)
            at_home = environment | {"PLAYGROUND_HOME": str(folder / "home")}
            ours = job(arguments, folder, at_home)
            theirs = bare(arguments, str(Path(ours["path"]) / quantize_llm.RECIPE), folder, at_home)
        if ours["content_hash"] != theirs["content_hash"]:
            sys.exit("The job and the bare script made different tensors.")
        checked = sum(ours["stages"][stage] for stage in CHECKS)
        rounds.append({"job": ours, "bare": theirs, "checks_s": checked})
        print(
            f"round {number + 1}: job {ours['seconds']:.1f} s, of which {checked:.1f} s checks what was saved; "
            f"bare script {theirs['seconds']:.1f} s; processors {ours['processor_seconds']:.1f} and "
            f"{theirs['processor_seconds']:.1f} s",
            file=sys.stderr,
        )
    whole = statistics.median(one["job"]["seconds"] / one["bare"]["seconds"] for one in rounds)
    same_work = statistics.median((one["job"]["seconds"] - one["checks_s"]) / one["bare"]["seconds"] for one in rounds)
    used = statistics.median(one["job"]["processor_seconds"] / one["bare"]["processor_seconds"] for one in rounds)
    print(
        f"job / bare script: {same_work:.3f} for the same work, {whole:.3f} with its checks; "
        f"{used:.3f} of processor time, with its checks",
        file=sys.stderr,
    )
    ratios = {"ratio": same_work, "ratio_with_checks": whole, "ratio_of_processor_time": used}
    json.dump({"asked": vars(arguments), "rounds": rounds, **ratios}, sys.stdout)
    print()


if __name__ == "__main__":
    main()
