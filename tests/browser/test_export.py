"""An exported page in a browser, from the disk and without a network: nothing is asked for, nothing fails, nothing runs
that somebody wrote into a prompt, a title, a label or a note.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from playground import formatting
from playground.runs import export
from playground.store.schema import Run
from tests.fakes import exported_runs
from tests.runs.conftest import RUNS
from tests.runs.test_export import EVIL, evil

pytestmark = pytest.mark.browser
Open = Callable[..., Page]


@pytest.fixture
def opened(chromium: Browser, tmp_path: Path) -> Iterator[Open]:
    """`opened(run)` writes the page and opens it; whatever it asks for or complains of is a failure."""
    pages: list[Page] = []
    noise: list[str] = []

    def open_page(run: Run, width: int = 1440, colours: str = "light", **said: str) -> Page:
        file = export.write(run, tmp_path / f"{run.kind}-{len(pages)}.html", **said)
        context = chromium.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=colours,  # type: ignore[arg-type]
            offline=True,
        )
        page = context.new_page()
        page.on("console", lambda message: noise.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: noise.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (noise.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda request: None if request.url == file.as_uri() else noise.append(request.url))
        pages.append(page)
        page.goto(file.as_uri())
        return page

    yield open_page
    for page in pages:
        page.context.close()
    assert not noise


@pytest.mark.parametrize("kind", list(RUNS))
def test_it_opens_from_the_disk_and_fits(home: Path, opened: Open, kind: str) -> None:
    run = RUNS[kind]()
    for width, colours in ((1440, "light"), (390, "dark")):
        page = opened(run, width, colours)
        expect(page.locator("h1")).to_have_text(run.title)
        expect(page.locator(".verdict .said").first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it does not scroll sideways"
        dark = page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == "rgb(15, 17, 21)"
        assert dark == (colours == "dark")
        drawn = page.locator(".figures svg:visible")
        assert drawn.count() == page.locator("figure").count() > 0, "each plot once, for this width"
        assert drawn.first.bounding_box()["width"] > 200  # type: ignore[index]


@pytest.mark.parametrize("kind", list(RUNS))
def test_what_somebody_wrote_is_text(home: Path, opened: Open, kind: str) -> None:
    page = opened(evil(RUNS[kind]()), title=EVIL, note=EVIL)
    expect(page.locator("h1")).to_have_text(EVIL)
    expect(page.locator(".note")).to_have_text(EVIL)
    assert page.locator("img, script").count() == 1 and page.title() == EVIL
    if kind == "comparison":
        expect(page.locator(".turn .text")).to_have_text(EVIL)
        expect(page.locator(".pane h2").first).to_contain_text(EVIL)
        page.locator(".tk").nth(3).hover()
        expect(page.locator(".tip")).to_contain_text("onerror=alert(1)")


def test_a_comparison_is_watched_again_with_its_timings(home: Path, opened: Open) -> None:
    run = exported_runs.comparison()
    page = opened(run)
    texts = ["".join(token["text"] for token in pane["tokens"]) for pane in run.result["panes"]]
    for number, text in enumerate(texts):
        expect(page.locator(".answer").nth(number)).to_have_text(text)
    end = max(pane["tokens"][-1]["time_s"] for pane in run.result["panes"])
    page.evaluate(
        """() => { window.seen = [];
        const look = () => { const shown = parseFloat(document.querySelector('.clock').textContent);
          if (shown > 0) seen.push([shown, ...[...document.querySelectorAll('.answer')].map(
            (one) => one.querySelectorAll('.tk:not(.wait)').length)]);
          requestAnimationFrame(look); };
        look(); }"""
    )
    page.get_by_role("button", name="4×").click()
    expect(page.locator("html")).to_have_attribute("data-replaying", "")
    expect(page.locator("html")).not_to_have_attribute("data-replaying", "", timeout=20_000)
    expect(page.locator(".clock")).to_have_text(f"{end:.1f} s")
    expect(page.locator(".tk.wait")).to_have_count(0)
    watched = page.evaluate("window.seen")
    for shown, *counts in watched:
        for count, pane in zip(counts, run.result["panes"], strict=True):
            times = [token["time_s"] for token in pane["tokens"]]
            least, most = (sum(one <= shown + by for one in times) for by in (-0.06, 0.06))  # the clock has one digit
            assert least <= count <= most, f"{count} tokens at {shown} s"
    assert len({tuple(counts) for _, *counts in watched}) > 3, "they came one after the other"


def test_tokens_tell_what_is_known_of_them(home: Path, opened: Open) -> None:
    run = exported_runs.comparison()
    page = opened(run)
    token = run.result["panes"][1]["tokens"][5]
    page.locator(".answer").nth(1).focus()
    for _ in range(6):
        page.keyboard.press("ArrowRight")
    expect(page.locator(".tip")).to_contain_text(f"token 6{formatting.milliseconds(token['step_s'])} ms")
    page.keyboard.press("Escape")
    expect(page.locator(".tip")).to_be_hidden()
    colour = "getComputedStyle(document.querySelectorAll('.answer')[1].querySelectorAll('.tk')[5]).backgroundColor"
    seen = set()
    for name in ("time", "probability", "divergence", "off"):
        page.locator(".colours").get_by_text(name, exact=True).click()
        seen.add(page.evaluate(colour))
    assert len(seen) == 4, "each scale colours it otherwise"
    expect(page.locator(".scale:visible")).to_have_count(0)


def test_on_paper_the_answers_are_whole(home: Path, opened: Open) -> None:
    page = opened(exported_runs.comparison())
    page.emulate_media(media="print")
    assert page.locator(".replay, .colours").first.is_hidden()
    answer = page.locator(".answer").first
    assert answer.evaluate("node => node.scrollHeight <= node.clientHeight + 1")
