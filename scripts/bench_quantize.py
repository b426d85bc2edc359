"""A quantize job against the bare llm-compressor script with the same recipe and samples, in turn, as JSON.

`python scripts/bench_quantize.py [--method gptq] [--scheme W4A16] [--samples 64] [--max-length 256] [--rounds 3]`.
Both are whole processes, from their start to their exit, and have the machine by turns of a few seconds: while one goes
on the other is stopped (SIGSTOP), and its clock too. One after the other, the machine's own changes of speed between
the two runs were larger than what is measured here.

The job does more than the script: it reloads what it saved in a fresh process, compares it with the model in memory and
with the original, and hashes both checkpoints. All of that is in its time. The recipes and the tensors of both must be
the same, or it fails. OpenMP's threads wait in both as they do in a job, unless the environment says how
(`OMP_WAIT_POLICY`), or `--bare-waits default` leaves the script what anyone gets who says nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from playground import models, texts
from playground.core import Progress
from playground.methods import method
from playground.methods.llm_compressor import to_yaml
from playground.methods.recipe import Recipe
from playground.metrics.weights import content_hash
from playground.models import checkpoint
from playground.process import briefly
from playground.quantize import compressor
from playground.quantize.recipes import complete
from playground.quantize.tokens import tokenize
from playground.texts import Calibration

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
LOOK_S = 0.05  # how exactly an end is seen
STOPPED = ("sh", "-c", 'kill -STOP $$; exec "$@"', "sh")


def silent(_: Progress) -> None:
    """Nobody watches."""


class Turns:
    """A command that goes on only by turns, with all its children. Its seconds are those in which it goes on."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
        """It begins stopped. What it prints goes to `folder`."""
        self.seconds = self.processor_seconds = 0.0
        self.status: int | None = None
        self._folder = folder
        with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as err:
            self._process = subprocess.Popen([*STOPPED, *command], env=environment, stdout=out, stderr=err)
        while psutil.Process(self._process.pid).status() != psutil.STATUS_STOPPED:  # else SIGCONT would be too early
            time.sleep(LOOK_S)

    @property
    def printed(self) -> str:
        return (self._folder / "stdout").read_text()

    def turn(self, seconds: float) -> None:
        """Go on for so long, or until the end."""
        began = time.monotonic()
        self._signal(signal.SIGCONT)
        while self.status is None and time.monotonic() - began < seconds:
            time.sleep(LOOK_S)
            self._look()
        if self.status is None:
            self._signal(signal.SIGSTOP)
        self.seconds += time.monotonic() - began

    def end(self) -> None:
        """Nothing of it is left, however far it was."""
        if self.status is None:
            self._signal(signal.SIGKILL)

    def _look(self) -> None:
        pid, status, used = os.wait4(self._process.pid, os.WNOHANG)
        if not pid:
            return
        self.status = self._process.returncode = os.waitstatus_to_exitcode(status)
        self.processor_seconds = used.ru_utime + used.ru_stime  # its children's too: it waited for them
        if self.status:
            sys.exit(f"It ended with {self.status}:\n{(self._folder / 'stderr').read_text()[-3000:]}")

    def _signal(self, number: int) -> None:
        """Parents first, until there are no more: one that is stopped starts nothing."""
        told = set[int]()
        while waiting := [one for one in self._members() if one.pid not in told]:
            for one in waiting:
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.send_signal(number)
                told.add(one.pid)

    def _members(self) -> list[psutil.Process]:
        with contextlib.suppress(psutil.NoSuchProcess):
            leader = psutil.Process(self._process.pid)
            return [leader, *leader.children(recursive=True)]
        return []


def by_turns(commands: Sequence[Turns], slice_s: float) -> None:
    """Run all of them to their ends, one at any time."""
    try:
        while left := [one for one in commands if one.status is None]:
            for one in left:
                one.turn(slice_s)
    finally:
        for one in commands:
            one.end()


def job(arguments: argparse.Namespace, folder: Path, environment: Mapping[str, str]) -> Turns:
    """One job through the command line; its variant stays below `folder`."""
    command = [sys.executable, "-m", "playground", "quantize", arguments.model, "--json"]
    command += ["--method", arguments.method, "--scheme", arguments.scheme, "--out", str(folder / "out")]
    command += ["--samples", str(arguments.samples), "--max-length", str(arguments.max_length)]
    return Turns(command, environment, folder)


def bare(arguments: argparse.Namespace, order: Path, folder: Path, environment: Mapping[str, str]) -> Turns:
    """The script that anyone would write, on the same token ids; what it made is in `folder` / "made"."""
    asked = json.loads(order.read_text()) | {"out": str(folder / "made")}
    (folder / "order.json").write_text(json.dumps(asked))
    if arguments.bare_waits == "job":
        environment = {**environment, **briefly(environment)}
    return Turns([sys.executable, "-c", BARE, str(folder / "order.json")], environment, folder)


def ordered(arguments: argparse.Namespace, place: Path) -> Path:
    """A file with what the script needs: the recipe that the job will save, and its samples as token ids."""
    source = Path(models.resolve(arguments.model, silent).path)
    asked = Calibration(samples=arguments.samples, max_length=arguments.max_length)
    tokens = tokenize(texts.samples(asked), compressor.tokenizer(source), asked.max_length, asked.samples)
    recipe = complete(
        checkpoint.from_path(arguments.model, source), Recipe(method=arguments.method, scheme=arguments.scheme)
    ).recipe
    (place / "recipe.yaml").write_text(to_yaml(method(recipe.method).modifiers(recipe)))
    found = {"model": str(source), "recipe": str(place / "recipe.yaml")}
    found |= {"columns": tokens.columns() if arguments.method != "rtn" else None}
    found |= {"samples": arguments.samples, "max_length": arguments.max_length}
    order = place / "order.json"
    order.write_text(json.dumps(found))
    return order


def round_of(
    arguments: argparse.Namespace, folder: Path, order: Path, environment: Mapping[str, str]
) -> dict[str, Any]:
    """Both once. Ends where their recipes or tensors are not the same."""
    for name in ("job", "bare"):
        (folder / name).mkdir()
    ours = job(arguments, folder / "job", environment)
    theirs = bare(arguments, order, folder / "bare", environment)
    by_turns([ours, theirs], arguments.turn)
    row = json.loads(ours.printed)
    path = Path(row["path"])
    if (path / compressor.RECIPE).read_text() != (order.parent / "recipe.yaml").read_text():
        sys.exit("The job saved another recipe than the bare script ran.")
    if row["content_hash"] != content_hash(folder / "bare" / "made"):
        sys.exit("The job and the bare script made different tensors.")
    return {
        "job": {"seconds": ours.seconds, "processor_seconds": ours.processor_seconds},
        "bare": {"seconds": theirs.seconds, "processor_seconds": theirs.processor_seconds},
        "content_hash": row["content_hash"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--method", default="gptq")
    parser.add_argument("--scheme", default="W4A16")
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--max-length", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--turn", type=float, default=4.0, help="seconds that one goes on while the other is stopped")
    parser.add_argument("--bare-waits", choices=("job", "default"), default="job")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        measure(arguments, Path(name))


def measure(arguments: argparse.Namespace, place: Path) -> None:
    """All rounds, each in a home that was used before: the model is restored, and it is known which device there is."""
    environment = {**os.environ, "PLAYGROUND_HOME": str(place / "ready")}
    for command in ("setup", "doctor"):
        subprocess.run([sys.executable, "-m", "playground", command], env=environment, check=True, capture_output=True)
    order = ordered(arguments, place)
    rounds = []
    for number in range(arguments.rounds):
        with tempfile.TemporaryDirectory(dir=place) as name:
            folder = Path(name)
            shutil.copytree(place / "ready", folder / "home", copy_function=os.link)
            at_home = environment | {"PLAYGROUND_HOME": str(folder / "home")}
            one = round_of(arguments, folder, order, at_home)
        rounds.append(one)
        print(
            f"round {number + 1}: job {one['job']['seconds']:.1f} s, bare script {one['bare']['seconds']:.1f} s; "
            f"processors {one['job']['processor_seconds']:.1f} and {one['bare']['processor_seconds']:.1f} s",
            file=sys.stderr,
        )
    ratio, used = (
        statistics.median(one["job"][what] / one["bare"][what] for one in rounds)
        for what in ("seconds", "processor_seconds")
    )
    print(f"job / bare script: {ratio:.3f}, of processor time {used:.3f}", file=sys.stderr)
    ratios = {"ratio": ratio, "ratio_of_processor_time": used}
    json.dump({"asked": vars(arguments), "rounds": rounds, **ratios}, sys.stdout)
    print()


if __name__ == "__main__":
    main()
