"""The Evaluate page in Chromium: the form, one run and its items are real, the queue is scripted."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from playground import models
from playground.errors import MissingData
from playground.evaluate import estimate, items
from playground.evaluate.estimate import Expected
from playground.evaluate.items import Item, TaskFacts
from playground.evaluate.spec import Conditions, EvaluateSpec
from playground.store import folders
from tests.fakes.engine import FakeEngine
from tests.fakes.evaluation_run import TASKS, VARIANTS, FakeVariant, divergence_run, evaluation
from tests.fakes.queue import FakeQueue
from tests.fakes.site import serving

pytestmark = pytest.mark.browser
Open = Callable[..., Page]
EVIL = "<img src=x onerror=alert(1)>"


@pytest.fixture
def queue(home: Path, monkeypatch: pytest.MonkeyPatch) -> FakeQueue:
    monkeypatch.setattr("playground.jobs.queue.best_device", lambda: "cpu")

    def expected(_asked: Any, _tasks: Any, *, measure: bool, busy: float) -> Expected:
        return Expected((130.0, 290.0), 200.0, ("Some layers.",)) if measure else Expected(None, measures=True)

    monkeypatch.setattr(estimate, "expected", expected)
    return FakeQueue()


@pytest.fixture
def open_evaluate(queue: FakeQueue, chromium: Browser) -> Iterator[Open]:
    """The page, its form drawn or folded. No script may fail, and the policy of the page refuses nothing."""
    broken: list[str] = []
    pages: list[Page] = []
    with ExitStack() as running:
        url = running.enter_context(serving(FakeEngine(), queue=queue))

        def opened(width: int = 1440, height: int = 900, colours: str = "light") -> Page:
            context = chromium.new_context(viewport={"width": width, "height": height}, color_scheme=colours)  # type: ignore[arg-type]
            page = context.new_page()
            page.on("pageerror", lambda error: broken.append(str(error)))
            page.on("console", lambda line: "Content Security Policy" in line.text and broken.append(line.text))
            page.on("dialog", lambda dialog: (broken.append(f"dialog: {dialog.message}"), dialog.dismiss()))
            page.goto(f"{url}#evaluate")
            pages.append(page)
            expect(page.locator(".ev-form .ev-model input, .ev-folded")).to_be_visible(timeout=30_000)
            return page

        yield opened
        for page in pages:
            page.context.close()
    assert not broken, f"the page broke: {broken}"


def line(page: Page, label: str) -> Locator:
    return page.locator(".ev-table tbody tr").filter(has=page.get_by_text(label, exact=True))


def labels(page: Page) -> Locator:
    return page.locator(".ev-table tbody .who b")


def test_the_form_says_what_it_can_detect_and_queues_it(open_evaluate: Open, queue: FakeQueue) -> None:
    page = open_evaluate()
    expect(page.get_by_role("combobox", name="Model to evaluate")).to_have_value("smollm2")
    expect(page.locator(".ev-run .ui-empty")).to_contain_text("Nothing evaluated yet.")
    chosen = page.locator(".ev-form [aria-label=Tasks] input:checked")
    expect(chosen.first).to_be_visible()
    while chosen.count():
        chosen.first.click()
    expect(page.locator(".ev-plan .ui-go")).to_contain_text("Measure the divergence of 1 variant")
    expect(page.locator(".ev-alone")).to_be_visible()
    page.locator(".ev-also .ev-tick", has_text="Divergence").locator("input").uncheck()
    expect(page.locator(".ev-plan .pg-notice")).to_contain_text("No task was named")
    expect(page.locator(".ev-plan .ui-go")).to_be_disabled()
    page.locator(".ev-tick", has_text="GSM8K").locator("input").check()
    page.locator(".ev-tick", has_text="int8").locator("input").check()
    page.get_by_label("Items per task").fill("200")
    expect(page.locator(".ev-sees tbody tr")).to_have_text("gsm8k2006.2 points")
    expect(page.locator(".ev-sees thead")).to_contain_text("smallest detectable drop")
    expect(page.locator(".ev-plan .ui-go")).to_have_text("Evaluate 2 variants on 1 task, 2.2–5 min")
    expect(page.locator(".ev-time b")).to_have_text("2.2–5 min")
    expect(page.locator(".ev-power")).to_contain_text("you need about 870 items per task (≈ 2.2–5 min)")
    page.get_by_label("Drop to detect").select_option("5")
    expect(page.locator(".ev-power")).to_contain_text("312 items")
    page.locator(".ev-form summary").click()
    page.get_by_label("Batch size").fill("two")
    expect(page.locator(".ev-wrong")).to_have_text("The batch size has to be a whole number.")
    expect(page.locator(".ev-plan .ui-go")).to_be_disabled()
    page.get_by_label("Batch size").fill("2")
    page.get_by_label("Generation").fill("max_gen_toks=64, do_sample=false")
    expect(page.locator(".ev-form .ui-said")).to_contain_text("batch 2")
    expect(page.locator(".ev-plan .ui-go")).to_be_enabled()
    page.keyboard.press("Control+Enter")
    job = page.locator("#pg-evaluate .ui-job")
    expect(job).to_contain_text("gsm8ksmollm2 against")
    expect(job.locator(".ui-state")).to_have_text("queued")
    (asked,) = (one.spec for one in queue.jobs.values())
    assert (asked["tasks"], asked["limit"], asked["batch_size"]) == (["gsm8k"], 200, 2)
    assert asked["generation"] == {"max_gen_toks": 64, "do_sample": False}
    assert asked["variants"][0] == "smollm2" and "smollm2:int8" in asked["variants"]


def test_the_model_is_chosen_from_a_list_or_typed(open_evaluate: Open) -> None:
    page = open_evaluate()
    field = page.get_by_role("combobox", name="Model to evaluate")
    field.click()
    expect(page.locator(".ev-model").get_by_role("option", name="smollm2", exact=True)).to_be_visible()
    field.fill("no-such-model")
    field.press("Enter")
    expect(page.locator(".ev-form .pg-notice")).to_contain_text("There is no model")
    expect(field).to_have_value("smollm2")


def test_a_job_is_watched_until_its_run_opens(open_evaluate: Open, queue: FakeQueue) -> None:
    asked = EvaluateSpec(
        variants=("smollm2", "smollm2:nf4"), conditions=Conditions(tasks=("bundled_facts",), limit=200)
    )
    job = queue.submit(asked)
    queue.start(job, ago=20)
    queue.stage(job, "nf4 on bundled_facts", 50, 200, "items", at=12.0)
    failed = queue.submit(asked)
    queue.end(failed, "failed", MissingData("There is no data of bundled_facts.", hint="Look for it."))
    page = open_evaluate()
    cards = page.locator("#pg-evaluate .ui-job")
    expect(cards.first.locator(".ui-stage")).to_have_text("nf4 on bundled_facts")
    expect(cards.first.locator(".ui-much")).to_contain_text("50 of 200 items")
    expect(cards.nth(1).locator(".pg-notice")).to_contain_text("There is no data of bundled_facts. Look for it.")
    run = evaluation(VARIANTS[:2], TASKS[2:3])
    queue.end(job, "done", result={"run": run.id})
    expect(page.locator(".ev-said")).to_contain_text("nf4")
    expect(cards).to_have_count(1)
    expect(page.locator(".ev-line [aria-current]")).to_have_count(1)


def test_the_verdict_stands_before_its_doubts_and_every_number(open_evaluate: Open, tmp_path: Path) -> None:
    run = evaluation()
    page = open_evaluate()
    said = page.locator(".ev-said")
    expect(said).to_have_count(4)
    expect(said.first).to_contain_text(re.compile(r"^RTN W3A16 loses .* points on bundled_cloze \(n = 160\)"))
    expect(page.locator(".ev-warnings")).to_have_count(1)
    warnings = page.locator(".ev-warnings > ul > li")
    expect(warnings).to_have_count(2)
    expect(warnings.first).to_contain_text("No verdict: W8A8 on bundled_cloze")
    expect(warnings.nth(1)).to_contain_text("Caution: ")
    expect(warnings.nth(1).locator("summary")).to_have_text("4 similar warnings")
    order = page.evaluate(
        "['.ev-verdict', '.ev-warnings', '.ev-table'].map((s) => document.querySelector(s).getBoundingClientRect().top)"
    )
    assert order == sorted(order)
    expect(line(page, "W8A8").locator(".ev-score").last).to_contain_text("no verdict")
    expect(labels(page).first).to_have_text("BF16")
    for _ in range(2):
        page.get_by_role("button", name="Sort by bundled_facts").click()
        expect(labels(page).first, "sorting never hides the reference").to_have_text("BF16")
    expect(page.locator(".ev-table th[aria-sort]")).to_have_count(1)
    expect(page.locator(".ev-table th[aria-sort=ascending]")).to_contain_text("bundled_facts")
    sorted_up = labels(page).all_inner_texts()
    page.get_by_role("button", name=f"Pin {sorted_up[-1]}").click()
    expect(labels(page)).to_have_text(["BF16", sorted_up[-1], *sorted_up[1:-1]])
    page.get_by_label("Filter variants").fill("gptq")
    expect(labels(page)).to_have_text(["BF16", sorted_up[-1], "GPTQ W4A16"])
    page.get_by_label("Filter variants").fill("")
    page.get_by_label("Filter by verdict").select_option("withheld")
    expect(line(page, "nf4")).to_have_count(0)
    page.get_by_role("button", name="Show bundled_math").click()
    expect(page.locator(".ev-table thead th")).to_have_count(8)
    cell = line(page, "W8A8").locator("td.fact").nth(2).locator(".v")
    cell.hover()
    expect(page.locator(".pg-tip")).to_contain_text("In transformers: 3 repetitions")
    with page.expect_download() as got:
        page.get_by_role("button", name="Download as CSV").click()
    got.value.save_as(tmp_path / "run.csv")
    with (tmp_path / "run.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(run.result["rows"])
    page.locator(".ev-plots").scroll_into_view_if_needed()
    expect(page.locator(".ev-frontier")).to_contain_text("(by mean)")
    page.get_by_label("Vertical axis").select_option("bundled_facts")
    expect(page.locator(".ev-card.sized svg")).to_contain_text("bundled_facts, acc, %")
    page.locator(".ev-card.scores").scroll_into_view_if_needed()
    expect(page.locator(".ev-card.scores svg")).to_have_count(len(TASKS))


def test_a_divergence_alone_shows_every_measure_and_where_the_reference_was_sure(open_evaluate: Open) -> None:
    divergence_run()
    page = open_evaluate()
    table = page.locator(".ev-moved")
    expect(table.locator("tbody tr")).to_have_count(len(VARIANTS) + 1)
    expect(table.locator("tbody tr").nth(1)).to_contain_text("Noise floor")
    expect(table.locator("tr", has_text="RTN W3A16")).to_contain_text("%")
    expect(page.locator(".ev-table, .ev-browse")).to_have_count(0)
    page.locator(".ev-plots").scroll_into_view_if_needed()
    page.locator(".ev-card.confidence").scroll_into_view_if_needed()
    columns = page.locator(".ev-card.confidence [aria-roledescription=bar]")
    expect(columns).to_have_count(5 * (len(VARIANTS) - 1))
    columns.last.hover()
    expect(page.locator(".pg-tip")).to_contain_text("reference confidence")
    expect(page.locator(".ev-card.confidence .ev-key")).to_contain_text("noise floor")
    expect(page.locator(".ev-line")).to_contain_text(re.compile(r"divergence alone\s+8,192 tokens"))
    page.locator(".ev-how summary").click()
    expect(page.locator(".ev-how dl")).to_contain_text("93 s in all · expected 60 s to 2 min")


def test_items_are_browsed_by_what_changed(open_evaluate: Open) -> None:
    evaluation(VARIANTS[:3], TASKS[2:4])
    page = open_evaluate()
    page.locator(".ev-browse").scroll_into_view_if_needed()
    rows = page.locator(".ev-index .row")
    expect(rows.first).to_have_attribute("aria-selected", "true")
    page.get_by_label("Variant", exact=True).select_option("GPTQ W4A16")
    page.get_by_role("radio", name="Lost").click()
    flip = page.locator(".ev-flip")
    expect(flip).to_have_text("lost")
    answers = page.locator(".ev-item .answer")
    expect(answers.first).to_contain_text("BF16right")
    expect(answers.nth(1)).to_contain_text("GPTQ W4A16wrong")
    expect(page.locator(".ev-item .gold")).to_contain_text("Expected answer")
    page.get_by_role("radio", name="All").click()
    expect(page.locator(".ev-pager")).to_contain_text("1–8 of 200")
    rows.last.click()
    page.keyboard.press("ArrowDown")
    expect(page.locator(".ev-pager")).to_contain_text("9–16 of 200")
    expect(page.locator(".ev-item h4")).to_have_text("Item 9")
    page.keyboard.press("ArrowUp")
    expect(page.locator(".ev-item h4")).to_have_text("Item 8")


def test_older_runs_open_from_the_list_and_gone_items_say_so(open_evaluate: Open) -> None:
    old = evaluation(VARIANTS[:2], TASKS[2:3], files=False, created_at=1e9)
    evaluation(VARIANTS[:2], TASKS[3:4])
    page = open_evaluate()
    expect(page.locator(".ev-table thead")).to_contain_text("bundled_cloze")
    page.locator(f".ev-line[data-id='{old.id}'] .open").click()
    expect(page.locator(".ev-table thead")).to_contain_text("bundled_facts")
    expect(page.locator(".ev-browse")).to_contain_text("The items of this run are no longer on the disk.")
    page.locator(f".ev-line[data-id='{old.id}']").get_by_role("button", name=re.compile("^Delete")).click()
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(page.locator(".ev-line")).to_have_count(1)
    expect(page.locator(".ev-table thead")).to_contain_text("bundled_cloze")


def test_a_prompt_an_answer_and_a_name_stay_text(open_evaluate: Open) -> None:
    evil = FakeVariant(f"smollm2:{EVIL}", EVIL, EVIL, EVIL, 10**8, 6.0, 3.0, 0.04)
    task = TaskFacts(EVIL, EVIL, EVIL, None, True, 0, 9, 9, False, False, False)
    run = evaluation((VARIANTS[0], evil), (task,), files=False, title=EVIL)
    folder = folders.items(run.id, EVIL)
    folder.mkdir(parents=True)
    for index in range(2):
        found = Item(0, "a", str(index), "", EVIL, EVIL, EVIL, EVIL, float(index), True, (-1.0, -2.0))
        items.write(folder / f"{index}.jsonl", [found])
    page = open_evaluate()
    expect(page.locator(".ev-said")).to_contain_text(EVIL)
    page.locator(".ev-browse").scroll_into_view_if_needed()
    expect(page.locator(".ev-item .answer").last).to_contain_text(EVIL)
    expect(page.locator(".ev-differs")).to_be_visible()
    page.locator(".ev-table .who b").last.hover()
    expect(page.locator(".pg-tip")).to_contain_text(EVIL)
    assert page.locator("#pg-evaluate img, .pg-tip img").count() == 0


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_a_phone_shows_everything_without_scrolling_sideways(open_evaluate: Open, colours: str) -> None:
    evaluation()
    page = open_evaluate(width=390, height=844, colours=colours)
    page.get_by_role("button", name="Change").click()
    page.locator(".ev-form summary").click()
    page.locator(".ev-browse").scroll_into_view_if_needed()
    expect(page.locator(".ev-item .answer").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    parts = (".ev-plan .ui-go", ".ev-said", ".ev-table tr:last-child .ev-score", ".ev-plots .ev-card", ".ev-index .row")
    for part in (*parts, ".ev-item .answer", ".ev-line .open"):
        box = page.locator(part).first.bounding_box()
        assert box and box["x"] >= 0 and box["x"] + box["width"] <= 390, part


def test_the_result_comes_first_and_the_form_is_one_line(open_evaluate: Open) -> None:
    evaluation(VARIANTS[:3], TASKS[2:4])
    page = open_evaluate()
    folded = page.locator(".ev-folded")
    expect(folded).to_contain_text("Evaluated nf4, GPTQ W4A16 against BF16 on bundled_facts, bundled_cloze")
    top = page.locator(".ev-verdict").bounding_box()
    assert top and top["y"] < 300, "the verdict is on the first screen"
    folded.get_by_role("button", name="Change").click()
    expect(page.get_by_role("combobox", name="Model to evaluate")).to_be_focused()
    expect(folded).to_have_count(0)
    page.reload()
    expect(page.get_by_role("combobox", name="Model to evaluate")).to_be_visible()


def test_a_reload_keeps_the_form_and_the_open_run(open_evaluate: Open) -> None:
    old = evaluation(VARIANTS[:2], TASKS[2:3], created_at=1e9)
    evaluation(VARIANTS[:2], TASKS[3:4])
    page = open_evaluate()
    page.get_by_role("button", name="Change").click()
    page.locator(".ev-tick", has_text="GSM8K").locator("input").check()
    page.locator(".ev-tick", has_text="int8").locator("input").check()
    page.get_by_label("Items per task").fill("77")
    page.get_by_label("Chat template").first.select_option("1")
    page.locator(f".ev-line[data-id='{old.id}'] .open").click()
    expect(page.locator(".ev-table thead")).to_contain_text("bundled_facts")
    expect(page).to_have_url(re.compile(re.escape(f"#evaluate?run={old.id}") + "$"))
    page.reload()
    expect(page.get_by_label("Items per task")).to_have_value("77")
    expect(page.get_by_label("Chat template").first).to_have_value("1")
    expect(page.locator(".ev-tick", has_text="GSM8K").locator("input")).to_be_checked()
    expect(page.locator(".ev-tick", has_text="int8").locator("input")).to_be_checked()
    expect(page.locator(f".ev-line[data-id='{old.id}'] [aria-current]")).to_be_visible()
    expect(page.locator(".ev-table thead")).to_contain_text("bundled_facts")


def test_variants_are_read_again_when_the_page_is_shown(open_evaluate: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    page = open_evaluate()
    box = page.locator(".ev-form [aria-label=Variants] .ev-tick")
    expect(box.filter(has_text="int8")).to_have_count(1)
    known = models.variants
    monkeypatch.setattr(models, "variants", lambda name: [one for one in known(name) if "int8" not in one.id])
    page.get_by_role("link", name="Runs").click()
    page.get_by_role("link", name="Evaluate").click()
    expect(box.filter(has_text="int8")).to_have_count(0)
    expect(box.filter(has_text="fp4")).to_have_count(1)


def test_a_cell_opens_what_stands_behind_its_figure(open_evaluate: Open) -> None:
    evaluation()
    page = open_evaluate()
    cell = line(page, "RTN W3A16").locator(".ev-score").last
    expect(cell).to_contain_text("worse")
    cell.focus()
    page.keyboard.press("Enter")
    details = page.locator(".ev-details")
    expect(details).to_be_visible()
    for words in ("Recovery", "95% interval", "Smallest detectable drop", "Flips", "McNemar"):
        expect(details).to_contain_text(words)
    page.keyboard.press("Escape")
    expect(details).to_be_hidden()
    expect(cell).to_be_focused()


def test_the_table_of_four_tasks_fits_a_desk_and_scrolls_in_its_box_below(open_evaluate: Open) -> None:
    evaluation()
    page = open_evaluate()
    wrap, name = page.locator(".ev-wrap").first, page.locator(".ev-table tbody tr:last-child .who")
    expect(page.locator(".ev-table thead th")).to_have_count(9)
    assert wrap.evaluate("node => node.scrollWidth <= node.clientWidth"), "1382 pixels hold it"
    page.set_viewport_size({"width": 900, "height": 900})
    assert wrap.evaluate("node => node.scrollWidth > node.clientWidth")
    before = name.bounding_box()
    wrap.evaluate("node => { node.scrollLeft = 9999 }")
    after = name.bounding_box()
    assert before and after and abs(before["x"] - after["x"]) < 25, "the name of the row stays"
    assert page.locator("#pg-evaluate").evaluate("node => node.scrollWidth") <= 900


@pytest.mark.parametrize("width", [1440, 390])
def test_labels_of_the_plot_overlap_nothing(open_evaluate: Open, width: int) -> None:
    """Where there is no room for labels, a legend takes their place."""
    long = "a variant whose name is longer than a phone is wide"
    near = [replace(VARIANTS[1], id=f"smollm2:n{n}", label=f"{long} {n}", bytes=10**8 + n) for n in range(6)]
    evaluation((VARIANTS[0], *near), TASKS[2:3], created_at=1e9)
    evaluation()
    page = open_evaluate(width=width)
    page.locator(".ev-plots").scroll_into_view_if_needed()
    picture = page.locator(".ev-card.sized svg")
    for axis in ("kld", "bundled_facts"):
        page.get_by_label("Vertical axis").select_option(axis)
        expect(picture.locator(".mark-text.role-mark text")).not_to_have_count(0)
        boxes = [one.bounding_box() for one in picture.locator(".mark-text.role-mark text").all()]
        frame = picture.bounding_box()
        assert frame and len(boxes) >= len(VARIANTS) - 1
        for number, one in enumerate(boxes):
            assert one and frame["x"] - 1 <= one["x"] and one["x"] + one["width"] <= frame["x"] + frame["width"] + 1
            for other in boxes[number + 1 :]:
                assert other
                apart = one["x"] + one["width"] <= other["x"] or other["x"] + other["width"] <= one["x"]
                assert apart or abs(one["y"] - other["y"]) >= 10
    page.locator(".ev-line .open").last.click()
    page.locator(".ev-plots").scroll_into_view_if_needed()
    expect(page.locator(".ev-card.sized .ev-key li")).to_have_count(6)
    expect(page.locator(".ev-card.sized svg .mark-text.role-mark text")).to_have_count(0)


def test_a_variant_has_one_colour_everywhere(open_evaluate: Open) -> None:
    evaluation()
    page = open_evaluate()
    page.locator(".ev-plots").scroll_into_view_if_needed()
    page.locator(".ev-card.scores").scroll_into_view_if_needed()
    bars = page.locator(".ev-card.scores svg").first.locator("[aria-roledescription=bar]")
    expect(bars).to_have_count(len(VARIANTS))
    fills = [one.get_attribute("fill") for one in bars.all()]
    assert fills == ["var(--grey)", *(f"var(--v{number})" for number in range(1, len(VARIANTS)))]
    marks = page.locator(".ev-card.sized svg [aria-roledescription=point]")
    expect(marks).not_to_have_count(0)
    assert {one.get_attribute("fill") for one in marks.all()} <= set(fills)


def test_a_visitor_sees_no_form_and_no_address_of_the_server(queue: FakeQueue, chromium: Browser) -> None:
    run = evaluation(VARIANTS[:2], TASKS[2:3])
    with serving(FakeEngine(), queue=queue) as url:
        context = chromium.new_context(extra_http_headers={"X-Forwarded-For": "10.0.0.1"})
        page = context.new_page()
        page.goto(f"{url}#evaluate")
        note = page.locator(".ev-visitor")
        expect(note).to_contain_text("available to the owner only")
        expect(note.get_by_role("button", name="Log in")).to_be_visible()
        expect(page.locator(".ev-form, .ev-plan, .ev-line, .ui-empty")).to_have_count(0)
        expect(page.locator("#pg-evaluate")).not_to_contain_text("127.0.0.1")
        page.goto(f"{url}#evaluate?run={run.id}")
        page.reload()
        expect(page.locator(".ev-said")).to_contain_text("nf4")
        context.close()
