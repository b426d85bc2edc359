"""Fifty people on a link while one generation runs: what it costs them, and what it costs the generation, as JSON.

`python scripts/bench_viewers.py [--viewers 50] [--rounds 3] [--tokens 128] [--every 5]`. Starts the real page in a home
of its own, stores one comparison, and lets the page generate in turn with nobody there and with the viewers, each of
whom opens the page and the run's data about every few seconds. The viewers' own process is on the same machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import httpx
from gradio_client import Client

PROMPT = "Tell me a long story about a lighthouse."


class Viewers:
    """In a thread of their own until stopped; seconds of each answer, and what went wrong."""

    def __init__(self, url: str, run: str, count: int, every_s: float) -> None:
        self.page: list[float] = []
        self.data: list[float] = []
        self.errors: list[str] = []
        self._url, self._run, self._count, self._every_s = url, run, count, every_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._all()), daemon=True)

    def __enter__(self) -> Viewers:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(30)

    async def _all(self) -> None:
        async with httpx.AsyncClient(base_url=self._url, timeout=30, trust_env=False) as http:
            await asyncio.gather(*(self._one(http) for _ in range(self._count)))

    async def _one(self, http: httpx.AsyncClient) -> None:
        await asyncio.sleep(random.uniform(0, self._every_s))  # noqa: S311 - when somebody clicks
        while not self._over.is_set():
            for path, seconds in ((f"/run/{self._run}", self.page), (f"/api/runs/{self._run}", self.data)):
                began = time.perf_counter()
                try:
                    (await http.get(path)).raise_for_status()
                    seconds.append(time.perf_counter() - began)
                except httpx.HTTPError as error:
                    self.errors.append(repr(error)[:200])
            await asyncio.sleep(random.uniform(0.5, 1.5) * self._every_s)  # noqa: S311


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def decode(client: Client, tokens: int) -> float:
    """Decode tok/s of one generation through the page, on the engine's clock."""
    made: dict[str, Any] = client.predict(variants=["smollm2"], prompt=PROMPT, max_tokens=tokens, api_name="/generate")
    return float(made["panes"][0]["metrics"]["decode_tok_s"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--viewers", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--every", type=float, default=5, help="seconds between two looks of one viewer, about")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as home, socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        listener.close()
        environment = {**os.environ, "PLAYGROUND_HOME": home, "PLAYGROUND_PORT": str(port)}
        words = ["generate", "smollm2", "smollm2:nf4", "--prompt", PROMPT, "--max-tokens", "64", "--json"]
        program = [sys.executable, "-m", "playground"]
        stored = subprocess.run([*program, *words], env=environment, check=True, capture_output=True, text=True)
        run = json.loads(stored.stdout)["run"]
        with Path(home, "page.log").open("wb") as log:
            page = subprocess.Popen([*program, "run"], env=environment, stdout=log, stderr=log)
        try:
            print(json.dumps(measure(f"http://127.0.0.1:{port}", run, asked)))
        finally:
            page.terminate()
            page.wait(60)


def measure(url: str, run: str, asked: argparse.Namespace) -> dict[str, Any]:
    until = time.monotonic() + 120
    while True:
        try:
            client = Client(url, verbose=False)
            break
        except (httpx.HTTPError, ValueError):
            if time.monotonic() > until:
                raise
            time.sleep(0.5)
    decode(client, 16)  # loads, and is the warm-up
    alone, watched = [], []
    page: list[float] = []
    data: list[float] = []
    errors: list[str] = []
    for number in range(asked.rounds):
        alone.append(decode(client, asked.tokens))
        with Viewers(url, run, asked.viewers, asked.every) as viewers:
            time.sleep(asked.every)
            watched.append(decode(client, asked.tokens))
        page, data, errors = page + viewers.page, data + viewers.data, errors + viewers.errors
        print(f"round {number + 1}: {alone[-1]:.2f} alone, {watched[-1]:.2f} tok/s watched", file=sys.stderr)
    found = {
        "viewers": asked.viewers,
        "every_s": asked.every,
        "decode_alone": alone,
        "decode_watched": watched,
        "ratio": statistics.median(watched) / statistics.median(alone),
        "page_p95_s": percentile(page, 0.95),
        "data_p95_s": percentile(data, 0.95),
        "data_requests": len(data),
        "errors": len(errors),
    }
    print(
        f"{len(data)} looks of {asked.viewers} viewers: page p95 {found['page_p95_s']:.3f} s, data p95 "
        f"{found['data_p95_s']:.3f} s, {len(errors)} errors; decode {found['ratio']:.3f} of alone",
        file=sys.stderr,
    )
    return found


if __name__ == "__main__":
    main()
