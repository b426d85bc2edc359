"""The page of a stored run and the list of runs in Chromium: the store is real, no engine is asked."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlparse

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from playground.store import runs
from tests.fakes import catalog
from tests.fakes.engine import FakeEngine
from tests.fakes.evaluation_run import TASKS, VARIANTS, FakeVariant, evaluation
from tests.fakes.site import serving
from tests.fakes.stored_runs import NF4, OTHER, REFERENCE, WORDS, bench, comparison, quantization

pytestmark = pytest.mark.browser
EVIL = "<img src=x onerror=alert(1)>"
LINK = re.compile(r"^http://(127\.0\.0\.1|localhost):\d+/run/[0-9a-f]{32}$")


@dataclass
class Site:
    url: str
    engine: FakeEngine
    open: Callable[..., Page]


@pytest.fixture
def site(home: Path, monkeypatch: pytest.MonkeyPatch, chromium: Browser) -> Iterator[Site]:
    """The app; `open(path)` shows it in a context of its own. No script may fail and no request leave the machine."""
    catalog.install(monkeypatch)
    engine, pages = FakeEngine(), list[Page]()
    broken, left = list[str](), list[str]()

    def check(address: str) -> None:
        if urlparse(address).scheme not in ("data", "blob") and urlparse(address).hostname != "127.0.0.1":
            left.append(address)

    with ExitStack() as running:
        url = running.enter_context(serving(engine)).rstrip("/")

        def opened(path: str, width: int = 1440, height: int = 900, colours: str = "light", **more: object) -> Page:
            context = chromium.new_context(
                viewport={"width": width, "height": height}, color_scheme=colours, **more  # type: ignore[arg-type]
            )  # fmt: skip
            page = context.new_page()
            page.on("request", lambda request: check(request.url))
            page.on("pageerror", lambda error: broken.append(str(error)))
            page.on("dialog", lambda dialog: (broken.append(f"dialog: {dialog.message}"), dialog.dismiss()))
            page.goto(f"{url}{path}")
            pages.append(page)
            return page

        yield Site(url, engine, opened)
        for page in pages:
            page.context.close()
    assert not broken, f"the page broke: {broken}"
    assert not left, f"requests left the machine: {left}"


def pane(page: Page, number: int) -> Locator:
    return page.locator("#pg-opened .pane").nth(number)


def tokens(page: Page, number: int) -> Locator:
    return pane(page, number).locator(".toks .tk")


def button(page: Page, name: str) -> Locator:
    return page.locator("#pg-opened").get_by_role("button", name=name, exact=True)


def line(page: Page, title: str) -> Locator:
    return page.locator(".rs-line").filter(has=page.get_by_role("link", name=title, exact=True))


def no_sideways(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_comparison_opens_with_everything_and_asks_no_engine(site: Site) -> None:
    run = comparison()
    page = site.open(f"/?run={run.id}")  # a link of an earlier version
    expect(page.locator("#pg-opened h2").first).to_have_text("What is gravity?", timeout=30_000)
    expect(page).to_have_url(f"{site.url}/run/{run.id}")
    expect(page).to_have_title("What is gravity? · Quantization Playground")
    expect(page.locator("#pg-opened .outcome b").first).to_have_text("nf4 is 58% smaller and 1.75× slower here.")
    expect(tokens(page, 0)).to_have_count(len(WORDS))
    expect(pane(page, 1).locator(".toks")).to_have_text(run.result["panes"][1]["text"])
    expect(pane(page, 0).locator(".num.big .v")).to_have_text("5.00")
    expect(pane(page, 1).locator(".num.big .v")).to_have_text("2.86")
    expect(pane(page, 1).locator(".note")).to_contain_text("Token 4")
    expect(pane(page, 1).locator(".measured")).to_contain_text("this prompt only")
    for name in ("Stop", "Regenerate", "Measure again"):
        expect(button(page, name)).to_have_count(0)
    tokens(page, 1).nth(2).hover()
    expect(page.locator(".pg-tip")).to_contain_text("438 ms · probability 77%")
    page.locator("#pg-opened .pg-legend").get_by_role("radio", name="divergence").click()
    tokens(page, 0).nth(1).hover()
    expect(page.locator(".pg-tip")).to_contain_text("KLD 0.40 nats")
    expect(page.locator(".rn-how")).to_contain_text("greedy · 128 tokens · seed 0")
    expect(page.locator(".rn-how")).to_contain_text("torch")
    assert not site.engine.loaded and not site.engine.asked and not site.engine.forced
    page.locator(".pages").get_by_role("link", name="Compare").click()
    expect(page.locator("#pg-slot-0 h2.label")).to_have_text("BF16")
    expect(page).to_have_title("Quantization Playground")
    expect(page).to_have_url(f"{site.url}/#compare")
    page.go_back()
    expect(page.locator("#pg-opened h2").first).to_be_visible()
    expect(page).to_have_title("What is gravity? · Quantization Playground")


def test_no_answer_is_clipped(site: Site) -> None:
    long = (WORDS * 12, OTHER * 12)
    run = comparison(words=long)
    for width, height in ((1440, 900), (390, 844)):
        page = site.open(f"/run/{run.id}", width, height)
        for number in (0, 1):
            expect(tokens(page, number)).to_have_count(len(long[number]), timeout=30_000)
            body = pane(page, number).locator(".body")
            assert body.evaluate(
                "node => node.scrollHeight <= node.clientHeight + 1 && node.scrollWidth <= node.clientWidth + 1"
            )
            whole = pane(page, number).evaluate("node => node.getBoundingClientRect().bottom")
            assert tokens(page, number).last.evaluate("node => node.getBoundingClientRect().bottom") < whole
        no_sideways(page)


def test_the_replay_keeps_the_time_of_every_token(site: Site) -> None:
    """On a clock of the test's own, so that a slow machine changes nothing."""
    run = comparison()
    times = [[one["time_s"] for one in side["tokens"]] for side in run.result["panes"]]
    page = site.open(f"/run/{run.id}")
    expect(tokens(page, 0)).to_have_count(len(WORDS), timeout=30_000)
    page.clock.install()
    page.clock.pause_at(page.evaluate("Date.now() + 1000"))

    def after(ms: int, speed: float, so_far: float) -> float:
        page.clock.run_for(ms)
        now = so_far + speed * ms / 1000
        shown = float(page.locator(".rp-slider").input_value())
        frame = speed * 0.05  # what is shown is a frame late at most; `so_far` was read off the page, so it may be too
        assert now - frame <= shown <= now + frame
        for number in (0, 1):
            least, most = (sum(time <= shown - late + 1e-9 for time in times[number]) for late in (frame, 0))
            assert least <= tokens(page, number).count() <= most
        return shown

    page.locator(".rp-bar").get_by_role("radio", name="4×").click()
    button(page, "Replay").click()
    at = after(250, 4, 0.0)
    assert 0 < tokens(page, 1).count() < len(OTHER)
    at = after(500, 4, at)
    page.locator("#pg-opened h2").first.click()
    page.keyboard.press("Space")
    expect(button(page, "Play")).to_be_visible()
    assert after(2000, 0, at) == at, "it stands still"
    page.locator(".rp-bar").get_by_role("radio", name="1×").click()
    page.locator("#pg-opened h2").first.click()
    page.keyboard.press("Space")
    at = after(1000, 1, at)
    page.keyboard.press("Home")
    expect(tokens(page, 0)).to_have_count(0)
    page.locator(".rp-bar").get_by_role("radio", name="at once").click()
    page.clock.run_for(100)  # panes are drawn in the next frame
    expect(tokens(page, 1)).to_have_count(len(OTHER))
    expect(pane(page, 1).locator(".status")).to_have_text(f"{len(OTHER)} tokens · finished (end-of-text token)")
    page.locator(".rp-slider").fill("0.5")
    page.clock.run_for(100)
    for number in (0, 1):
        expect(tokens(page, number)).to_have_count(1)
    expect(page.locator(".rp-time")).to_have_text("0.5 s of 7.5 s")


def test_every_kind_has_its_page(site: Site) -> None:
    measured = evaluation(VARIANTS[:3], TASKS[2:4])
    page = site.open(f"/run/{measured.id}")
    expect(page.locator("#pg-opened .ev-verdict")).to_be_visible(timeout=30_000)
    expect(page.locator("#pg-opened .ev-table tbody tr")).to_have_count(3)
    page.locator("#pg-opened .ev-browse").scroll_into_view_if_needed()
    expect(page.locator("#pg-opened .ev-index [role=option]").first).to_be_visible()
    expect(page.locator("#pg-opened").get_by_text("How it was measured")).to_have_count(0)
    for run, said in ((bench(), "is the fastest here"), (quantization(), "Where rounding lost most")):
        page.goto(f"{site.url}/run/{run.id}")
        expect(page.locator("#pg-opened")).to_contain_text(said, timeout=30_000)
        plots = page.locator("#pg-opened :is(.sp-plots .area, qz-heat)").first
        plots.scroll_into_view_if_needed()
        expect(plots.locator("svg, canvas").first).to_be_visible(timeout=30_000)
        no_sideways(page)


def test_what_is_not_there_is_said_with_a_way_on(site: Site) -> None:
    run = comparison("A secret title")
    runs.revoke(run.id)
    page = site.open("/run/nonsense")
    card = page.locator("#pg-opened .rn-none")
    expect(card.locator("h2")).to_have_text("This run is not available", timeout=30_000)
    card.get_by_role("link", name="All runs").click()
    expect(page.locator("#pg-runs .rs-bar")).to_be_visible()
    page = site.open(f"/run/{run.id}")
    expect(page.locator("#pg-opened .rn-revoked")).to_contain_text("only you can open", timeout=30_000)


def test_a_visitor_is_offered_no_list(site: Site) -> None:
    run = comparison("A secret title")
    runs.revoke(run.id)
    page = site.open(f"/run/{run.id}", extra_http_headers={"X-Forwarded-For": "10.0.0.1"})
    card = page.locator("#pg-opened .rn-none")
    expect(card).to_contain_text("Its link was revoked", timeout=30_000)
    expect(card).to_contain_text("Ask the person who sent you the link.")
    expect(card.get_by_role("link", name="All runs")).to_have_count(0)
    expect(page.get_by_text("A secret title")).to_have_count(0)
    page.goto(f"{site.url}/#runs")
    expect(page.locator("#pg-runs .rn-none")).to_contain_text("anyone with its link can open it", timeout=30_000)
    expect(page.locator("#pg-runs h2")).to_have_text("Only the owner can see all runs")
    expect(page.locator(".rs-line")).to_have_count(0)


def test_a_link_is_copied_or_stands_there_to_be_copied(site: Site) -> None:
    run = comparison()
    page = site.open(f"/run/{run.id}", permissions=["clipboard-read", "clipboard-write"])
    button(page, "Copy link").click(timeout=30_000)
    expect(page.locator("#pg-opened .ui-link .said")).to_have_text("Copied")
    assert LINK.match(page.evaluate("navigator.clipboard.readText()"))
    page = site.open(f"/run/{run.id}")
    expect(button(page, "Copy link")).to_be_visible(timeout=30_000)
    page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    page.evaluate("document.documentElement.dataset.host = 'me-playground.hf.space'")
    button(page, "Copy link").click(timeout=30_000)
    field = page.get_by_label("Link to this run")
    expect(field).to_have_value(f"https://me-playground.hf.space/run/{run.id}")
    expect(field).to_be_focused()
    assert page.evaluate("getSelection().toString()") == field.input_value()


def test_a_comparison_is_saved_and_its_link_opens_it(site: Site) -> None:
    page = site.open("/")
    expect(page.locator("#pg-slot-0 h2.label")).to_have_text("BF16", timeout=30_000)
    page.locator("#pg-prompt textarea").fill("What is gravity?")
    page.locator("#pg-run").click()
    saved = page.locator("#pg-verdict .saved")
    expect(saved).to_contain_text("Saved", timeout=60_000)
    texts = [page.locator(f"#pg-slot-{slot} .toks").inner_text() for slot in (0, 1)]
    speeds = [page.locator(f"#pg-slot-{slot} .num.big .v").inner_text() for slot in (0, 1)]
    site.engine.loaded.clear()
    asked = len(site.engine.asked)
    saved.get_by_role("link", name="Open", exact=True).click()
    for number in (0, 1):
        expect(pane(page, number).locator(".toks")).to_have_text(texts[number])
        expect(pane(page, number).locator(".num.big .v")).to_have_text(speeds[number])
    assert len(site.engine.asked) == asked and not site.engine.loaded


def choose(page: Page, title: str, action: str) -> None:
    """Open the menu of a row and choose from it."""
    page.get_by_role("button", name=f"Actions for {title}", exact=True).click()
    page.get_by_role("menuitem", name=action, exact=True).locator("visible=true").click()


def test_the_owner_finds_names_and_puts_two_side_by_side(site: Site) -> None:
    first = comparison("Before the upgrade", created_at=1_760_000_000.0)
    second = comparison("After the upgrade", steps_s=(0.1, 0.35), versions={"torch": "2.14.0"})
    bench("How fast")
    page = site.open("/#runs")
    expect(page.locator(".rs-line")).to_have_count(3, timeout=30_000)
    expect(line(page, "How fast").locator(".figure")).to_contain_text("24.1 ± 0.96")
    page.get_by_label("Search runs").fill("upgrade")
    expect(page.locator(".rs-line")).to_have_count(2)
    page.reload()
    expect(page.get_by_label("Search runs")).to_have_value("upgrade", timeout=30_000)
    expect(page.locator(".rs-line")).to_have_count(2)
    page.get_by_label("Search runs").fill("")
    page.get_by_label("Kind", exact=True).select_option("bench")
    expect(page.locator(".rs-line")).to_have_count(1)
    page.get_by_label("Kind", exact=True).select_option("")
    page.get_by_label("Order", exact=True).select_option("title")
    expect(page.locator(".rs-line .title").first).to_have_text("After the upgrade")
    choose(page, "How fast", "Rename")
    page.get_by_role("textbox", name="Title", exact=True).fill(EVIL)
    page.keyboard.press("Enter")
    expect(line(page, EVIL)).to_be_visible()
    choose(page, EVIL, "Add a note")
    page.get_by_label("Note", exact=True).fill(f"On battery {EVIL}")
    page.get_by_role("button", name="Save").click()
    expect(line(page, EVIL).locator(".note")).to_have_text(f"On battery {EVIL}")
    choose(page, "Before the upgrade", "Revoke link")
    page.get_by_role("button", name="Revoke", exact=True).click()
    expect(page.locator(".rs-line")).to_have_count(2)
    page.get_by_label("Include revoked").check()
    expect(page.locator(".rs-hint")).to_have_text("Select two to compare, or several to delete.")
    for title in ("After the upgrade", "Before the upgrade"):
        line(page, title).get_by_role("checkbox", name=f"Select {title} to compare").check()
    page.get_by_role("link", name="Open side by side").click()
    expect(page.locator(".rp-side").first).to_contain_text("Before the upgrade")
    decode = page.locator(".rp-table tbody tr").first.locator("td").first
    expect(decode).to_contain_text("+100%")
    expect(page.locator(".rp-table tbody tr").nth(1)).to_contain_text("Both runs contain the same answer")
    expect(page.locator(".rp-table tbody tr").nth(1)).not_to_contain_text("0.0%")
    expect(page.locator(".rp-changed")).to_contain_text("2.14.0")
    expect(page.locator(".rp-claim")).to_contain_text("not tested for significance")
    expect(page.locator(".rp-answer").first).to_contain_text(first.result["panes"][0]["text"])
    expect(page).to_have_url(f"{site.url}/run/{first.id}?with={second.id}")


def test_after_a_deletion_the_keyboard_goes_on_in_the_next_row(site: Site) -> None:
    for title in ("First", "Second", "Third"):
        comparison(title)
    page = site.open("/#runs")
    expect(page.locator(".rs-line")).to_have_count(3, timeout=30_000)
    choose(page, "Second", "Delete")
    sure = page.get_by_role("button", name="Delete", exact=True)
    expect(sure).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Actions for Second")).to_be_focused()
    choose(page, "Second", "Delete")
    sure.click()
    expect(page.locator(".rs-line")).to_have_count(2)
    expect(page.get_by_role("link", name="First", exact=True)).to_be_focused()
    for title in ("First", "Third"):
        line(page, title).get_by_role("checkbox").check()
    page.get_by_role("button", name="Delete 2 runs").click()
    page.get_by_role("button", name="Delete 2 runs").click()
    expect(page.locator(".rs-line")).to_have_count(0)
    expect(page.get_by_label("Search runs")).to_be_focused()
    assert not runs.search()


def test_what_is_selected_is_always_in_view(site: Site) -> None:
    for number in range(14):
        comparison(f"Run {number}")
    page = site.open("/#runs", 390, 844, "dark")
    expect(page.locator(".rs-line")).to_have_count(14, timeout=30_000)
    box = page.locator(".rs-line").first.get_by_role("checkbox")
    dark = box.evaluate("node => getComputedStyle(node).backgroundColor")
    assert dark == page.evaluate("getComputedStyle(document.body).backgroundColor"), "no white box in the dark"
    box.check()
    expect(page.locator(".rs-two")).to_be_in_viewport(ratio=1)
    expect(page.locator(".rs-two")).to_contain_text("select another run to compare")
    page.locator(".rs-line").nth(7).get_by_role("checkbox").check()
    expect(page.get_by_role("link", name="Open side by side")).to_be_in_viewport(ratio=1)


def test_facts_are_no_tab_stops_and_a_link_skips_the_bar(site: Site) -> None:
    page = site.open(f"/run/{comparison().id}")
    expect(page.locator(".rn-variants")).to_be_visible(timeout=30_000)
    assert page.locator(".rn-how [tabindex='0'], .rn-head [tabindex='0']").count() == 0
    page.keyboard.press("Tab")
    expect(page.locator("a.skip")).to_be_focused()


def test_the_owner_opens_a_comparison_in_compare(site: Site) -> None:
    page = site.open(f"/run/{comparison().id}")
    button(page, "Open in Compare").click(timeout=30_000)
    expect(page.locator("#pg-slot-1 h2.label")).to_have_text("nf4")


def test_nothing_that_was_stored_is_ever_a_tag(site: Site) -> None:
    evil = NF4 | {"label": EVIL, "scheme": EVIL, "id": f"smollm2:{EVIL}"}
    run = comparison(EVIL, EVIL, ((EVIL, "b"), ("a", EVIL, "<script>alert(2)</script>")), variants=[REFERENCE, evil])
    runs.annotate(run.id, EVIL)
    other = evaluation(
        (VARIANTS[0], FakeVariant(EVIL, EVIL, EVIL, EVIL, 10**8, 6.0, 3.0, 0.04)), TASKS[2:3], title=EVIL
    )
    page = site.open(f"/run/{run.id}")
    expect(tokens(page, 0).first).to_have_text(EVIL, timeout=30_000)
    expect(page.locator(".rn-said")).to_have_text(EVIL)
    tokens(page, 0).first.hover()
    for path in (f"/run/{other.id}", f"/run/{run.id}?with={run.id}", "/#runs"):
        page.goto(f"{site.url}{path}")
        expect(page.get_by_text(EVIL).locator("visible=true").first).to_be_visible(timeout=30_000)
        assert page.locator("img[src=x], .rn script, .rs-list script").count() == 0


def test_it_fits_a_phone_in_the_dark(site: Site) -> None:
    run, other = comparison(), evaluation(VARIANTS[:3], TASKS[:2])
    for path, wanted in (
        (f"/run/{run.id}", ".rp-bar"),
        (f"/run/{other.id}", ".ev-verdict"),
        (f"/run/{run.id}?with={run.id}", ".rp-table"),
        ("/#runs", ".rs-line"),
    ):
        page = site.open(path, 390, 844, "dark")
        expect(page.locator(wanted).locator("visible=true").first).to_be_visible(timeout=30_000)
        no_sideways(page)


def test_the_name_of_a_scheme_is_not_broken_on_a_phone(site: Site) -> None:
    model = "a-model-with-a-name-of-some-length"
    comparison(
        "A title",
        model=model,
        variants=[{**NF4, "label": f"{words}FP8_DYNAMIC"} for words in ("", "An ", "AWQ ", "SmoothQuant ")],
    )
    page = site.open("/#runs", width=390, height=844)
    under = page.locator(".rs-line .under")
    expect(under).to_contain_text("SmoothQuant FP8_DYNAMIC", timeout=30_000)
    lines = under.evaluate(
        """(node) => {
          const walk = document.createTreeWalker(node, NodeFilter.SHOW_TEXT), found = [];
          for (let text = walk.nextNode(); text; text = walk.nextNode())
            for (const at of text.data.matchAll(/FP8_DYNAMIC/g)) {
              const range = document.createRange();
              range.setStart(text, at.index); range.setEnd(text, at.index + at[0].length);
              found.push(range.getClientRects().length);
            }
          return found;
        }"""
    )
    assert lines == [1] * 4
    no_sideways(page)
