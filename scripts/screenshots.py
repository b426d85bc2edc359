"""Pictures of the running app for the README: `python scripts/screenshots.py`.

Starts the real app, runs a real comparison in Chromium, and saves docs/screenshot-compare{,-dark,-phone}.png.
Every number in them was measured by that run.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).parents[1]
PROMPT = "What is gravity?"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync", "--no-first-run"]
VIEWS = {
    "": {"viewport": {"width": 1440, "height": 900}, "color_scheme": "light"},
    "-dark": {"viewport": {"width": 1440, "height": 900}, "color_scheme": "dark"},
    "-phone": {"viewport": {"width": 390, "height": 844}, "color_scheme": "light", "device_scale_factor": 2},
}
RUN_TIMEOUT_MS = 240_000


def main() -> None:
    folder = ROOT / "docs"
    folder.mkdir(exist_ok=True)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    app = subprocess.Popen([sys.executable, "app.py"], cwd=ROOT, env={**os.environ, "PLAYGROUND_PORT": str(port)})
    try:
        url = f"http://127.0.0.1:{port}"
        wait(url)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
            picture(browser, url, VIEWS[""], None)  # loads the variants, so that no picture shows a first run
            for name, view in VIEWS.items():
                target = folder / f"screenshot-compare{name}.png"
                picture(browser, url, view, target)
                print(target.relative_to(ROOT))
            browser.close()
    finally:
        app.terminate()
        app.wait(20)


def wait(url: str, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            urllib.request.urlopen(url, timeout=1)  # noqa: S310 - our own loopback address
            return
        except (urllib.error.URLError, TimeoutError):
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def picture(browser: Browser, url: str, view: dict[str, object], target: Path | None) -> None:
    context = browser.new_context(**view)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(url)
    page.locator("#pg-slot-1 h2.label:not(:empty)").wait_for()
    ask(page)
    if target:
        for slot in (0, 1):
            page.locator(f"#pg-slot-{slot} .body").evaluate("node => node.scrollTop = 0")
        page.mouse.move(0, 0)
        page.evaluate("document.activeElement.blur()")
        page.screenshot(path=target)
    context.close()


def ask(page: Page) -> None:
    page.locator("#pg-prompt textarea").fill(PROMPT)
    page.locator("#pg-run").click()
    page.locator(".outcome").first.wait_for(timeout=RUN_TIMEOUT_MS)
    page.wait_for_timeout(700)  # the colour scale settles twice a second


if __name__ == "__main__":
    main()
