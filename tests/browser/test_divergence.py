"""The divergence in the Compare tab in Chromium: colours, both lists, the note, stop and measure again."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from playground.errors import EngineDied
from tests.browser.test_compare import CLEAR, TEXT, answer, finished, pane, run
from tests.fakes.engine import GRAVITY, FakeEngine, Script
from tests.fakes.rows import until

pytestmark = pytest.mark.browser
Serve = Callable[[FakeEngine], str]
Visit = Callable[..., Page]
FRAMES = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
ODD = [*GRAVITY[:3], " odd", " ending"]


def coloured(page: Page, slot: int, token: int, why: str = "") -> None:
    expect(answer(page, slot).locator(".tk").nth(token), why).not_to_have_css("background-color", CLEAR)


def plain(page: Page, slot: int, token: int, why: str) -> None:
    expect(answer(page, slot).locator(".tk").nth(token), why).to_have_css("background-color", CLEAR)


def test_tokens_are_coloured_by_divergence_and_the_tooltip_has_both_lists(serve: Serve, visit: Visit) -> None:
    page = visit(serve(FakeEngine({"fake:nf4": Script(tokens=ODD)})))
    run(page)
    finished(page)
    note = pane(page, 1).locator(".measured")
    expect(note).to_contain_text("Mean KLD 0.31 nats, same top token 58% on BF16’s 12 tokens, this prompt only.")
    expect(page.locator(".outcome .caveats")).to_contain_text("Mean KLD 0.31 nats, same top token 58%")
    expect(page.locator(".outcome .caveats")).to_contain_text("this prompt only")
    expect(page.locator(".ratio", has_text="mean KLD, nats").locator("b")).to_have_text("0.31")
    expect(pane(page, 1).locator(".why .note")).to_contain_text(
        "Token 4: BF16 chose “fundamental” (99%); nf4 chose “odd”"
    )

    page.get_by_role("radio", name="time").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("radio", name="divergence")).to_have_attribute("aria-checked", "true")
    expect(page.locator(".scale")).to_have_text("01.2 nats or more")
    coloured(page, 0, 4, "1.2 nats")
    plain(page, 0, 3, "0 nats")
    coloured(page, 1, 1, "the same context as the reference")
    plain(page, 1, 4, "another context")

    answer(page, 0).locator(".tk").nth(4).hover()
    tip = page.locator(".pg-tip")
    expect(tip).to_contain_text("KLD 1.2 nats · this token: BF16 62%, nf4 40%")
    expect(tip.locator(".side")).to_have_text(["BF16", "nf4"])
    expect(tip.locator(".top").nth(0).locator(".alt")).to_have_count(3)
    expect(tip.locator(".top").nth(1).locator(".w")).to_have_text([" the", " a", "<b>"])
    expect(tip.locator(".top").nth(1).locator(".s").first).to_have_text("55%")
    answer(page, 1).locator(".tk").nth(4).hover()
    expect(tip).to_contain_text("Not compared")
    pane(page, 0).locator(".body").focus()
    page.keyboard.press("ArrowRight")
    expect(tip).to_contain_text("KLD 0.010 nats")


def test_with_several_variants_one_of_them_colours_the_reference(serve: Serve, visit: Visit) -> None:
    page = visit(serve(FakeEngine({"fake:int8": Script(kld=(0.0,))})))
    page.locator("#pg-add").click()
    expect(pane(page, 2).locator("h2.label")).to_have_text("int8")
    run(page)
    finished(page)
    expect(pane(page, 2).locator(".measured")).to_contain_text("Mean KLD 0 nats, same top token 100%")
    pane(page, 1).get_by_role("button", name="Colour tokens by divergence").click()
    coloured(page, 0, 4)
    page.get_by_label("Colour the reference’s tokens by the divergence of").select_option("int8")
    plain(page, 0, 4, "it diverges nowhere")
    coloured(page, 1, 4, "every variant keeps its own")


def test_measuring_never_holds_up_a_run_and_can_be_stopped_and_begun_again(serve: Serve, visit: Visit) -> None:
    engine = FakeEngine({"fake:nf4": Script(force_hold_at=3)})
    page = visit(serve(engine))
    run(page)
    note = pane(page, 1).locator(".measured")
    expect(note).to_contain_text("Measuring the divergence")
    expect(page.locator("#pg-run")).to_be_enabled()
    expect(page.locator(".outcome .caveats")).to_contain_text("Measuring the divergence")
    run(page, "And then?")
    expect(pane(page, 1).locator(".user")).to_have_count(2)
    expect(note).to_contain_text("Measuring the divergence")
    expect(answer(page, 1)).to_have_text(TEXT)
    note.get_by_role("button", name="Stop measuring").click()
    expect(note).to_contain_text("on the first 3 of BF16’s 12 tokens")
    expect(note).to_contain_text("It was stopped.")
    engine.go.set()
    note.get_by_role("button", name="Measure again").click()
    expect(note).to_contain_text("on BF16’s 12 tokens")
    expect(answer(page, 1)).to_have_text(TEXT)
    until(lambda: not engine.active)


def test_an_engine_killed_while_it_measures_is_an_error_in_place(serve: Serve, visit: Visit) -> None:
    attack = "<img src=x onerror=alert(1)>"
    engine = FakeEngine({"fake:nf4": Script(force_error=EngineDied(attack, hint="Run again."), force_error_at=0)})
    page = visit(serve(engine))
    run(page)
    note = pane(page, 1).locator(".measured")
    expect(note).to_contain_text(f"{attack} Run again.")
    for slot in (0, 1):
        expect(answer(page, slot)).to_have_text(TEXT)
        expect(pane(page, slot)).to_have_attribute("data-state", "done")
    assert page.locator("img[src=x]").count() == 0
    engine.scripts["fake:nf4"] = Script()
    note.get_by_role("button", name="Measure", exact=True).click()
    expect(note).to_contain_text("Mean KLD 0.31 nats")


def test_on_a_phone_nothing_overflows(serve: Serve, visit: Visit) -> None:
    page = visit(serve(FakeEngine({"fake:nf4": Script(tokens=ODD)})), width=390, height=844)
    run(page)
    finished(page)
    pane(page, 1).get_by_role("button", name="Colour tokens by divergence").click()
    token = answer(page, 0).locator(".tk").nth(4)
    token.scroll_into_view_if_needed()
    page.evaluate(FRAMES)  # scrolling closes a tip, and is told to the page in the next frame
    token.click()
    expect(page.locator(".pg-tip .side")).to_have_count(2)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    tip = page.locator(".pg-tip").bounding_box()
    assert tip and tip["x"] >= 0 and tip["x"] + tip["width"] <= 390
    ratios = page.locator(".outcome .ratio").last.bounding_box()
    assert ratios and ratios["x"] + ratios["width"] <= 390
