"""Pictures of the running app for the README: `make screenshots`.

Starts the real app in a home of its own, quantizes and evaluates with its command line, runs a real comparison in
Chromium, and saves docs/screenshot-*.png, with 256 colours each. Every number in them was measured by that run: some
ten minutes on two cores.
"""

from __future__ import annotations

import argparse
import contextlib
import io
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

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).parents[1]
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync", "--no-first-run"]
WIDE = {"viewport": {"width": 1440, "height": 900}, "color_scheme": "light"}
PHONE = {"viewport": {"width": 390, "height": 844}, "color_scheme": "light", "device_scale_factor": 2}
GRAVITY = "What is gravity?"
CACHE = "Explain what a key-value cache is in a language model, in three sentences."
# Picture, browser, prompt, and what its tokens are coloured by.
COMPARE = (
    ("compare", WIDE, GRAVITY, "time"),
    ("compare-dark", {**WIDE, "color_scheme": "dark"}, CACHE, "divergence"),
    ("compare-phone", PHONE, GRAVITY, "time"),
)
RUN_TIMEOUT_MS = 300_000
MAX_BYTES = 300_000

MADE = (
    "quantize smollm2 --method gguf --scheme Q4_0",
    "quantize smollm2 --method rtn --scheme W3A16",
    "quantize smollm2 --method rtn --scheme W4A16",
    "eval smollm2 smollm2:nf4 smollm2:rtn-w3a16-g64 --tasks bundled_facts,bundled_cloze --limit 40 --kld --tokens 512",
)
# Picture and page, what is there once its data have come, the top of the picture, and what is drawn once it is in view.
PAGES = (
    ("quantize", ".qz-card .qz-acts", ".qz-made", "qz-heat svg"),
    ("evaluate", ".ev-run .ev-table tbody tr", ".ev-run", ".ev-table"),
    ("runs", ".rs-line", "#pg-top", ".rs-line"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--home", type=Path, help="a home that is kept: what an earlier run made there is not made again"
    )
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
            wait(f"{url}/health")
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
                compare(browser, url)
                pages(browser, url)
                browser.close()
        finally:
            app.terminate()
            app.wait(60)


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


def compare(browser: Browser, url: str) -> None:
    ask(browser, url, "", WIDE, "Name three colours.", "time")  # loads the variants: no picture shows a first run
    for row in COMPARE:
        ask(browser, url, *row)


def ask(browser: Browser, url: str, name: str, view: dict[str, object], prompt: str, colours: str) -> None:
    """Run one comparison and save its picture, if it has a name."""
    context = browser.new_context(**view)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(url)
    page.locator("#pg-slot-1 h2.label:not(:empty)").wait_for()
    page.locator("#pg-prompt textarea").fill(prompt)
    page.locator("#pg-run").click()
    page.locator(".saved").first.wait_for(timeout=RUN_TIMEOUT_MS)  # the divergence is measured by then, too
    if name:
        page.get_by_role("radio", name=colours).click()
        page.wait_for_timeout(700)  # the colour scale settles twice a second
        for slot in (0, 1):
            page.locator(f"#pg-slot-{slot} .body").evaluate("node => node.scrollTop = 0")
        page.mouse.move(0, 0)
        page.evaluate("document.activeElement.blur()")
        save(page, name)
    context.close()


def pages(browser: Browser, url: str) -> None:
    for name, data, top, drawn in PAGES:
        context = browser.new_context(**WIDE)  # type: ignore[arg-type]
        page = context.new_page()
        page.goto(f"{url}/#{name}")
        page.locator(data).first.wait_for()
        page.wait_for_timeout(1000)  # forms fold and lists grow until then
        page.locator(top).evaluate("node => scrollBy(0, node.getBoundingClientRect().top - 16)")
        page.locator(drawn).first.wait_for()
        save(page, name)
        context.close()


def save(page: Page, name: str) -> None:
    target = ROOT / "docs" / f"screenshot-{name}.png"
    shot = Image.open(io.BytesIO(page.screenshot(animations="disabled"))).convert("RGB")
    shot.quantize(256, dither=Image.Dither.NONE).save(target, optimize=True)
    size = target.stat().st_size
    print(f"{target.relative_to(ROOT)}, {size / 1000:.0f} kB", flush=True)
    if size > MAX_BYTES:
        sys.exit(f"{name} is larger than {MAX_BYTES / 1000:.0f} kB")


if __name__ == "__main__":
    main()
