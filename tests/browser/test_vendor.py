"""The vendored libraries and the shared parts under the page's strict policy: what they do, by mouse, keys and taps."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlparse

import pytest
import uvicorn
from playwright.sync_api import Browser, Page, expect
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from playground import web
from playground.report import plots
from tests.report.test_plots import every

pytestmark = pytest.mark.browser
ROOMS = Path(web.__file__).parents[1]
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
)
SHEETS = ("page.css", "webawesome.css", "controls.css")
PAGE = (
    "<!doctype html><html lang='en'><head><title>parts</title><meta name='viewport' content='width=device-width'>"
    + "".join(f"<link rel='stylesheet' href='/static/web/{name}'>" for name in SHEETS)
    + "<link rel='stylesheet' href='/page/parts.css'><script src='/page/count.js'></script>"
    "<script type='module' src='/page/shared_parts.js'></script></head><body><main></main></body></html>"
)
STYLE = """body { font-family: Inter, system-ui, sans-serif; margin: 16px; font-size: 15px; }
.clips { width: 90px; overflow: hidden; }
#model { max-width: 310px; } figure { max-width: 720px; margin: 20px 0; } #plots { margin-top: 400px; }"""
COUNT = """window.violations = [];
document.addEventListener('securitypolicyviolation', (e) => {
  window.violations.push(`${e.effectiveDirective} ${e.blockedURI} ${e.sample}`);
});"""
Open = Callable[..., Page]


def every_plot() -> list[dict[str, object]]:
    row = plots.bars(
        "Long", [plots.Bar("BF16", 3, "3 tok/s", "ref", tip="BF16: 3 tok/s"), plots.Bar("nf4", 2, "2", "v1")], "tok/s"
    )
    return [{"spec": plot.spec, "alt": plot.alt} for plot in [row, *every()]]


class Policy(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        response = await call_next(request)
        response.headers["Content-Security-Policy"] = POLICY
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    def text(content: str, kind: str) -> Callable[[Request], Response]:
        return lambda request: Response(content, media_type=kind)

    script = Path(__file__).with_name("shared_parts.js").read_text()
    routes = [
        Route("/", lambda request: HTMLResponse(PAGE)),
        Route("/plots.json", lambda request: JSONResponse(every_plot())),
        Route("/page/parts.css", text(STYLE, "text/css")),
        Route("/page/count.js", text(COUNT, "text/javascript")),
        Route("/page/shared_parts.js", text(script, "text/javascript")),
        Route("/favicon.ico", lambda request: Response(status_code=204)),
        *(Mount(f"/static/{room}", StaticFiles(directory=ROOMS / room / "static")) for room in ("web", "report")),
    ]
    app = Starlette(routes=routes, middleware=[Middleware(Policy)])
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started and thread.is_alive():
        thread.join(0.02)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


@pytest.fixture
def visit(chromium: Browser, url: str) -> Iterator[Open]:
    """Opens the page. Afterwards: no violation of the policy, no request elsewhere, no failed script or request."""
    opened: list[Page] = []
    wrong: list[str] = []

    def check(address: str) -> None:
        if urlparse(address).scheme not in ("blob",) and not address.startswith(url):
            wrong.append(address)

    def open_page(path: str = "/", width: int = 1440, height: int = 900, touch: bool = False) -> Page:
        context = chromium.new_context(viewport={"width": width, "height": height}, has_touch=touch)
        page = context.new_page()
        page.on("request", lambda request: check(request.url))
        page.on(
            "response", lambda answer: wrong.append(f"{answer.status} {answer.url}") if answer.status > 399 else None
        )
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda line: wrong.append(line.text) if line.type in ("error", "warning") else None)
        page.goto(url + path)
        opened.append(page)
        expect(page.locator("body")).to_have_attribute("data-ready", "yes")
        return page

    yield open_page
    for page in opened:
        wrong += page.evaluate("window.violations")
        page.context.close()
    assert not wrong


def test_every_part_under_the_policy(visit: Open) -> None:
    page = visit()
    page.get_by_role("tab", name="Answers").click()
    expect(page.get_by_text("Panel of answers")).to_be_visible()
    page.locator("#more").click()
    expect(page.get_by_role("menuitem", name="CSV")).to_be_visible()
    page.keyboard.press("Escape")
    page.locator("#about").click()
    expect(page.get_by_text("It runs here.")).to_be_visible()
    page.locator("#plain").hover()
    expect(page.locator("wa-tooltip .body")).to_be_visible()


def test_plots_are_drawn_when_they_come_into_view(visit: Open) -> None:
    loaded = "performance.getEntriesByType('resource').filter((one) => one.name.includes('vega-embed')).length"
    page = visit(height=300)
    assert page.evaluate(loaded) == 0
    for figure in page.locator("figure").all():
        figure.scroll_into_view_if_needed()
        expect(figure.locator("svg.marks")).to_be_visible()
    assert page.evaluate(loaded) == 1
    first = page.locator("figure").first
    expect(first.locator("[role=graphics-document]").first).to_have_attribute("aria-label", every_plot()[0]["alt"])  # type: ignore[arg-type]
    before = first.locator("svg.marks").bounding_box()
    page.evaluate("document.querySelector('svg.marks').id = 'kept'; draw()")
    expect(page.locator("#kept")).to_have_count(1)  # rendered again, not drawn again
    expect(first.locator("[data-tips]")).to_have_attribute("tabindex", "0")
    expect(page.locator("figure [data-tips]").nth(1)).not_to_have_attribute("tabindex", re.compile(""))  # no tips
    page.set_viewport_size({"width": 390, "height": 844})
    expect(first.locator("svg.marks")).not_to_have_attribute("width", str(before and int(before["width"])))
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.get_by_role("button", name="Data of this plot").first.scroll_into_view_if_needed()
    with page.expect_download() as saved:
        page.get_by_role("button", name="Data of this plot").first.click()
    assert saved.value.suggested_filename == "plot-0.json"
    assert [row["label"] for row in json.loads(Path(saved.value.path()).read_text())] == ["BF16", "nf4"]


def test_a_plot_follows_the_theme_and_its_marks_have_tips(visit: Open) -> None:
    page = visit(height=1200)
    figure = page.locator("figure").first
    figure.scroll_into_view_if_needed()
    axis = figure.locator("svg.marks text").first
    light = axis.evaluate("(node) => getComputedStyle(node).fill")
    page.locator("body").evaluate("(body) => body.classList.add('dark')")
    expect(axis).not_to_have_css("fill", light)
    figure.locator("[data-tip]").first.hover()
    expect(page.get_by_role("tooltip")).to_have_text("BF16: 3 tok/s")
    page.mouse.move(0, 0)
    figure.locator("[data-tips]").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tooltip")).to_have_text("nf4: 2")


def test_a_field_with_a_list_by_keyboard(visit: Open) -> None:
    page = visit()
    field = page.get_by_role("combobox", name="Model")
    listed = page.locator("#model [role=listbox]")
    field.focus()
    expect(field).to_have_attribute("aria-expanded", "false")
    page.keyboard.press("ArrowDown")
    expect(field).to_have_attribute("aria-expanded", "true")
    expect(listed.get_by_role("group", name="On this machine").get_by_role("option")).to_have_count(2)
    expect(page.locator("#model .active .name")).to_have_text("SmolLM2 135M Instruct")
    assert field.get_attribute("aria-activedescendant") == page.locator("#model .active").get_attribute("id")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(field).to_have_value("qwen at lab")
    expect(field).to_have_attribute("aria-expanded", "false")
    assert page.evaluate("chosen") == ["lab/qwen"]
    page.keyboard.press("Control+A")
    page.keyboard.type("gat")
    expect(listed.get_by_role("option")).to_have_count(1)
    page.keyboard.press("ArrowDown")
    expect(page.locator("#model .active .line")).to_have_text("Its licence was not accepted.")
    page.keyboard.press("Enter")  # it cannot be chosen, and the list says why
    expect(field).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("Escape")
    expect(field).to_have_value("qwen at lab")
    expect(field).to_have_attribute("aria-expanded", "false")
    assert page.evaluate("stopped") == [], "Esc closed the list and is no Stop"
    page.keyboard.press("Escape")
    assert page.evaluate("stopped") == ["INPUT"]
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Tab")
    expect(listed).to_be_hidden()
    expect(page.get_by_role("combobox", name="Variant")).to_be_focused()
    assert page.evaluate("chosen") == ["lab/qwen"]


def test_any_text_is_a_model_and_only_a_variant_is_a_variant(visit: Open) -> None:
    page = visit()
    field = page.get_by_role("combobox", name="Model")
    field.fill("org/other")
    expect(page.locator("#model .none")).to_have_text("Enter takes “org/other”.")
    page.keyboard.press("Enter")
    expect(field).to_have_value("org/other")
    field.fill("refused")
    page.keyboard.press("Enter")
    expect(field).to_have_value("org/other")  # the page kept the model that it has
    field.fill("org/third")
    page.keyboard.press("Tab")
    assert page.evaluate("chosen") == ["org/other", "refused", "org/third"]
    variant = page.get_by_role("combobox", name="Variant")
    variant.fill("no such")
    expect(page.locator("#variant .none")).to_have_text("Nothing matches.")
    page.keyboard.press("Tab")
    expect(variant).to_have_value("nf4")
    variant.fill("bf16")
    page.locator("#variant [role=option]").click()
    expect(variant).to_have_value("BF16")
    expect(page.locator("#variant [role=listbox]")).to_be_hidden()


@pytest.mark.parametrize("size", [(1440, 900), (390, 844)])
def test_a_list_shows_whole_names(visit: Open, size: tuple[int, int]) -> None:
    page = visit(width=size[0], height=size[1])
    for name in ("variant", "model"):
        page.locator(f"#{name} input").click()
        options = page.locator(f"#{name} [role=option]")
        listed = page.locator(f"#{name} .pg-options")
        box = listed.bounding_box()
        assert box and box["x"] >= 0 and box["x"] + box["width"] <= size[0] and box["y"] + box["height"] <= size[1]
        assert listed.evaluate("(node) => node.scrollWidth <= node.clientWidth")
        for option in options.all():
            assert option.evaluate("(node) => node.scrollWidth <= node.clientWidth")
            text = option.bounding_box()
            at = page.evaluate(
                "([x, y]) => document.elementFromPoint(x, y).closest('[role=option]')?.id",
                [text and text["x"] + 14, text and text["y"] + 10],
            )
            assert at == option.get_attribute("id"), "nothing lies over it, and its container does not cut it"


def test_a_dialog_takes_the_focus_and_gives_it_back(visit: Open) -> None:
    page = visit()
    opener = page.locator("#opener")
    for close in ("Escape", "cross", "outside"):
        opener.press("Enter")
        dialog = page.get_by_role("dialog", name="You are a visitor")
        expect(dialog).to_be_visible()
        expect(page.locator("[name=token]")).to_be_focused()
        for _ in range(8):  # Tab leaves no modal dialog for the page behind it
            page.keyboard.press("Tab")
            assert page.evaluate(
                "document.activeElement === document.body || Boolean(document.activeElement.closest('wa-dialog'))"
            )
        if close == "Escape":
            page.locator("[name=token]").press("Escape")
        elif close == "cross":
            dialog.get_by_role("button", name="Close").click()
        else:
            page.mouse.click(5, 5)
        expect(dialog).to_be_hidden()
        expect(opener).to_be_focused()
        expect(page).to_have_title("closed")
        page.evaluate("document.title = 'parts'")
    assert page.evaluate("stopped") == []


def test_esc_in_a_list_of_a_dialog_closes_the_list_alone(visit: Open) -> None:
    page = visit()
    page.locator("#opener").click()
    page.get_by_role("combobox", name="Role").click()
    expect(page.get_by_role("option", name="Owner")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("option", name="Owner")).to_be_hidden()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.get_by_role("button", name="Go").hover()
    expect(page.get_by_role("tooltip")).to_have_text("A tip above a dialog")
    box = page.get_by_role("tooltip").bounding_box()
    assert box and box["width"] < 300


def test_a_tip_by_tap(visit: Open) -> None:
    page = visit(width=390, height=844, touch=True)
    tip = page.locator(".pg-tip")
    page.locator("#word").tap()
    expect(tip).to_have_text("Tokens per second, after the first.")
    expect(page.locator("#word")).to_have_attribute("aria-describedby", "pg-tip")
    box = tip.bounding_box()
    assert box and box["x"] >= 0 and box["x"] + box["width"] <= 390
    page.locator("h1").tap()
    expect(tip).to_be_hidden()


def test_a_tip_by_keyboard(visit: Open) -> None:
    page = visit()
    tip = page.locator(".pg-tip")
    page.locator("#opener").focus()
    page.keyboard.press("Tab")  # the word is no Tab stop, the field is
    expect(page.locator("#seed")).to_be_focused()
    expect(tip).to_have_text("Zero is greedy.")
    page.keyboard.press("Escape")
    expect(tip).to_be_hidden()
    page.keyboard.press("Tab")
    expect(page.locator("#facts")).to_be_focused()
    expect(tip).to_have_text("first fact")
    page.keyboard.press("ArrowRight")
    expect(tip).to_have_text("second fact")
    page.keyboard.press("ArrowRight")
    expect(tip).to_have_text("first fact")
    page.keyboard.press("Tab")
    expect(tip).to_be_hidden()
    expect(page.get_by_role("button", name="Delete one")).to_be_focused()
    page.locator("#seed").click()
    expect(tip).to_be_hidden()  # who clicked into a field did not ask


def test_a_tip_goes_with_what_it_explains(visit: Open) -> None:
    page = visit()
    tip = page.locator(".pg-tip")
    page.locator("#word").hover()
    expect(tip).to_be_visible()
    page.evaluate("document.querySelector('#word').dataset.tip = 'Something else.'")
    expect(tip).to_have_text("Something else.")
    page.evaluate("document.querySelector('#word').hidden = true; document.querySelector('#word').remove()")
    expect(tip).to_be_hidden()


def test_a_list_that_is_renewed_keeps_its_place(visit: Open) -> None:
    page = visit()
    page.locator("#variant input").focus()
    page.keyboard.press("ArrowDown")
    expect(page.locator("#variant .active .name")).to_have_text("nf4")
    page.evaluate(
        "(() => { const box = document.querySelector('#variant');box.options = [{ value: 'FP8' }, ...box.options]; })()"
    )
    expect(page.locator("#variant [role=option]")).to_have_count(4)
    expect(page.locator("#variant .active .name")).to_have_text("nf4")


def test_a_tip_that_tab_scrolled_to_stays(visit: Open) -> None:
    page = visit(height=200)
    page.locator("#facts").focus()
    page.evaluate("scrollTo(0, 0)")
    page.keyboard.press("ArrowRight")
    tip, fact = page.locator(".pg-tip"), page.locator("#facts [data-tip]").nth(1)
    expect(fact).to_be_in_viewport()
    page.mouse.wheel(0, 30)
    expect(tip).to_be_visible()
    page.wait_for_timeout(200)
    box, at = tip.bounding_box(), fact.bounding_box()
    assert box and at and min(abs(box["y"] + box["height"] - at["y"]), abs(box["y"] - at["y"] - at["height"])) < 12


@pytest.mark.parametrize(("motion", "moves"), [("reduce", False), ("no-preference", True)])
def test_a_dialog_moves_only_for_those_who_want_it(visit: Open, motion: str, moves: bool) -> None:
    page = visit()
    page.emulate_media(reduced_motion=motion)  # type: ignore[arg-type]
    page.evaluate("""window.moved = 0;
      const look = () => {
        const all = document.querySelector('wa-dialog')?.shadowRoot?.getAnimations() ?? [];
        window.moved = Math.max(window.moved, ...all.map((one) => one.effect.getComputedTiming().duration));
        requestAnimationFrame(look);
      };
      look();""")
    page.locator("#opener").click()
    expect(page.locator("[name=token]")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    assert (page.evaluate("moved") > 1) == moves


def test_a_button_asks_before_it_acts(visit: Open) -> None:
    page = visit()
    rows = page.locator("li")
    first = page.get_by_role("button", name="Delete one")
    first.press("Enter")
    expect(rows.first).to_contain_text("Delete one?")
    expect(rows.first.get_by_role("button", name="Delete", exact=True)).to_be_focused()
    page.keyboard.press("Escape")
    expect(first).to_be_focused()
    assert page.evaluate("stopped") == []
    first.click()
    page.get_by_role("button", name="Delete two").click()  # one question at a time
    expect(page.get_by_role("button", name="Keep")).to_have_count(1)
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(rows).to_have_count(2)
    expect(page.get_by_role("button", name="Delete three")).to_be_focused()
    for _ in range(2):
        page.keyboard.press("Enter")
        page.keyboard.press("Enter")
    expect(rows).to_have_count(0)
    expect(page.locator("section")).to_be_focused()
