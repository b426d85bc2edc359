"""A page that others reach, in Chromium: what visitors see, a wrong token, the right one, and out again."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

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
    links = page.get_by_role("navigation", name="Pages").get_by_role("link")
    expect(links).to_have_text(["Compare"])
    expect(page.locator("#pg-composer")).to_contain_text("256 tokens per answer")
    page.get_by_label("Prompt", exact=True).fill("Hi")
    page.keyboard.press("Enter")
    expect(page.locator("#pg-slot-1")).to_contain_text("masses together")
    dialog = page.locator(".door")  # within the dialog
    door = page.get_by_role("button", name="Log in", exact=True).first
    door.press("Enter")
    expect(page.get_by_role("dialog", name="You are a visitor")).to_be_visible()
    expect(dialog).to_contain_text("compare variants of fake")
    expect(dialog).to_contain_text("up to 256 tokens per answer")
    expect(dialog).to_contain_text("12 answers per minute, 120 per hour")
    expect(dialog).not_to_contain_text("0.0.0.0")  # noqa: S104
    expect(dialog).not_to_contain_text("command line")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(door).to_be_focused()
    door.click()
    field = dialog.get_by_label("Owner’s token")
    expect(field).to_be_focused()
    field.fill("not the token")
    page.keyboard.press("Enter")
    expect(dialog.get_by_role("alert")).to_contain_text("That is not the owner’s token.")
    field.fill(TOKEN)
    page.keyboard.press("Enter")
    owner = page.get_by_role("button", name="Owner", exact=True)
    expect(owner).to_be_visible()
    expect(links).to_have_text(["Compare", "Quantize", "Evaluate", "Speed", "Runs", "Reviews"])
    assert TOKEN not in page.url and TOKEN not in page.content()
    cookies = page.context.cookies()
    assert [(one["name"], one["httpOnly"], one["sameSite"]) for one in cookies] == [
        ("playground_owner", True, "Strict")
    ]
    owner.click()
    expect(page.get_by_role("dialog", name="You are the owner")).to_be_visible()
    dialog.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("button", name="Log in", exact=True).first).to_be_visible()
    expect(links).to_have_text(["Compare"])


def test_the_owners_pages_say_so_and_open_the_login(url: str, visit: Visit) -> None:
    page = visit(url)
    page.evaluate("location.hash = '#reviews'")
    reviews = page.locator("#pg-reviews")
    expect(reviews).to_contain_text("This is available to the owner only.")
    expect(reviews.get_by_role("textbox")).to_have_count(0)
    reviews.get_by_role("button", name="Log in").click()
    expect(page.locator(".door").get_by_label("Owner’s token")).to_be_visible()


def test_who_may_only_look_is_told_what_this_is(url: str, chromium: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAYGROUND_PUBLIC", "view")
    page = chromium.new_page()
    page.goto(url)
    welcome = page.locator("#pg-welcome")
    expect(welcome).to_contain_text("Links to results and to reviews open without a login.")
    expect(page.get_by_role("navigation", name="Pages").get_by_role("link")).to_have_count(0)
    assert not re.search(r"0\.0\.0\.0|python -m|PLAYGROUND_", page.inner_text("body"))
    page.evaluate("location.hash = '#compare'")
    expect(welcome).to_be_visible()
    welcome.get_by_role("button", name="Log in").click()
    page.locator(".door").get_by_label("Owner’s token").fill(TOKEN)
    page.keyboard.press("Enter")
    expect(page.locator("#pg-slot-0 h2.label")).to_have_text("BF16")
    page.close()


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_the_door_fits_a_phone(url: str, visit: Visit, colours: str) -> None:
    page = visit(url, width=390, height=844, colours=colours)
    page.get_by_role("button", name="Log in", exact=True).first.click()
    expect(page.get_by_label("Owner’s token")).to_be_focused()
    box = page.get_by_role("dialog").bounding_box()
    assert box and box["x"] >= 0 and box["x"] + box["width"] <= 390 and box["y"] + box["height"] <= 844
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.locator(".door").evaluate("node => node.scrollWidth <= node.clientWidth")


def test_a_page_of_ones_own_has_no_door(home: Path, monkeypatch: pytest.MonkeyPatch, visit: Visit) -> None:
    catalog.install(monkeypatch)
    with serving(FakeEngine()) as served:
        page = visit(served)
        expect(page.locator("html")).to_have_attribute("data-role", "owner")
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
          const expected = ['script-src-attr', 'script-src-elem', 'connect-src'];
          for (let n = 0; n < 100 && !expected.every((one) => seen.some((said) => said.includes(one))); n += 1) {
            await new Promise((done) => setTimeout(done, 50));
          }
          return window.pwned ? ['it ran'] : seen;
        }"""
    )
    assert {"script-src-attr", "connect-src"} <= set(blocked) and any("script-src-elem" in one for one in blocked)
