"""A variant to the hub from its card, in Chromium: the app, the upload and the hub's protocol are real."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from playground.quantize import board
from playground.store.schema import StoredVariant
from tests.fakes.engine import FakeEngine
from tests.fakes.hub import Hub
from tests.fakes.queue import FakeQueue
from tests.fakes.site import serving
from tests.fakes.variants import made

pytestmark = pytest.mark.browser
TOKEN = "hf_secretSecretSecretSecret"
EVIL = "<img src=x onerror=alert(1)>"
Open = Callable[..., Page]


@pytest.fixture
def hub(hub: Hub) -> Hub:
    hub.writes.tokens = {TOKEN: ("me",)}
    return hub


@pytest.fixture
def variant(hub: Hub) -> StoredVariant:
    return made()


@pytest.fixture
def open_card(variant: StoredVariant, chromium: Browser) -> Iterator[Open]:
    """The Quantize page with the card open. No script may fail."""
    broken: list[str] = []
    pages: list[Page] = []
    with serving(FakeEngine(), queue=FakeQueue()) as url:

        def opened(width: int = 1440, height: int = 900, colours: str = "light") -> Page:
            context = chromium.new_context(viewport={"width": width, "height": height}, color_scheme=colours)  # type: ignore[arg-type]
            page = context.new_page()
            page.on("pageerror", lambda error: broken.append(str(error)))
            page.on("dialog", lambda dialog: (broken.append(f"dialog: {dialog.message}"), dialog.dismiss()))
            page.goto(f"{url}#quantize")
            pages.append(page)
            page.get_by_role("button", name="Push to the hub").click()
            return page

        yield opened
        for page in pages:
            page.context.close()
    assert not broken, f"the page broke: {broken}"


def box(page: Page) -> Locator:
    return page.locator(".qz-push")


def fill(page: Page, name: str = "me/tiny", token: str = TOKEN) -> None:
    box(page).get_by_label("Repository").fill(name)
    box(page).get_by_label("Hugging Face token").fill(token)


def submit(page: Page) -> None:
    page.get_by_role("button", name="Push 1 MB").click()


def test_from_the_form_to_the_hub(open_card: Open, hub: Hub, home: Path) -> None:
    page = open_card()
    sent: list[str] = []
    page.on("request", lambda request: sent.append(f"{request.url} {request.post_data or ''}"))
    expect(box(page).get_by_label("Repository")).to_be_focused()
    box(page).get_by_label("Repository").fill("me/tiny")
    page.get_by_role("button", name="Preview the card").click()
    expect(box(page).locator("pre")).to_contain_text("base_model: HuggingFaceTB/SmolLM2-135M-Instruct")
    expect(box(page).locator("pre")).to_contain_text("vllm serve me/tiny")
    expect(box(page)).to_contain_text("3 files, 1 MB: README.md, model.safetensors, recipe.yaml")
    submit(page)
    expect(box(page).locator(".pg-notice")).to_contain_text("A Hugging Face token is needed.")
    box(page).get_by_label("Hugging Face token").fill(TOKEN)
    hub.writes.pause_s = 0.25
    submit(page)
    expect(box(page).locator(".qz-push-top b")).to_have_text("Uploading", timeout=40_000)
    expect(box(page).locator(".qz-push-top")).to_contain_text("of 1 MB")
    expect(box(page).get_by_label("Hugging Face token")).to_have_value("")
    expect(box(page).locator(".pg-notice.good")).to_have_text(
        re.compile(r"On the hub: me/tiny \(private\), commit [0-9a-f]{7}\."), timeout=40_000
    )
    expect(box(page).locator("form")).to_be_hidden()
    expect(box(page).get_by_role("link")).to_have_attribute("href", f"{hub.url}/me/tiny")
    assert "model.safetensors" in hub.repos["me/tiny"].files and hub.repos["me/tiny"].private
    assert TOKEN not in page.content()
    assert len([one for one in sent if TOKEN in one]) == 1, "one request, to push, had it"
    assert not [path for path in home.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]


def test_a_card_that_is_drawn_again_keeps_the_form(open_card: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its estimate comes when the machine has been measured, whenever that is."""
    page = open_card()
    fill(page)
    expect(page.locator(".qz-card")).not_to_contain_text("against the estimate")
    came = {"after": 1_234, "seconds": (60, 120), "peak": (1, 2)}
    monkeypatch.setattr(board, "_estimate", lambda row: came)
    expect(page.locator(".qz-card")).to_contain_text("against the estimate", timeout=30_000)
    expect(box(page).get_by_label("Hugging Face token")).to_have_value(TOKEN)
    expect(box(page).get_by_label("Repository")).to_be_visible()


def test_stop_and_push_again(open_card: Open, hub: Hub) -> None:
    page = open_card()
    hub.writes.faults["storage"] = "hang"
    fill(page)
    submit(page)
    page.get_by_role("button", name="Stop pushing").click(timeout=40_000)
    expect(box(page)).to_contain_text("Stopped before the commit", timeout=40_000)
    hub.writes.faults.clear()
    hub.writes.released.set()
    box(page).get_by_label("Hugging Face token").fill(TOKEN)
    submit(page)
    expect(box(page).locator(".pg-notice.good")).to_contain_text("On the hub: me/tiny", timeout=40_000)


def test_what_goes_wrong_has_a_way_out(open_card: Open, hub: Hub) -> None:
    page = open_card()
    fill(page, name=f"me/{EVIL}")
    submit(page)
    expect(box(page).locator(".pg-notice")).to_contain_text(f"'me/{EVIL}' is not a repository name.")
    assert page.locator("#pg-quantize img").count() == 0
    fill(page, token="hf_wrong")
    submit(page)
    expect(box(page).locator(".pg-notice")).to_contain_text("The hub does not know this token.", timeout=40_000)
    hub.add("me/tiny", {"old.bin": b"old"}, private=True)
    box(page).get_by_label("Hugging Face token").fill(TOKEN)
    submit(page)
    expect(box(page).locator(".pg-notice")).to_contain_text("holds files", timeout=40_000)
    expect(box(page).get_by_label("Repository")).to_have_value("me/tiny")
    page.get_by_label("Replace the files that are there").check()
    box(page).get_by_label("Hugging Face token").fill(TOKEN)
    submit(page)
    expect(box(page).locator(".pg-notice.good")).to_contain_text("On the hub: me/tiny", timeout=40_000)
    assert "old.bin" not in hub.repos["me/tiny"].files


def test_escape_closes_the_form_and_forgets_the_token(open_card: Open) -> None:
    page = open_card()
    fill(page)
    page.keyboard.press("Escape")
    expect(box(page)).to_be_hidden()
    expect(page.get_by_role("button", name="Push to the hub")).to_be_focused()
    page.get_by_role("button", name="Push to the hub").click()
    expect(box(page).get_by_label("Hugging Face token")).to_have_value("")


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_a_phone_shows_the_form_and_the_card(open_card: Open, colours: str) -> None:
    page = open_card(width=390, height=844, colours=colours)
    page.get_by_role("button", name="Preview the card").click()
    expect(box(page).locator("pre")).to_contain_text("OWNER/NAME")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for part in (".qz-push-form input", ".qz-push pre", ".qz-push .qz-acts", ".qz-tick"):
        found = page.locator(part).first.bounding_box()
        assert found and found["x"] >= 0 and found["x"] + found["width"] <= 390, part
