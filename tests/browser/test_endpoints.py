"""The endpoints panel in Chromium, against real servers that behave and that do not."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, Request, Response, expect

from playground.compare import endpoints as compare_endpoints
from playground.models import endpoints as models_endpoints
from playground.models.endpoints import Endpoint
from tests.fakes import catalog, endpoint
from tests.fakes.endpoint import WithRemote
from tests.fakes.engine import FakeEngine
from tests.fakes.openai_server import MODEL
from tests.fakes.site import serving

pytestmark = pytest.mark.browser
Visit = Callable[..., Page]
Start = Callable[..., str]
KEY = "sk-never-to-be-seen-again-0123456789"
EVIL = "<img src=x onerror=alert(1)>"


@pytest.fixture
def start() -> Iterator[Start]:
    """`start(mode, key)` is the address of a server that behaves like this."""
    with ExitStack() as running:
        yield lambda mode, key="": running.enter_context(endpoint.serving(mode, key))


@pytest.fixture
def opened(home: Path, monkeypatch: pytest.MonkeyPatch, visit: Visit) -> Iterator[Callable[..., Page]]:
    """`opened()` is the page with its panel open."""
    catalog.install(monkeypatch)
    endpoint.install(monkeypatch)
    with serving(WithRemote()) as url:

        def begin(**look: Any) -> Page:
            page = visit(url, **look)
            toggle(page).click()
            expect(panel(page)).to_be_visible()
            return page

        yield begin


def toggle(page: Page) -> Locator:
    return page.get_by_role("button", name="Endpoints", exact=True)


def panel(page: Page) -> Locator:
    return page.locator(".ep-door > div")


def button(page: Page, name: str) -> Locator:
    return panel(page).get_by_role("button", name=name, exact=True)


def row(page: Page, name: str) -> Locator:
    return panel(page).locator(".ep-row").filter(has=page.locator(".ep-name", has_text=re.compile(f"^{name}$")))


def enter(page: Page, name: str, url: str, **more: str) -> None:
    for field, value in {"name": name, "url": url, **more}.items():
        panel(page).locator(f"input[name={field}]").fill(value)
    button(page, "Add endpoint").click()


def answer(page: Page) -> Locator:
    return panel(page).locator(".ep-answer:not(.ep-why)")


def test_add_test_generate_and_remove(opened: Callable[..., Page], start: Start) -> None:
    page, url = opened(), start("ids", KEY)
    came: list[Response] = []
    sent: list[Request] = []
    page.on("response", lambda response: came.append(response))
    page.on("request", lambda request: sent.append(request) if KEY in (request.post_data or "") else None)
    expect(panel(page)).to_contain_text("None yet.")
    enter(page, "lab", url, model=MODEL, key=KEY)
    expect(answer(page)).to_have_text(f"lab is added: {url}/v1, key: set. Test it to see what it serves.")
    assert [one.url.split("/api/")[1] for one in sent] == ["compare/endpoints/add"], "once, and in no address"
    assert not [one for one in came if "/api/" in one.url and KEY in one.text()]
    assert KEY not in page.content() and not page.evaluate(
        "key => [...document.querySelectorAll('input')].some((one) => one.value.includes(key))", KEY
    )
    expect(row(page, "lab").locator(".ep-key")).to_have_text("key")

    button(page, "Test lab").click()
    expect(row(page, "lab").locator(".ep-said")).to_contain_text("Answers: 1 model.")
    expect(row(page, "lab").locator(".ep-said")).to_contain_text("context 2,048")
    button(page, f"Add as variant: @lab/{MODEL}").click()
    expect(panel(page)).to_be_hidden()
    expect(page.locator("#pg-slot-2 h2.label")).to_have_text("tiny-7B")
    page.locator("#pg-prompt textarea").fill("What is gravity?")
    page.locator("#pg-run").click()
    expect(page.locator("#pg-slot-2 .status")).to_contain_text("finished (end-of-text token)")
    expect(page.locator("#pg-slot-2 .toks")).to_have_text("Gravity is a force of nature, and it pulls.")
    expect(page.locator("#pg-slot-0 .status")).to_contain_text("finished (end-of-text token)")

    toggle(page).click()
    button(page, "Remove lab").click()
    expect(row(page, "lab")).to_contain_text("Remove lab and its key?")
    button(page, "Keep it").click()
    assert [one.name for one in models_endpoints.endpoints()] == ["lab"]
    button(page, "Remove lab").click()
    button(page, "Remove it").click()
    expect(answer(page)).to_have_text("lab is removed.")
    expect(panel(page)).to_contain_text("None yet.")
    assert models_endpoints.endpoints() == []


def test_the_pickers_offer_what_was_added(opened: Callable[..., Page], start: Start) -> None:
    page, url = opened(), start("ids")
    enter(page, "lab", url, model=MODEL)
    expect(answer(page)).to_contain_text("lab is added")
    page.keyboard.press("Escape")
    expect(panel(page)).to_be_hidden()
    expect(toggle(page)).to_be_focused()
    page.locator("#pg-variant-1 input").click()
    expect(page.locator("#pg-variant-1").get_by_role("option", name=f"@lab/{MODEL}")).to_be_visible()
    page.keyboard.press("Escape")
    page.locator("#pg-model-pick input").click()
    page.locator("#pg-model-pick").get_by_role("option", name=f"@lab/{MODEL}").click()
    expect(page.locator("#pg-slot-0 h2.label")).to_have_text("tiny-7B")
    expect(page.locator("#pg-origin")).to_have_text(f"endpoint lab ({url.removeprefix('http://')})")


@pytest.mark.parametrize(
    ("mode", "sentence"),
    [("401", "wants a key (401): Incorrect API key provided."), ("500", "failed (500): Internal [31m Server Error.")],
)
def test_what_a_server_refuses_is_a_sentence(
    opened: Callable[..., Page], start: Start, mode: str, sentence: str
) -> None:
    page = opened()
    enter(page, "lab", start(mode))
    button(page, "Test lab").click()
    expect(row(page, "lab").locator(".pg-notice.error")).to_contain_text(sentence)
    expect(button(page, "Test lab")).to_be_enabled()


def test_a_server_that_hangs_can_be_stopped_and_blocks_nothing(
    opened: Callable[..., Page], start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = opened()
    url = start("hang")
    enter(page, "lab", url)
    button(page, "Test lab").click()
    expect(row(page, "lab").locator(".ep-stage")).to_have_text(
        re.compile(rf"^Asking {re.escape(url.removeprefix('http://'))} · [1-9]\d* s$")
    )
    enter(page, "other", start("fine"))
    expect(answer(page)).to_contain_text("other is added")
    button(page, "Test other").click()
    expect(row(page, "other").locator(".ep-said")).to_contain_text("Answers: 1 model.")
    button(page, "Stop lab").click()
    expect(row(page, "lab").locator(".pg-notice")).to_have_text("Stopped. Test it again whenever you like.")
    monkeypatch.setattr(compare_endpoints, "LIMIT_S", 1.0)
    button(page, "Test lab").click()
    expect(row(page, "lab").locator(".pg-notice")).to_contain_text("Endpoint lab has not answered within 1 s.")


def test_a_refused_address_is_not_stored_and_the_form_stays(opened: Callable[..., Page]) -> None:
    page = opened()
    enter(page, "meta", "http://169.254.169.254/latest", key=KEY)
    expect(answer(page)).to_contain_text("169.254.169.254 leads to 169.254.169.254, link-local")
    expect(panel(page).locator("input[name=url]")).to_have_value("http://169.254.169.254/latest")
    assert models_endpoints.endpoints() == []
    page.locator("wa-dialog.ep-door").get_by_role("button", name="Close").click()
    toggle(page).click()
    expect(panel(page).locator("input[name=key]")).to_have_value("")


def test_two_endpoints_are_tested_at_once(opened: Callable[..., Page], start: Start) -> None:
    models_endpoints.add(Endpoint("a", start("fine"), model=MODEL))
    models_endpoints.add(Endpoint("b", start("401")))
    page = opened()
    page.evaluate("for (const name of ['a', 'b']) document.querySelector(`[aria-label='Test ${name}']`).click()")
    expect(row(page, "a").locator(".ep-said")).to_contain_text("Answers: 1 model.")
    expect(row(page, "b").locator(".pg-notice.error")).to_contain_text("wants a key (401)")


def test_the_key_may_stay_in_a_variable(opened: Callable[..., Page], start: Start) -> None:
    page = opened()
    button(page, "or take it from an environment variable").click()
    enter(page, "lab", start("fine", KEY), key_env="PLAYGROUND_TEST_NO_SUCH_KEY")
    button(page, "Test lab").click()
    expect(row(page, "lab").locator(".pg-notice.error")).to_contain_text("PLAYGROUND_TEST_NO_SUCH_KEY")


def test_names_and_errors_stay_text(opened: Callable[..., Page], home: Path) -> None:
    models_endpoints.add(Endpoint("evil", "http://127.0.0.1:9", model=EVIL.replace(" ", "/")))
    page = opened()
    expect(row(page, "evil").locator(".ep-host")).to_contain_text(EVIL.replace(" ", "/"))
    enter(page, EVIL, "http://127.0.0.1:9")
    expect(answer(page)).to_contain_text(f"'{EVIL}' is not a name for an endpoint.")
    enter(page, "lab", EVIL)
    expect(answer(page)).to_contain_text("is not the address of an endpoint")
    assert panel(page).locator("img").count() == 0


def test_a_visitor_is_offered_no_endpoints(home: Path, monkeypatch: pytest.MonkeyPatch, visit: Visit) -> None:
    catalog.install(monkeypatch)
    models_endpoints.add(Endpoint("mine", "http://127.0.0.1:9", KEY))
    with serving(FakeEngine(), host="0.0.0.0") as url:  # noqa: S104
        page = visit(url.replace("0.0.0.0", "127.0.0.1"))  # noqa: S104
        expect(page.locator("#pg-bar")).to_be_visible()
        expect(toggle(page)).to_have_count(0)
        assert KEY not in page.content() and "mine" not in page.locator("#pg-compare").inner_text()


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_a_phone_shows_everything_without_scrolling_sideways(
    opened: Callable[..., Page], start: Start, colours: str
) -> None:
    page = opened(width=390, height=844, colours=colours)
    enter(page, "a" * 32, start("fine"))
    button(page, f"Test {'a' * 32}").click()
    expect(row(page, "a" * 32).locator(".ep-said")).to_contain_text("Answers: 1 model.")
    button(page, f"Remove {'a' * 32}").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    box = panel(page).bounding_box()
    assert box and box["x"] >= 0 and box["x"] + box["width"] <= 390
    assert panel(page).evaluate("node => node.scrollWidth <= node.clientWidth")
    for part in (".ep-sure", ".ep-models code", ".ep-go", "input[name=url]"):
        box = panel(page).locator(part).first.bounding_box()
        assert box and box["x"] >= 0 and box["x"] + box["width"] <= 390, part
