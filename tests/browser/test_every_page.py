"""Every page, light and dark: accessible, within its Content-Security-Policy, and without a request that leaves."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from playground.store import runs
from tests.fakes import catalog, exported_runs, review
from tests.fakes.engine import FakeEngine
from tests.fakes.evaluation_run import TASKS, VARIANTS, evaluation
from tests.fakes.site import serving

pytestmark = pytest.mark.browser
COUNT = """window.violations = [];
document.addEventListener('securitypolicyviolation', (e) => {
  window.violations.push(`${e.effectiveDirective} ${e.blockedURI} ${e.sample}`);
});"""
PAGES = {
    "compare": "#pg-slot-0 h2.label",
    "quantize": "#pg-quantize .ui-go",
    "evaluate": "#pg-evaluate .ui-go",
    "speed": ".sp-matrix .tick",
    "runs": "#pg-runs",
    "reviews": "#pg-reviews",
}
Open = Callable[..., Page]


@pytest.fixture
def opened(chromium: Browser, home: Path, serve: Callable[[FakeEngine], str]) -> Open:
    url = serve(FakeEngine())
    return partial(visited, chromium, url)


def visited(chromium: Browser, url: str, path: str, colours: str, width: int = 1440) -> Page:
    context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=colours)  # type: ignore[arg-type]
    page = context.new_page()
    page.add_init_script(COUNT)
    left: list[str] = []
    inside = (url, "data:", "blob:")
    page.on("request", lambda request: None if request.url.startswith(inside) else left.append(request.url))
    page.goto(f"{url}{path}")
    page.left = left  # type: ignore[attr-defined]
    return page


def holds(page: Page) -> None:
    """No serious or critical violation of axe's rules, none of the policy, and no request to elsewhere."""
    found = Axe().run(page)
    bad = [
        f"{rule['id']} ({rule['impact']}): {[node['html'][:160] for node in rule['nodes'][:4]]}"
        for rule in found.response["violations"]
        if rule["impact"] in ("serious", "critical")
    ]
    assert not bad, "\n".join(bad)
    assert page.evaluate("window.violations") == []
    assert page.left == []  # type: ignore[attr-defined]
    page.context.close()


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_a_page(opened: Open, name: str, colours: str) -> None:
    page = opened(f"#{name}", colours, 1440)
    expect(page.locator(PAGES[name]).first).to_be_visible()
    holds(page)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_fits_every_width(opened: Open, name: str) -> None:
    page = opened(f"#{name}", "dark")
    expect(page.locator(PAGES[name]).first).to_be_visible()
    for width in (390, 600, 768, 900, 1024, 1440, 1920):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("[document.documentElement.scrollWidth, innerWidth]") == [width, width]
    html, body = (
        page.locator(name).evaluate("node => getComputedStyle(node).backgroundColor") for name in ("html", "body")
    )
    assert html == body == "rgb(15, 17, 21)", "also where the page is pulled beyond its edge"
    assert page.locator("html").evaluate("node => getComputedStyle(node).colorScheme") == "dark"
    page.context.close()


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_a_comparison(opened: Open, colours: str) -> None:
    page = opened("#compare", colours, 390)
    page.locator("#pg-prompt textarea").fill("What is gravity?")
    page.locator("#pg-run").click()
    expect(page.locator("#pg-verdict .outcome").first).to_be_visible(timeout=20_000)
    holds(page)


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("kind", ["comparison", "evaluation", "divergence", "bench", "quantization"])
def test_a_stored_run(opened: Open, kind: str, colours: str) -> None:
    make = {
        "comparison": exported_runs.comparison,
        "evaluation": lambda: evaluation(VARIANTS[:3], TASKS),
        "divergence": exported_runs.divergence,
        "bench": exported_runs.bench,
        "quantization": exported_runs.quantization,
    }[kind]
    run = make()
    if kind != "evaluation":  # which stores itself
        runs.add(run)
    page = opened(f"run/{run.id}", colours, 1440)
    expect(page.locator("#pg-opened h2").first).to_be_visible()
    page.wait_for_load_state("networkidle")
    holds(page)
    anew = opened(f"run/{run.id}", colours, 390)
    expect(anew.locator("#pg-opened h2").first).to_be_visible()
    assert anew.evaluate("document.documentElement.scrollWidth") <= 390
    anew.context.close()


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_the_page_of_a_reviewer(opened: Open, colours: str) -> None:
    made = review.review()
    page = opened(f"review/{made.id}#{review.invited(made)[0].key}", colours, 390)
    expect(page.locator(".answer")).to_have_count(2)
    holds(page)


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_a_visitors_welcome_and_the_login(
    home: Path, chromium: Browser, monkeypatch: pytest.MonkeyPatch, colours: str
) -> None:
    catalog.install(monkeypatch)
    monkeypatch.setenv("PLAYGROUND_OWNER_TOKEN", "a-token-of-the-owner-0123456789")
    monkeypatch.setenv("PLAYGROUND_PUBLIC", "view")
    with serving(FakeEngine(), host="0.0.0.0") as served:  # noqa: S104
        url = f"http://127.0.0.1:{urlsplit(served).port}/"
        page = visited(chromium, url, "", colours, 390)
        expect(page.locator(".welcome h2")).to_be_visible()
        holds(page)
        page = visited(chromium, url, "", colours, 390)
        page.locator("#pg-welcome").get_by_role("button", name="Log in").click()
        expect(page.get_by_label("Owner’s token")).to_be_focused()
        page.get_by_label("Owner’s token").fill("not the token")
        page.keyboard.press("Enter")
        expect(page.locator(".door").get_by_role("alert")).to_be_visible()
        holds(page)


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("run", ["0123456789abcdef0123456789abcdef", "nope"])
def test_a_link_to_nothing(opened: Open, run: str, colours: str) -> None:
    page = opened(f"run/{run}", colours, 1440)
    expect(page.locator("#pg-opened")).to_contain_text("This run is not available")
    holds(page)
