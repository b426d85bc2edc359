"""The page on the bundled model, once through: stream, stop, regenerate, survive the death of the engine."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import psutil
import pytest
from playwright.sync_api import Page, expect

from playground.engines.transformers import TransformersEngine
from playground.models import bundled
from tests.fakes.site import serving

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(bundled.gguf() is None, reason="the bundled model is not installed"),
]
PATIENCE_MS = 120_000


@pytest.fixture
def real() -> Iterator[tuple[TransformersEngine, str]]:
    engine = TransformersEngine()
    with serving(engine) as url:
        yield engine, url


def test_the_whole_way(real: tuple[TransformersEngine, str], visit: Callable[..., Page]) -> None:
    engine, url = real
    page = visit(url)
    panes = [page.locator(f"#pg-slot-{slot} .pane") for slot in (0, 1)]
    page.locator("#pg-line").click()
    page.locator("#pg-settings").get_by_label("Max tokens").fill("6")
    page.keyboard.press("Escape")
    page.locator("#pg-prompt textarea").fill("What is gravity?")
    page.locator("#pg-run").click()
    for pane in panes:
        expect(pane.locator(".tk")).to_have_count(6, timeout=PATIENCE_MS)
        expect(pane.locator(".toks")).to_have_text("Gravity is a fundamental concept")
        expect(pane.locator(".num.big .v")).not_to_have_text("–")
    expect(page.locator(".outcome b").first).to_contain_text("nf4 is 58% smaller", timeout=PATIENCE_MS)

    measured = panes[1].locator(".measured")
    expect(measured).to_contain_text("on BF16’s 6 tokens, this prompt only", timeout=PATIENCE_MS)
    panes[1].get_by_role("button", name="Colour tokens by divergence").click()
    panes[0].locator(".tk").nth(3).hover()
    expect(page.locator(".pg-tip .side")).to_have_text(["BF16", "nf4"])
    expect(page.locator(".pg-tip .alt")).to_have_count(10)

    panes[1].locator(".tk").first.evaluate("node => node.classList.add('of-before')")
    panes[1].get_by_role("button", name="Regenerate").click()
    expect(panes[1].locator(".of-before")).to_have_count(0)
    expect(panes[1].locator(".tk")).to_have_count(6, timeout=PATIENCE_MS)
    expect(page.locator("#pg-run")).to_be_enabled(timeout=PATIENCE_MS)

    page.locator("#pg-line").click()
    page.locator("#pg-settings").get_by_label("Max tokens").fill("1000")
    page.keyboard.press("Escape")
    page.locator("#pg-prompt textarea").fill("Tell me a long story about a lighthouse.")
    page.locator("#pg-run").click()
    for pane in panes:
        expect(pane.locator(".user")).to_have_count(2)
        expect(pane.locator(".toks").last.locator(".tk").nth(2)).to_be_attached(timeout=PATIENCE_MS)
    process = engine.process
    assert process is not None
    psutil.Process(process.pid).kill()
    killed = time.monotonic()
    for pane in panes:
        expect(pane.locator(".fail")).to_contain_text("The transformers engine died", timeout=5_000)
        expect(pane.locator(".status")).to_have_text("Failed; what it wrote is kept")
    assert time.monotonic() - killed < 4  # 2 s is the promise; a busy machine with Chromium on it gets as long again

    expect(page.locator("#pg-run")).to_be_enabled()
    panes[1].get_by_role("button", name="Try again").click()
    expect(panes[1]).to_have_attribute("data-state", "running", timeout=PATIENCE_MS)
    page.keyboard.press("Escape")
    expect(panes[1]).to_have_attribute("data-state", "stopped", timeout=PATIENCE_MS)
