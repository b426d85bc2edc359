"""One Chromium for all tests; every test gets its own page, its own app and a scripted engine."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from urllib.parse import urlparse

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.fakes import catalog
from tests.fakes.engine import FakeEngine
from tests.fakes.site import serving

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
LOCAL = {"127.0.0.1", "localhost", ""}

expect.set_options(timeout=10_000)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    path = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[FakeEngine], str]]:
    """`serve(engine)` starts the app over it and returns the address."""
    catalog.install(monkeypatch)
    with ExitStack() as running:
        yield lambda engine: running.enter_context(serving(engine))


@pytest.fixture
def visit(chromium: Browser) -> Iterator[Callable[..., Page]]:
    """`visit(url)` opens the page in a context of its own. No request may leave the machine, no script may fail."""
    pages: list[Page] = []
    left: list[str] = []
    broken: list[str] = []

    def check(url: str) -> None:
        if urlparse(url).scheme not in ("data", "blob") and urlparse(url).hostname not in LOCAL:
            left.append(url)

    def open_page(url: str, width: int = 1440, height: int = 900, colours: str = "light") -> Page:
        context = chromium.new_context(viewport={"width": width, "height": height}, color_scheme=colours)  # type: ignore[arg-type]
        page = context.new_page()
        page.on("request", lambda request: check(request.url))
        page.on("pageerror", lambda error: broken.append(str(error)))
        page.on("dialog", lambda dialog: (broken.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.goto(url)
        pages.append(page)
        expect(page.locator("#pg-slot-0 h2.label")).to_have_text("BF16")
        return page

    yield open_page
    for page in pages:
        page.context.close()
    assert not left, f"requests left the machine: {left}"
    assert not broken, f"the page broke: {broken}"
