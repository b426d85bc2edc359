"""The Quantize page in Chromium: form, estimate and cards are real, the queue is scripted."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from playground.errors import PlaygroundError, QuantizeFailed
from playground.methods.recipe import Recipe
from playground.quantize import api
from playground.quantize.estimate import Facts
from playground.quantize.machine_speed import Speed
from playground.quantize.spec import QuantizeSpec
from tests.fakes.engine import FakeEngine
from tests.fakes.queue import FakeQueue
from tests.fakes.site import serving
from tests.fakes.variants import layers, made

pytestmark = pytest.mark.browser
Open = Callable[..., Page]
EVIL = "<img src=x onerror=alert(1)>"


@pytest.fixture
def queue(home: Path, monkeypatch: pytest.MonkeyPatch) -> FakeQueue:
    """No speed is measured: that takes ten seconds of computing."""

    def facts(out: str = "", *, measure: bool = True) -> Facts:
        return Facts(None, 20 * 10**9, 60 * 10**9)

    monkeypatch.setattr(api, "facts", facts)
    monkeypatch.setattr("playground.quantize.job.facts", facts)
    monkeypatch.setattr("playground.jobs.queue.best_device", lambda: "cpu")
    return FakeQueue()


@pytest.fixture
def site(queue: FakeQueue) -> Iterator[Callable[[], str]]:
    with ExitStack() as running:
        yield lambda: running.enter_context(serving(FakeEngine(), queue=queue))


@pytest.fixture
def open_quantize(site: Callable[[], str], chromium: Browser) -> Iterator[Open]:
    """The page, its form drawn. No script may fail."""
    broken: list[str] = []
    pages: list[Page] = []
    url: list[str] = []

    def opened(width: int = 1440, height: int = 900, colours: str = "light") -> Page:
        url.extend([] if url else [site()])
        context = chromium.new_context(viewport={"width": width, "height": height}, color_scheme=colours)  # type: ignore[arg-type]
        page = context.new_page()
        page.on("pageerror", lambda error: broken.append(str(error)))
        page.on("dialog", lambda dialog: (broken.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.goto(f"{url[0]}#quantize")
        pages.append(page)
        expect(page.get_by_role("radio", name="GGUF", exact=True)).to_be_checked()
        return page

    yield opened
    for page in pages:
        page.context.close()
    assert not broken, f"the page broke: {broken}"


def cells(page: Page) -> Locator:
    return page.locator("qz-heat [data-tip]")


def go(page: Page) -> Locator:
    return page.locator("#pg-quantize .ui-go")


def choose(page: Page, method: str) -> None:
    page.get_by_role("radio", name=method, exact=True).click()


def job(page: Page, index: int = 0) -> Locator:
    return page.locator("#pg-quantize .ui-job").nth(index)


def running(queue: FakeQueue, method: str = "gptq", scheme: str = "W4A16", model: str = "smollm2") -> str:
    found = queue.submit(QuantizeSpec(model=model, recipe=Recipe(method=method, scheme=scheme, group_size=64)))
    queue.start(found, ago=30)
    return found


def test_the_form_says_what_comes_out_and_queues_it(open_quantize: Open, queue: FakeQueue) -> None:
    page = open_quantize()
    choose(page, "AWQ")
    expect(page.locator(".qz-cost .sizes")).to_have_text("269 MB→114 MB")
    expect(page.locator(".qz-cost .ratio")).to_have_text("2.36× smaller · 16.0 → 6.8 bits per weight")
    expect(page.locator(".qz-cost .id")).to_have_text("smollm2:awq-w4a16_asym-g64")
    expect(page.locator(".qz-why")).to_contain_text("Group size 64")
    expect(page.locator(".qz-calibration")).to_be_visible()
    expect(page.locator("#pg-quantize .ui-empty")).to_contain_text("Nothing made yet.")
    choose(page, "RTN")
    expect(page.locator(".qz-calibration")).to_be_hidden()
    page.locator("#pg-quantize .ui-fields select").first.select_option("W8A16")
    expect(page.locator(".qz-cost .sizes b")).to_have_text("166 MB")
    page.get_by_label("Group size").select_option("32")
    expect(page.locator(".qz-cost .id")).to_have_text("smollm2:rtn-w8a16-g32")
    page.locator("#pg-quantize .ui-more summary").click()
    page.get_by_label("Name of the variant").fill("mine")
    expect(page.locator(".qz-cost .id")).to_have_text("smollm2:mine")
    expect(go(page)).to_be_enabled()
    page.keyboard.press("Control+Enter")
    expect(job(page)).to_contain_text("RTN W8A16smollm2")
    expect(job(page).locator(".ui-state")).to_have_text("queued")
    (made_of,) = (one.spec for one in queue.jobs.values())
    assert (made_of["name"], made_of["recipe"]["group_size"], made_of["recipe"]["calibration"]) == ("mine", 32, {})


def test_what_cannot_run_is_refused_with_what_to_do(
    open_quantize: Open, queue: FakeQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = open_quantize()
    choose(page, "FP8")
    page.locator("#pg-quantize .ui-fields select").first.select_option("FP8_BLOCK")
    expect(page.locator(".qz-cost .pg-notice")).to_contain_text("Use FP8_DYNAMIC")
    expect(go(page)).to_be_disabled()
    page.locator("#pg-quantize .ui-fields select").first.select_option("FP8_DYNAMIC")
    expect(go(page)).to_be_enabled()
    monkeypatch.setattr(api, "facts", lambda **_: Facts(None, 10**8, 60 * 10**9))
    monkeypatch.setattr("playground.quantize.job.facts", lambda *_, **__: Facts(None, 10**8, 60 * 10**9))
    go(page).click()
    expect(page.locator(".qz-cost .pg-notice")).to_contain_text("of memory and 100 MB are free")
    choose(page, "RTN")
    expect(go(page)).to_be_disabled()
    expect(go(page)).to_have_text("Not possible with these settings")
    assert not queue.jobs


def test_a_file_is_read_here_and_a_broken_one_says_where(open_quantize: Open, queue: FakeQueue, tmp_path: Path) -> None:
    page = open_quantize()
    good, bad, big = tmp_path / "chat.jsonl", tmp_path / "bad.jsonl", tmp_path / "big.txt"
    line = json.dumps({"text": "Ein längerer Satz über Äpfel, der als Beispiel dient. " * 40}, ensure_ascii=False)
    good.write_text(f"{line}\n" * 300, encoding="utf-8")  # more than one piece, with characters of two bytes
    bad.write_text(f"{line}\nnot json\n", encoding="utf-8")
    big.write_bytes(b"x" * (21 * 2**20))
    choose(page, "AWQ")
    page.get_by_role("radio", name="File", exact=True).click()
    expect(page.locator(".qz-calibration .qz-wrong")).to_contain_text("No calibration file is chosen.")
    expect(page.locator(".qz-cost")).to_contain_text("See the marked field in the form.")
    chooser = page.locator("input[type=file][aria-label='Calibration file']")
    chooser.set_input_files(bad)
    expect(page.locator(".qz-file")).to_contain_text("Line 2 of the file")
    chooser.set_input_files(big)
    expect(page.locator(".qz-file")).to_contain_text("the page takes 21 MB")
    chooser.set_input_files(good)
    expect(page.locator(".qz-file")).to_contain_text("chat.jsonl: 300 samples")
    expect(go(page)).to_be_enabled()
    go(page).click()
    expect(job(page)).to_contain_text("AWQ W4A16_ASYM")
    (asked,) = (one.spec["recipe"]["calibration"] for one in queue.jobs.values())
    assert Path(asked["source"]).read_bytes() == good.read_bytes()


def test_a_job_is_watched_to_its_card(open_quantize: Open, queue: FakeQueue) -> None:
    page = open_quantize()
    found = running(queue)
    waiting = queue.submit(QuantizeSpec(model="smollm2", recipe=Recipe(method="fp8", scheme="FP8_DYNAMIC")))
    expect(job(page)).to_contain_text("Starting the worker")
    expect(job(page, 1)).to_contain_text("Waits for 1 job before it")
    for at in range(20):
        queue.tell(found, "memory", float(at), bytes=int(6e8 + 4e8 * math.sin(at / 10)))
    queue.stage(found, "quantizing with GPTQ", 0, 30, "layers", at=5.0)
    queue.stage(found, "quantizing with GPTQ", 15, 30, "layers", at=25.0)
    for one in layers():
        queue.tell(found, "layer", name=one["name"], error=one["relative_error"], what="relative weight error")
    expect(job(page).locator(".ui-stage")).to_have_text("Quantizing with GPTQ")
    expect(job(page).locator(".ui-much")).to_contain_text("layer 16 of 30 · about 20 s left")
    expect(job(page).locator(".bar")).to_have_attribute("aria-valuenow", "15")
    expect(job(page).locator(".ui-mini-head").first).to_contain_text("979 MB, peak 1.00 GB")
    expect(job(page).locator(".col")).to_have_count(9)
    job(page).locator(".col").last.hover(force=True)
    expect(page.locator(".pg-tip")).to_have_text("model.layers.2.mlp.down_proj: 6.2%")
    queue.logs[found] = "one line\nanother"
    job(page).locator("summary").click()
    expect(job(page).locator("pre")).to_have_text("one line\nanother")
    queue.logs[found] += "\nas it comes"
    expect(job(page).locator("pre")).to_contain_text("as it comes")
    row = made("gptq-w4a16-g64", method="gptq", scheme="W4A16")
    queue.end(found, "done", result={"variant": row.id})
    expect(page.locator(".qz-card")).to_have_count(1)
    expect(page.locator(".qz-table .qz-line")).to_have_attribute("aria-expanded", "true")
    expect(page.locator("#pg-quantize .ui-job")).to_have_count(1)
    queue.start(waiting)
    expect(job(page).locator(".ui-state")).to_have_text("running")


def test_stop_asks_once_and_run_again_queues_it_anew(open_quantize: Open, queue: FakeQueue) -> None:
    found = running(queue)
    page = open_quantize()
    stop = page.get_by_role("button", name="Stop GPTQ W4A16")
    stop.click()
    expect(page.get_by_role("button", name="Stop it")).to_be_focused()
    page.keyboard.press("Escape")
    expect(stop).to_be_focused()
    stop.click()
    page.get_by_role("button", name="Stop it").click()
    expect(job(page).locator(".ui-state")).to_have_text("stopping")
    queue.end(found, "cancelled")
    expect(job(page)).to_contain_text("No incomplete files are left.")
    page.get_by_role("button", name="Run GPTQ W4A16 again").click()
    expect(page.locator("#pg-quantize .ui-job")).to_have_count(2)
    assert [one.state for one in queue.list()] == ["queued", "cancelled"]


def test_a_failure_says_why_and_another_browser_sees_the_same(open_quantize: Open, queue: FakeQueue) -> None:
    found = running(queue)
    queue.stage(found, "saving", at=20.0)
    queue.logs[found] = "Traceback of the tool"
    page = open_quantize()
    expect(job(page).locator(".ui-state")).to_have_text("running")
    queue.end(found, "failed", QuantizeFailed("The disk is full.", hint="Delete a variant."))
    for one in (page, open_quantize()):
        expect(job(one).locator(".pg-notice")).to_have_text("The disk is full. Delete a variant.")
        expect(job(one)).to_contain_text("Failed while saving")
    page.reload()
    expect(job(page).locator(".ui-state")).to_have_text("failed")
    job(page).locator("summary").click()
    expect(job(page).locator("pre")).to_have_text("Traceback of the tool")


def test_the_card_shows_what_was_gained_and_where_it_hurt(open_quantize: Open, tmp_path: Path) -> None:
    row = made()
    page = open_quantize()
    card = page.locator(".qz-card")
    expect(card.locator(".qz-num b").first).to_have_text("114 MB")
    expect(card.locator(".qz-nums").first).to_contain_text("from 269 MB · as estimated")
    expect(card.locator(".qz-nums").first).to_contain_text("2.36×")
    expect(card.locator(".qz-where")).to_contain_text("down_proj loses most (6.1% on average)")
    card.locator("qz-heat").scroll_into_view_if_needed()
    expect(cells(page)).to_have_count(9)
    cells(page).last.hover()
    expect(page.locator(".pg-tip")).to_contain_text("model.layers.2.mlp.down_proj")
    expect(card.locator(".qz-scale")).to_have_text("0%6.2%, one scale for all variants")
    expect(card.locator(".qz-checks h4")).to_have_text("Save/reload check (not a comparison with the original)")
    expect(card.locator(".qz-checks")).to_contain_text("100%same top token")
    expect(card.locator("pre").first).to_contain_text("--method awq --scheme W4A16_ASYM --group-size 64 --samples 32")
    with page.expect_download() as got:
        page.get_by_role("button", name="Download the recipe").click()
    got.value.save_as(tmp_path / "recipe.yaml")
    assert (tmp_path / "recipe.yaml").read_text() == (Path(row.path) / "recipe.yaml").read_text()
    with page.expect_download() as got:
        card.get_by_role("link", name="Download, 1 MB").click()
    got.value.save_as(tmp_path / "all.tar")
    assert (tmp_path / "all.tar").stat().st_size > 1_000_000
    for words, address in (
        ("Compare with the original", "#compare?show=smollm2%3Aawq-w4a16_asym-g64"),
        ("Evaluate", "#evaluate?model=smollm2&variants=smollm2%3Aawq-w4a16_asym-g64"),
        ("Measure speed", "#speed?model=smollm2&variants=smollm2%3Aawq-w4a16_asym-g64"),
    ):
        expect(card.get_by_role("link", name=words, exact=True)).to_have_attribute("href", address)
    card.get_by_role("link", name="Evaluate", exact=True).click()
    expect(page).to_have_url(re.compile("#evaluate[?]model=smollm2&variants=smollm2%3Aawq-w4a16_asym-g64$"))
    page.go_back()
    page.get_by_role("button", name=f"Delete {row.id}").click()
    expect(card.locator(".ui-asks")).to_contain_text("Delete 1 MB?")
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(card).to_have_count(0)
    expect(page.locator("#pg-quantize .ui-empty")).to_be_visible()
    assert not Path(row.path).exists()


def test_a_name_an_error_and_a_log_stay_text(open_quantize: Open, queue: FakeQueue) -> None:
    found = queue.submit(QuantizeSpec(model=EVIL, recipe=Recipe(method="rtn", scheme=EVIL)))
    queue.start(found)
    queue.stage(found, EVIL, 1, 2, EVIL)
    queue.tell(found, "layer", name=EVIL, error=0.5, what=EVIL)
    queue.logs[found] = EVIL
    made(
        card={"layers": [{"name": f"model.layers.0.{EVIL}", "relative_error": 0.1, "snr_db": None}], "reasons": [EVIL]}
    )
    page = open_quantize()
    expect(job(page)).to_contain_text(EVIL)
    job(page).locator("summary").click()
    expect(job(page).locator("pre")).to_have_text(EVIL)
    expect(page.locator(".qz-checks")).to_contain_text(EVIL)
    page.locator("qz-heat").scroll_into_view_if_needed()
    cells(page).hover()
    expect(page.locator(".pg-tip")).to_contain_text(EVIL)
    queue.end(found, "failed", PlaygroundError(EVIL, hint=EVIL))
    expect(job(page).locator(".pg-notice")).to_contain_text(EVIL)
    page.get_by_role("combobox", name="Model to quantize").fill(EVIL)
    page.get_by_role("combobox", name="Model to quantize").press("Enter")
    expect(page.locator(".qz-form .pg-notice")).to_contain_text("There is no model")
    assert page.locator("#pg-quantize img, .pg-tip img").count() == 0


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_a_phone_shows_everything_without_scrolling_sideways(
    open_quantize: Open, queue: FakeQueue, colours: str
) -> None:
    made()
    found = running(queue)
    queue.stage(found, "quantizing with GPTQ", 15, 30, "layers", at=25.0)
    for at in range(20):
        queue.tell(found, "memory", float(at), bytes=10**9)
    page = open_quantize(width=390, height=844, colours=colours)
    page.locator("#pg-quantize .ui-more summary").click()
    page.locator("qz-heat").scroll_into_view_if_needed()
    expect(cells(page)).to_have_count(9)
    expect(job(page).locator("svg")).to_have_count(1)
    for words in page.locator(".qz-method .good").all():
        expect(words).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for part in (
        ".qz-methods",
        "#pg-quantize .ui-go",
        ".qz-advanced",
        ".ui-job .bar",
        ".qz-where svg",
        ".qz-card pre",
        ".qz-acts",
        ".qz-table",
    ):
        box = page.locator(part).first.bounding_box()
        assert box and box["x"] >= 0 and box["x"] + box["width"] <= 390, part


def test_what_this_machine_is_good_at_comes_first(open_quantize: Open) -> None:
    page = open_quantize()
    methods = page.locator(".qz-method")
    expect(methods.first).to_contain_text("GGUF")
    expect(methods.first.locator(".best")).to_have_text("Recommended here")
    expect(methods.first.locator(".good")).to_have_text(
        "llama.cpp runs it fast on a CPU. Needs no calibration and is made quickly."
    )
    expect(page.locator(".best")).to_have_count(1)
    expect(methods.filter(has_text="GPTQ").first.locator("i")).to_have_text("needs calibration text")
    expect(methods.filter(has_text="RTN").first.locator("i")).to_have_text("no calibration")
    expect(page.locator(".qz-cost .id")).to_have_text("smollm2:gguf-q4_k_m")
    expect(page.get_by_label("KV cache")).to_have_count(0)
    choose(page, "RTN")
    expect(page.get_by_label("KV cache").locator("option").first).to_have_text("Unquantized (16-bit)")


def test_the_time_on_the_button_stays_in_one_piece(open_quantize: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    speed = Speed(1.0, 10**8, 1e11, 1e11, 1e10, 1e-4, 1e-8, 1e8, 1e8)
    monkeypatch.setattr(api, "facts", lambda **_: Facts(speed, 20 * 10**9, 60 * 10**9))
    page = open_quantize()
    choose(page, "AWQ")
    expect(go(page)).to_contain_text("Quantize with AWQ, ")
    time = str(go(page).evaluate("node => node.textContent")).partition(", ")[2].strip()
    assert re.fullmatch(
        r"[\d.]+\u2060–\u2060[\d.]+\u00a0(s|min|h)|[\d.]+\u00a0\w+\u00a0to\u00a0[\d.]+\u00a0\w+", time
    ), time


def test_the_table_lists_what_was_made(open_quantize: Open) -> None:
    made()
    made("gguf-q4_0", method="gguf", scheme="Q4_0", card={"layers": [], "reload": None, "seconds": None})
    page = open_quantize()
    rows = page.locator(".qz-table tbody tr")
    expect(rows.nth(0)).to_contain_text("GGUF Q4_0")
    expect(rows.nth(1).locator("td")).to_have_text(
        ["269 MB → 114 MB", "6.8", "6.2%", "3 min", re.compile("Compare.*Details", re.S)]
    )
    expect(rows.nth(0).locator("td").nth(2)).to_have_text("–")
    expect(page.locator(".qz-card")).to_have_count(1)
    expect(page.locator(".qz-checks h4")).to_have_text("Read back from the file")
    rows.nth(1).get_by_role("button", name="Show the details of smollm2:awq-w4a16_asym-g64").click()
    expect(page.locator(".qz-card")).to_have_count(2)
    page.get_by_role("button", name="Close the details of smollm2:gguf-q4_0").last.click()
    expect(page.locator(".qz-card")).to_have_count(1)


def test_the_form_survives_a_reload_and_a_file_does_not(open_quantize: Open, tmp_path: Path) -> None:
    page = open_quantize()
    choose(page, "GPTQ")
    page.locator("#pg-quantize .ui-fields select").first.select_option("W8A8")
    page.get_by_label("Samples").fill("9")
    page.locator("#pg-quantize .ui-more summary").click()
    page.get_by_label("Name of the variant").fill("mine")
    page.get_by_label("dampening_frac").fill("0.02")
    page.get_by_role("radio", name="File", exact=True).click()
    good = tmp_path / "chat.jsonl"
    good.write_text(f"{json.dumps({'text': 'A sentence that is long enough. ' * 9})}\n" * 9)
    page.get_by_label("Calibration file").set_input_files(good)
    expect(page.locator(".qz-file")).to_contain_text("chat.jsonl: 9 samples")
    expect(page).to_have_url(re.compile("method=gptq.*scheme=W8A8"))
    page.reload()
    expect(page.get_by_role("radio", name="GPTQ", exact=True)).to_be_checked()
    expect(page.locator("#pg-quantize .ui-fields select").first).to_have_value("W8A8")
    expect(page.get_by_label("Samples")).to_have_value("9")
    expect(page.get_by_label("Name of the variant")).to_have_value("mine")
    expect(page.get_by_label("dampening_frac")).to_have_value("0.02")
    expect(page.locator(".qz-file")).to_contain_text(
        "chat.jsonl was chosen before the page was reloaded. Choose it again."
    )
    expect(go(page)).to_be_disabled()


def test_an_error_stands_at_its_field(open_quantize: Open) -> None:
    page = open_quantize()
    choose(page, "AWQ")
    page.get_by_label("Samples").fill("many")
    expect(page.locator(".qz-calibration .qz-wrong")).to_have_text("Samples is 'many'. Allowed: a whole number.")
    expect(page.get_by_label("Samples")).to_have_attribute("aria-invalid", "true")
    page.get_by_label("Samples").fill("8")
    expect(page.locator(".qz-wrong")).to_have_count(0)
    expect(go(page)).to_be_enabled()


def test_long_pasted_text_is_sent_as_a_file(open_quantize: Open, queue: FakeQueue) -> None:
    page = open_quantize()
    choose(page, "AWQ")
    page.get_by_role("radio", name="Pasted", exact=True).click()
    expect(page.locator(".qz-wrong")).to_contain_text("The pasted calibration text is empty.")
    text = "A sentence that is long enough, with Ä and 字. " * 2000
    page.get_by_label("Calibration text", exact=True).last.fill(text)
    expect(go(page)).to_be_enabled()
    go(page).click()
    expect(job(page)).to_contain_text("AWQ W4A16_ASYM")
    (asked,) = (one.spec["recipe"]["calibration"] for one in queue.jobs.values())
    assert asked["text"] == "" and Path(asked["source"]).read_text() == text


def test_a_lost_connection_is_said_and_recovers(open_quantize: Open, queue: FakeQueue) -> None:
    running(queue)
    page = open_quantize()
    expect(job(page)).to_be_visible()
    page.route("**/api/quantize/board*", lambda route: route.abort())
    expect(page.locator("#pg-quantize-board > .ui-trouble")).to_have_text(
        "The connection to the page is lost. Trying again. Jobs go on without it."
    )
    expect(job(page)).to_be_visible()
    page.unroute("**/api/quantize/board*")
    expect(page.locator("#pg-quantize-board > .ui-trouble .pg-notice")).to_have_count(0)


def test_a_visitor_sees_what_was_made_and_no_form(
    queue: FakeQueue, chromium: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLAYGROUND_OWNER_TOKEN", "x" * 24)
    made()
    running(queue)
    with serving(FakeEngine(), host="0.0.0.0", queue=queue) as url:  # noqa: S104
        page = chromium.new_page()
        page.goto(f"http://127.0.0.1:{url.rstrip('/').rpartition(':')[2]}/#quantize")
        expect(page.locator(".qz-visitor")).to_contain_text("Quantizing is available to the owner only.")
        expect(page.locator(".qz-card")).to_contain_text("Save/reload check")
        expect(job(page).locator(".ui-state")).to_have_text("running")
        for gone in (".qz-form", ".qz-cost", "#pg-quantize pg-confirm", ".qz-push", "#pg-quantize .ui-log"):
            expect(page.locator(gone)).to_have_count(0)
        for words in ("Evaluate", "Measure speed", "Download, 1 MB"):
            expect(page.locator(".qz-acts").get_by_role("link", name=words)).to_have_count(0)
        page.evaluate("document.addEventListener('pg-login', () => { document.title = 'asked'; })")
        page.locator(".qz-visitor").get_by_role("button", name="Log in").click()
        expect(page).to_have_title("asked")
        page.close()
