"""The door of a page that others reach, in Chromium: who one is, a wrong token, the right one, and out again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.fakes import catalog
from tests.fakes.engine import FakeEngine
from tests.fakes.site import serving

pytestmark = pytest.mark.browser
Visit = Callable[..., Page]
TOKEN = "a-token-of-the-owner-0123456789"


@pytest.fixture
def url(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    catalog.install(monkeypatch)
    monkeypatch.setenv("PLAYGROUND_OWNER_TOKEN", TOKEN)
    with serving(FakeEngine(), host="0.0.0.0") as served:  # noqa: S104
        yield f"http://127.0.0.1:{httpx.URL(served).port}"


def test_a_visitor_runs_what_is_offered_and_the_owner_logs_in_and_out(url: str, visit: Visit) -> None:
    page = visit(url)
    page.locator("#pg-prompt textarea").fill("Hi")
    page.keyboard.press("Enter")
    expect(page.locator("#pg-slot-1")).to_contain_text("masses together")
    page.locator("#pg-model-pick input").fill("/etc")
    page.keyboard.press("Enter")
    expect(page.locator("#pg-notice")).to_contain_text("'/etc' is not offered")
    dialog = page.get_by_role("dialog")
    door = page.get_by_role("button", name="Log in", exact=True).first
    door.press("Enter")
    expect(dialog.get_by_role("heading")).to_have_text("You are a visitor")
    expect(dialog).to_contain_text("compare variants of fake: up to 256 tokens an answer")
    expect(dialog).to_contain_text("6 runs per minute, 60 per hour")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(door).to_be_focused()
    door.click()
    field = dialog.get_by_label("Owner’s token")
    field.fill("not the token")
    page.keyboard.press("Enter")
    expect(dialog).to_contain_text("That is not the owner’s token.")
    field.fill(TOKEN)
    page.keyboard.press("Enter")
    owner = page.get_by_role("button", name="Owner", exact=True)
    expect(owner).to_be_visible()
    assert TOKEN not in page.url and TOKEN not in page.content()
    cookies = page.context.cookies()
    assert [(one["name"], one["httpOnly"], one["sameSite"]) for one in cookies] == [
        ("playground_owner", True, "Strict")
    ]
    page.locator("#pg-model-pick input").fill("/etc")
    page.keyboard.press("Enter")
    expect(page.locator("#pg-notice")).to_contain_text("There is no model '/etc'")
    owner.click()
    expect(dialog.get_by_role("heading")).to_have_text("You are the owner")
    dialog.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("button", name="Log in", exact=True).first).to_be_visible()


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_the_door_fits_a_phone(url: str, visit: Visit, colours: str) -> None:
    page = visit(url, width=390, height=844, colours=colours)
    page.get_by_role("button", name="Log in", exact=True).first.click()
    dialog = page.get_by_role("dialog")
    box = dialog.bounding_box()
    assert box and box["x"] >= 0 and box["x"] + box["width"] <= 390 and box["y"] + box["height"] <= 844
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert dialog.evaluate("node => node.scrollWidth <= node.clientWidth")


def test_a_page_of_ones_own_has_no_door(home: Path, monkeypatch: pytest.MonkeyPatch, visit: Visit) -> None:
    catalog.install(monkeypatch)
    with serving(FakeEngine()) as served:
        page = visit(served)
        page.wait_for_function("document.documentElement.dataset.role === 'owner'")
        expect(page.get_by_role("button", name="Log in", exact=True)).to_have_count(0)
        expect(page.get_by_role("button", name="Owner", exact=True)).to_have_count(0)


def test_markup_that_got_in_would_still_run_nothing(url: str, visit: Visit) -> None:
    """What the policy holds when everything else failed: no handler in an attribute, nothing from elsewhere."""
    page = visit(url)
    blocked: list[str] = page.evaluate(
        """async () => {
          const seen = [];
          document.addEventListener('securitypolicyviolation', (e) => seen.push(e.effectiveDirective));
          const box = document.createElement('div');
          box.innerHTML = '<img src=x onerror="window.pwned = 1">';
          document.body.append(box);
          const script = document.createElement('script');
          script.src = 'http://127.0.0.1:9/x.js';
          document.body.append(script);
          await fetch('http://127.0.0.1:9/stolen').catch(() => {});
          await new Promise((done) => setTimeout(done, 300));
          return window.pwned ? ['it ran'] : seen;
        }"""
    )
    assert {"script-src-attr", "connect-src"} <= set(blocked) and any("script-src-elem" in one for one in blocked)
