"""Pictures of the running app for the README: `python scripts/screenshots.py`.

Starts the real app in a home of its own, quantizes and evaluates with its command line, runs a real comparison in
Chromium, and saves docs/screenshot-*.png. Every number in them was measured by that run: some ten minutes on two cores.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
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


MADE = (
    "quantize smollm2 --method gptq --scheme W4A16 --samples 16 --max-length 128",
    "eval smollm2 smollm2:nf4 smollm2:gptq-w4a16-g64 --tasks bundled_facts,bundled_reading --limit 40 --kld --speed",
)
PAGES = {  # its address behind the app's, and what is there once it is drawn
    "quantize": ("#quantize", ".qz-card .qz-line"),
    "evaluate": ("#evaluate", "#pg-evaluate .ev-table tbody tr"),
    "runs": ("#runs", "#pg-runs .rs-line"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, help="a home that is kept: what a run before made there is not made again")
    with contextlib.ExitStack() as stack:
        home = parser.parse_args().home or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        environment = {**os.environ, "PLAYGROUND_HOME": str(home)}
        if not (home / "playground.db").exists():
            for command in MADE:
                arguments = [sys.executable, "-m", "playground", *command.split()]
                subprocess.run(arguments, cwd=ROOT, env=environment, check=True)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        app = subprocess.Popen([sys.executable, "app.py"], cwd=ROOT, env={**environment, "PLAYGROUND_PORT": str(port)})
        try:
            url = f"http://127.0.0.1:{port}"
            wait(url)
            with sync_playwright() as playwright:
                take(playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS), url)
        finally:
            app.terminate()
            app.wait(20)


def take(browser: Browser, url: str) -> None:
    picture(browser, url, VIEWS[""], None)  # loads the variants, so that no picture shows a first run
    for name, view in VIEWS.items():
        picture(browser, url, view, said(f"compare{name}"))
    for name, (address, drawn) in PAGES.items():
        context = browser.new_context(**VIEWS[""])  # type: ignore[arg-type]
        page = context.new_page()
        page.goto(url + address)
        page.locator(drawn).first.wait_for()
        if name == "quantize":
            page.locator(drawn).first.click()  # opens the card of what was made
        if name in ("quantize", "evaluate"):  # past the form
            page.locator(".qz-made:visible, .ev-run:visible").first.evaluate("node => node.scrollIntoView()")
        page.wait_for_timeout(1500)  # charts are drawn after their table
        page.screenshot(path=said(name))
        context.close()
    browser.close()


def said(name: str) -> Path:
    """Where a picture goes, which is printed."""
    target = ROOT / "docs" / f"screenshot-{name}.png"
    print(target.relative_to(ROOT), flush=True)
    return target


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
    page.locator(".saved").first.wait_for(timeout=RUN_TIMEOUT_MS)  # the divergence is measured by then, too
    page.wait_for_timeout(700)  # the colour scale settles twice a second


if __name__ == "__main__":
    main()
