"""What watching costs: decode tok/s of the host alone against the same runs shown on the page in Chromium, as JSON.

`python scripts/bench_page.py [--rounds 4] [--tokens 96] [VARIANT VARIANT]`. The two ways take turns over one engine
process, so that a drift of the machine hits both alike; `cores` says who used the machine meanwhile.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil
from playwright.sync_api import Page, sync_playwright

from playground import app
from playground.core import Generation, Prompt, Sampling, Token
from playground.engines.transformers import TransformersEngine
from playground.metrics.timing import inter_token_latencies

PROMPT = "Tell me a long story about a lighthouse."
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync", "--no-first-run"]
RUN_TIMEOUT_MS = 600_000


class Watched(TransformersEngine):
    """Remembers the times of every token that passes, so that both ways read the same clock."""

    def __init__(self) -> None:
        super().__init__()
        self.gaps: dict[str, list[float]] = defaultdict(list)

    def generate(self, generation: Generation) -> Iterator[object]:  # type: ignore[override]
        times: list[float] = []
        for item in super().generate(generation):
            if isinstance(item, Token):
                times.append(item.time_s)
            yield item
        self.gaps[generation.variant] = inter_token_latencies(times)

    def speeds(self) -> dict[str, float]:
        return {variant: len(gaps) / sum(gaps) for variant, gaps in self.gaps.items()}


@contextmanager
def cores(used: dict[str, float]) -> Iterator[None]:
    """Cores in use while the block ran, by kind of process."""
    started, before = time.monotonic(), _cpu_seconds()
    yield
    for kind, seconds in _cpu_seconds().items():
        used[kind] = round((seconds - before.get(kind, 0.0)) / (time.monotonic() - started), 2)


def _cpu_seconds() -> dict[str, float]:
    found: dict[str, float] = defaultdict(float)
    me = psutil.Process()
    for process in [me, *me.children(recursive=True)]:
        try:
            times, line = process.cpu_times(), process.cmdline()
        except psutil.Error:
            continue
        words = " ".join(line)
        kind = "page process" if process == me else "host" if "playground.engines.host" in words else "other"
        if "chrom" in words:
            kind = next((f"Chromium {name}" for name in ("renderer", "gpu") if f"--type={name}" in words), "Chromium")
        found[kind] += times.user + times.system
    return found


def alone(engine: Watched, variants: list[str], prompt: Prompt, sampling: Sampling) -> None:
    def one(variant: str) -> None:
        for _ in engine.generate(Generation(variant, prompt.ids, sampling)):
            pass

    threads = [threading.Thread(target=one, args=(variant,)) for variant in variants]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def shown(page: Page) -> None:
    page.locator("#pg-clear").click()
    page.locator("#pg-prompt textarea").fill(PROMPT)
    page.locator("#pg-run").click()
    page.locator(".outcome").first.wait_for(timeout=RUN_TIMEOUT_MS)
    page.locator("#pg-run:enabled").wait_for(timeout=RUN_TIMEOUT_MS)


def prepare(page: Page, url: str, variants: list[str], tokens: int) -> None:
    page.goto(url)
    page.locator("#pg-slot-1 h2.label:not(:empty)").wait_for()
    for slot, variant in enumerate(variants):
        box = page.locator(f"#pg-pick-{slot} input")
        box.fill(variant)
        box.press("Enter")
    page.locator("#pg-line").click()
    page.locator("#pg-settings").get_by_label("Max tokens").fill(str(tokens))
    page.keyboard.press("Escape")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("variants", nargs="*", default=["smollm2", "smollm2:nf4"])
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=96)
    arguments = parser.parse_args()
    variants, sampling = arguments.variants, Sampling(max_tokens=arguments.tokens)
    engine = Watched()
    for variant in variants:
        engine.load(variant, lambda _: None, lambda: False, keep=variants)
    prompt = engine.prompt(variants[0], [{"role": "user", "content": PROMPT}])
    demo = app.launch(port=0, engine=engine, block=False)
    rounds: dict[str, list[dict[str, float]]] = {"alone": [], "shown": []}
    shares: dict[str, dict[str, float]] = {"alone": {}, "shown": {}}
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            prepare(page, str(demo.local_url), variants, arguments.tokens)
            ways: dict[str, Callable[[], None]] = {
                "alone": lambda: alone(engine, variants, prompt, sampling),
                "shown": lambda: shown(page),
            }
            shown(page)
            for number in range(arguments.rounds):
                for way in ways if number % 2 == 0 else reversed(ways):
                    with cores(shares[way]):
                        ways[way]()
                    rounds[way].append(engine.speeds())
                    print(way, {k: round(v, 2) for k, v in engine.speeds().items()}, shares[way], file=sys.stderr)
            browser.close()
    finally:
        app.close(demo, engine)
    median = {
        way: {variant: statistics.median(r[variant] for r in rows) for variant in variants}
        for way, rows in rounds.items()
    }
    ratio = {variant: median["shown"][variant] / median["alone"][variant] for variant in variants}
    print(json.dumps({"decode_tok_s": rounds, "median": median, "ratio": ratio, "cores": shares}, indent=1))


if __name__ == "__main__":
    main()
