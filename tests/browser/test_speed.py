"""The Speed page in Chromium, over a scripted engine."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from playground import machine, models
from playground.core import Loaded, Variant
from playground.engines import base
from playground.engines.base import Option
from playground.errors import OutOfMemory
from playground.models.address import Address
from playground.web import stream
from tests.fakes.engine import FakeEngine, Script
from tests.fakes.rows import until

pytestmark = pytest.mark.browser
Serve = Callable[[FakeEngine], str]
Visit = Callable[..., Page]
MANY = tuple(f"w{n}" for n in range(64))
EVIL = "<img src=x onerror=alert(1)>"


class Several(FakeEngine):
    """As `Engines`: an address names the engine."""

    def load(self, variant: str, *arguments: Any, **more: Any) -> Loaded:
        return replace(super().load(variant, *arguments, **more), engine=Address.parse(variant).engine)


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two engines for every variant, one for none, and a memory of 100 GB/s."""

    def options(variant: Variant) -> list[Option]:
        able = [Option("transformers", "transformers host", True), Option("llamacpp", "llama.cpp", True)]
        return [*able, Option("vllm", "vLLM", False, "vLLM is not installed", "make vllm")]

    probe = machine.Probe("cpu", "a processor", 2**33, 2**32, "2", 1, 1e11)
    monkeypatch.setattr(base, "options", options)
    monkeypatch.setattr(machine, "probe", lambda **_: probe)


def scripts(**more: Script) -> dict[str, Script]:
    """BF16 at 100, nf4 at 200 tokens a second; prompts in 40 ms."""
    fast = {
        "fake@transformers": Script(tokens=MANY, step_s=0.01, first_s=0.04),
        "fake:nf4@transformers": Script(tokens=MANY, step_s=0.005, first_s=0.04, memory=110_000_000),
    }
    return {"fake": Script(tokens=MANY), **fast, **{name.replace("_AT_", "@"): script for name, script in more.items()}}


def tick(page: Page, name: str) -> Locator:
    return page.get_by_role("checkbox", name=name, exact=True)


def field(page: Page, name: str) -> Locator:
    return page.locator(f"input[name={name}]")


@pytest.fixture
def open_speed(serve: Serve, visit: Visit) -> Callable[..., Page]:
    def opened(engine: FakeEngine, **look: Any) -> Page:
        page = visit(serve(engine), **look)
        page.get_by_role("link", name="Speed", exact=True).click()
        expect(tick(page, "BF16 in transformers")).to_be_checked()
        for name, value in {"prompt_tokens": "8", "output_tokens": "5", "runs": "2"}.items():
            field(page, name).fill(value)
        return page

    return opened


def measure(page: Page) -> None:
    page.get_by_role("button", name="Measure", exact=True).click()


def finished(page: Page) -> None:
    expect(page.get_by_role("button", name="Download as CSV")).to_be_visible(timeout=20_000)
    expect(page.get_by_role("button", name="Measure", exact=True)).to_be_enabled()


def row(page: Page, index: int) -> Locator:
    return page.locator(".sp-table:not(.levels) tbody tr").nth(index)


def test_measure_gives_the_table_the_answer_and_the_roofline(open_speed: Callable[..., Page], tmp_path: Path) -> None:
    engine = Several(scripts())
    page = open_speed(engine)
    expect(page.locator(".sp-sum")).to_have_text("2 variants · 12 generations and 2 loads: 14 steps")
    expect(page.locator("#pg-speed-result")).to_contain_text("Nothing measured yet.")
    field(page, "depths").fill("0, 16")
    measure(page)
    finished(page)
    expect(page.locator(".sp-table:not(.levels) thead th")).to_have_text(
        [
            "Varianton engine",
            "Weights",
            "Prefilltok/s · 8 tokens",
            "Decodetok/s · 5 tokens",
            "Decodetok/s · 5 tokens after 16",
            "MBUof the bandwidth",
        ]
    )
    reference, nf4 = row(page, 0), row(page, 1)
    expect(reference.locator("th")).to_contain_text("BF16referencetransformersfake kernel")
    expect(reference.locator("td b")).to_have_text(["200", "100", "100", "28%"])
    expect(nf4.locator("td b")).to_have_text(["200", "200", "200", "22%"])
    expect(reference.locator("td").nth(1)).to_contain_text("± 0.00")
    expect(page.locator("p.said")).to_have_text(
        "nf4 in transformers is the fastest here: 200 tok/s, 2.00× BF16 in transformers."
    )
    expect(page.locator(".sp-plots .keys")).to_contain_text("limit of this memory, 100.0 GB/s")
    page.locator(".sp-plots figure").first.scroll_into_view_if_needed()
    points = page.locator(".sp-plots .role-mark [aria-label]")
    expect(points).to_have_count(4)
    words = points.evaluate_all("nodes => nodes.map((node) => node.getAttribute('aria-label'))")
    assert any(
        "BF16 in transformers: 100 ± 0.00 tok/s, 280 MB per token, 28% of the limit of 357 tok/s" in w for w in words
    )
    points.last.hover()
    expect(page.locator(".pg-tip")).to_contain_text("% of the limit of")
    reference.locator(".mbu").hover()
    expect(page.locator(".pg-tip")).to_contain_text("28.0 GB per second of the 100.0 GB")
    with page.expect_download() as got:
        page.get_by_role("button", name="Download as CSV").click()
    got.value.save_as(tmp_path / "speed.csv")
    with (tmp_path / "speed.csv").open() as file:
        tests = [(line["address"], line["test"]) for line in csv.DictReader(file)]
    assert tests == [
        (f"{name}@transformers", test) for name in ("fake", "fake:nf4") for test in ("pp8", "tg5", "tg5 @ d16")
    ]
    with page.expect_download() as got:
        page.get_by_role("button", name="Download as JSON").click()
    got.value.save_as(tmp_path / "speed.json")
    assert len(json.loads((tmp_path / "speed.json").read_text())) == 6


def test_the_sweep_is_drawn_and_listed(open_speed: Callable[..., Page]) -> None:
    page = open_speed(Several(scripts()))
    tick(page, "nf4 in transformers").click()
    field(page, "concurrency").fill("1, 2")
    expect(page.locator(".sp-sum")).to_have_text("1 variant · 17 generations and 1 load: 18 steps")
    measure(page)
    finished(page)
    expect(page.locator(".levels tbody tr")).to_have_count(3)
    expect(page.locator(".levels tbody tr").nth(2).locator("td").first).to_have_text("2")
    for figure in page.locator(".sp-plots figure").filter(has_text="requests at once").all():
        figure.scroll_into_view_if_needed()
        expect(figure.locator(".role-mark [aria-label]")).to_have_count(2)


def test_stop_keeps_what_is_measured_and_ends_the_engine(open_speed: Callable[..., Page]) -> None:
    engine = Several(scripts(**{"fake:nf4_AT_transformers": Script(tokens=MANY, hold_at=2)}))
    page = open_speed(engine)
    measure(page)
    expect(page.locator(".sp-stage")).to_contain_text("nf4 in transformersdecode of 5 tokens: warm-up")
    expect(page.locator(".sp-stage .much")).to_have_text("step 12 of 14 · nearly done")
    expect(tick(page, "BF16 in transformers")).to_be_disabled()
    page.get_by_role("button", name="Stop", exact=True).click()
    finished(page)
    expect(page.locator("#pg-speed-result")).to_contain_text("Stopped. What was measured until then stays.")
    expect(row(page, 0).locator("td b").nth(1)).to_have_text("100")
    until(lambda: not engine.active)


def test_closing_the_browser_tab_ends_the_measurement(open_speed: Callable[..., Page]) -> None:
    engine = Several(scripts(fake_AT_transformers=Script(tokens=MANY, hold_at=2)))
    page = open_speed(engine)
    measure(page)
    expect(page.locator(".sp-stage")).to_contain_text("decode of 5 tokens: warm-up")
    until(lambda: engine.active)
    page.goto("about:blank")
    until(lambda: not engine.active)


def test_a_reload_keeps_the_form_and_goes_on_with_the_measurement(
    open_speed: Callable[..., Page], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "LEFT_S", 4.0)  # a busy machine reloads slowly
    engine = Several(scripts(fake_AT_transformers=Script(tokens=MANY, hold_at=2)))
    page = open_speed(engine)
    tick(page, "nf4 in transformers").click()
    measure(page)
    expect(page.locator(".sp-stage")).to_contain_text("decode of 5 tokens: warm-up")
    page.reload()
    expect(page.locator(".sp-stage")).to_contain_text("decode of 5 tokens: warm-up")
    expect(tick(page, "nf4 in transformers")).not_to_be_checked()
    expect(field(page, "output_tokens")).to_have_value("5")
    page.wait_for_timeout(4500)
    assert engine.active, "a reload is no closed page"
    engine.go.set()
    finished(page)
    expect(row(page, 0)).to_contain_text("BF16")
    page.reload()
    finished(page)
    expect(row(page, 0)).to_contain_text("BF16")


def test_a_new_session_shows_the_newest_measurement(open_speed: Callable[..., Page], visit: Visit) -> None:
    page = open_speed(Several(scripts()))
    measure(page)
    finished(page)
    other = visit(page.url.split("#")[0])
    other.get_by_role("link", name="Speed", exact=True).click()
    expect(other.locator("#pg-speed-result")).to_contain_text("The last measurement of this model")
    expect(row(other, 0)).to_contain_text("BF16")


def test_what_cannot_run_is_a_row_with_its_reason_and_the_rest_goes_on(open_speed: Callable[..., Page]) -> None:
    error = OutOfMemory("fake needs 4.2 GB, 3.1 are free.", hint="Close other programs.")
    page = open_speed(Several(scripts(fake_AT_transformers=Script(load_error=error))))
    measure(page)
    finished(page)
    expect(page.locator(".bad")).to_contain_text("4.2 GB")
    expect(page.locator(".sp-table .words b")).to_have_text(["nf4"])


def test_an_engine_that_is_not_here_says_why_and_a_bad_number_is_refused(open_speed: Callable[..., Page]) -> None:
    page = open_speed(Several(scripts()))
    expect(page.locator(".sp-absent")).to_have_text("vLLM: vLLM is not installed (make vllm)")
    field(page, "depths").fill("many")
    measure(page)
    expect(page.locator(".sp-trouble")).to_contain_text("depths is 'many'. Allowed: a list of whole numbers.")
    expect(page.get_by_role("button", name="Measure", exact=True)).to_be_enabled()
    for name in ("BF16 in transformers", "nf4 in transformers"):
        tick(page, name).click()
    expect(page.get_by_role("button", name="Measure", exact=True)).to_be_disabled()


def test_a_name_stays_text(
    open_speed: Callable[..., Page], monkeypatch: pytest.MonkeyPatch, serve: Serve, visit: Visit
) -> None:
    engine = Several({f"evil@{name}": Script(tokens=MANY, step_s=0.001) for name in ("transformers", "llamacpp")})
    engine.scripts["evil@llamacpp"].load_error = OutOfMemory(EVIL, hint=EVIL)
    page = open_speed(engine)
    evil = replace(models.variants("fake")[0], id="evil", model="evil", label=EVIL, source=EVIL)
    monkeypatch.setattr(models, "variants", lambda _: [evil])
    monkeypatch.setattr(models, "describe", lambda _: EVIL)
    page.get_by_role("combobox", name="Model", exact=True).last.fill("evil")
    page.get_by_role("combobox", name="Model", exact=True).last.press("Enter")
    expect(page.locator(".sp-matrix .what b")).to_have_text([EVIL])
    tick(page, f"{EVIL} in llama.cpp").click()
    field(page, "concurrency").fill("1")
    measure(page)
    finished(page)
    expect(page.locator(".sp-table .words b").first).to_have_text(EVIL)
    expect(page.locator(".bad")).to_contain_text(EVIL)
    expect(page.locator("p.said")).to_contain_text(EVIL)
    page.locator(".sp-plots figure").first.scroll_into_view_if_needed()
    page.locator(".sp-plots .role-mark [aria-label]").first.hover()
    expect(page.locator(".pg-tip")).to_contain_text(EVIL)
    assert page.locator("#pg-speed img, .pg-tip img").count() == 0


def test_changing_the_page_leaves_a_comparison_alone(open_speed: Callable[..., Page]) -> None:
    engine = Several({**scripts(), "fake": Script(hold_at=3), "fake:nf4": Script(hold_at=3)})
    page = open_speed(engine)
    page.get_by_role("link", name="Compare", exact=True).click()
    page.locator("#pg-prompt textarea").fill("Hi")
    page.locator("#pg-run").click()
    expect(page.locator("#pg-slot-0 .toks")).to_have_text("Gravity is a")
    page.get_by_role("link", name="Speed", exact=True).click()
    expect(page.locator("#pg-composer")).to_be_hidden()
    until(lambda: len(engine.active) == 2)
    page.keyboard.press("Escape")
    assert len(engine.active) == 2, "Esc on this page is not Stop of the other one"
    page.go_back()
    engine.go.set()
    expect(page.locator("#pg-slot-0 .status")).to_have_text("12 tokens · finished (end-of-text token)")


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_a_phone_shows_everything_without_scrolling_sideways(open_speed: Callable[..., Page], colours: str) -> None:
    page = open_speed(Several(scripts()), width=390, height=844, colours=colours)
    tick(page, "nf4 in transformers").click()
    field(page, "concurrency").fill("1, 2")
    measure(page)
    finished(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.locator(".sp-plots figure").first.scroll_into_view_if_needed()
    for part in ("p.said", ".sp-table td[data-name]", ".sp-plots svg", ".levels", ".sp-go"):
        box = page.locator(part).first.bounding_box()
        assert box and box["x"] >= 0 and box["x"] + box["width"] <= 390, part
