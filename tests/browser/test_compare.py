"""The Compare tab in Chromium, over a scripted engine."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from playground import models
from playground.engines import base
from playground.errors import EngineDied
from playground.web import stream
from tests.fakes import catalog
from tests.fakes.engine import GRAVITY, FakeEngine, Script
from tests.fakes.rows import until
from tests.fakes.site import serving

pytestmark = pytest.mark.browser
Serve = Callable[[FakeEngine], str]
Visit = Callable[..., Page]
TEXT = "".join(GRAVITY)
CLEAR = re.compile(r", 0\)$")  # the end of a colour that is transparent
BUSY = ", ".join(f".pane[data-state={state}]" for state in ("waiting", "loading", "ready", "reading", "running"))


def held(at: int = 3) -> FakeEngine:
    """Both default panes stop before token `at` until `go` is set."""
    return FakeEngine({name: Script(hold_at=at) for name in ("fake", "fake:nf4")})


def pane(page: Page, slot: int) -> Locator:
    return page.locator(f"#pg-slot-{slot} .pane")


def answer(page: Page, slot: int) -> Locator:
    return pane(page, slot).locator(".toks").last


def run(page: Page, prompt: str = "What is gravity?") -> None:
    """Returns once the run has begun, so that `finished` cannot mean the time before it."""
    page.locator("#pg-prompt textarea").fill(prompt)
    page.locator("#pg-run").click()
    expect(pane(page, 0).locator(".user").last).to_have_text(prompt)


def finished(page: Page) -> None:
    """A pane's state comes with its row; the button and the verdict are drawn a frame later."""
    expect(page.locator(BUSY)).to_have_count(0)
    expect(page.locator("#pg-run")).to_be_enabled()
    expect(page.locator(".verdict")).not_to_contain_text("Running.")


def button(page: Page, slot: int, name: str) -> Locator:
    return pane(page, slot).get_by_role("button", name=name, exact=True)


def test_both_panes_stream_and_the_verdict_follows(serve: Serve, visit: Visit) -> None:
    engine = held()
    page = visit(serve(engine))
    run(page)
    for slot in (0, 1):
        expect(answer(page, slot)).to_have_text("Gravity is a")
        expect(pane(page, slot)).to_have_attribute("data-state", "running")
    expect(page.locator("#pg-run")).to_be_disabled()
    engine.go.set()
    finished(page)
    for slot in (0, 1):
        expect(answer(page, slot)).to_have_text(TEXT)
        expect(pane(page, slot).locator(".status")).to_have_text("12 tokens · finished (end-of-text token)")
        expect(pane(page, slot).locator(".num.big .v")).not_to_have_text("–")
    expect(page.locator(".outcome b").first).to_have_text("nf4 is 59% smaller.")
    expect(page.locator(".caveats")).to_contain_text("this prompt only")
    expect(page.locator(".plot .series").first).to_be_attached()
    expect(page.locator("#pg-prompt textarea")).to_have_value("")


def test_one_pane_stops_the_other_goes_on(serve: Serve, visit: Visit) -> None:
    engine = held()
    page = visit(serve(engine))
    run(page)
    expect(answer(page, 1)).to_have_text("Gravity is a")
    button(page, 1, "Stop").click()
    expect(pane(page, 1).locator(".status")).to_have_text("3 tokens · stopped")
    expect(pane(page, 0)).to_have_attribute("data-state", "running")
    expect(page.locator("#pg-run")).to_be_disabled()
    engine.go.set()
    finished(page)
    expect(answer(page, 0)).to_have_text(TEXT)
    expect(answer(page, 1)).to_have_text("Gravity is a")


def test_stop_all(serve: Serve, visit: Visit) -> None:
    engine = held()
    page = visit(serve(engine))
    expect(page.locator("#pg-stop")).to_be_disabled()
    run(page)
    expect(answer(page, 1)).to_have_text("Gravity is a")
    page.locator("#pg-stop").click()
    finished(page)
    for slot in (0, 1):
        expect(pane(page, slot)).to_have_attribute("data-state", "stopped")
    until(lambda: not engine.active)


def test_regenerate_one_pane_reruns_its_last_turn_only(serve: Serve, visit: Visit) -> None:
    engine = FakeEngine()
    page = visit(serve(engine))
    run(page)
    finished(page)
    engine.scripts["fake:nf4"] = Script(tokens=["Other", " words"])
    button(page, 1, "Regenerate").click()
    expect(answer(page, 1)).to_have_text("Other words")
    finished(page)
    assert [generation.variant for generation in engine.asked].count("fake") == 1
    expect(pane(page, 1).locator(".user")).to_have_count(1)
    expect(answer(page, 0)).to_have_text(TEXT)
    expect(pane(page, 0).locator(".tk.div")).to_have_text("Gravity")
    expect(pane(page, 1).locator(".why")).to_contain_text("nf4 chose “Other” (92%)")


def test_every_pane_keeps_its_own_history_and_clear_forgets_it(serve: Serve, visit: Visit) -> None:
    engine = FakeEngine({"fake": Script(tokens=["one"]), "fake:nf4": Script(tokens=["two"])})
    page = visit(serve(engine))
    run(page, "first")
    finished(page)
    engine.prompts.clear()
    run(page, "second")
    expect(pane(page, 0).locator(".user")).to_have_text(["first", "second"])
    finished(page)
    said = [[turn["content"] for turn in source] for _, source in engine.prompts if not isinstance(source, str)]
    assert said == [["first", "one", "second"], ["first", "two", "second"]]
    expect(pane(page, 1).locator(".toks")).to_have_text(["two", "two"])
    page.locator("#pg-clear").click()
    expect(pane(page, 0)).to_have_attribute("data-state", "empty")
    expect(pane(page, 1).locator(".tk")).to_have_count(0)
    engine.prompts.clear()
    run(page, "third")
    finished(page)
    assert [len(source) for _, source in engine.prompts] == [1]


def test_a_failed_pane_says_what_happened_and_retries(serve: Serve, visit: Visit) -> None:
    died = EngineDied("The engine died.", hint="Run again: it starts anew.", log_tail="<b>last words</b>")
    engine = FakeEngine({"fake:nf4": Script(error=died, error_at=2)})
    page = visit(serve(engine))
    run(page)
    failed = pane(page, 1).locator(".fail")
    expect(failed).to_contain_text("The engine died.")
    expect(failed).to_contain_text("Run again: it starts anew.")
    expect(answer(page, 1)).to_have_text("Gravity is")
    expect(failed.locator("pre")).not_to_be_visible()
    failed.locator("summary").click()
    expect(failed.locator("pre")).to_have_text("<b>last words</b>")
    finished(page)
    expect(answer(page, 0)).to_have_text(TEXT)
    engine.scripts["fake:nf4"] = Script()
    failed.get_by_role("button", name="Try again").click()
    expect(answer(page, 1)).to_have_text(TEXT)
    expect(pane(page, 1).locator(".fail")).to_have_count(0)


ATTACKS = ["<img src=x onerror=alert(1)>", "${alert(1)}${1+1}", "{{7*7}}", "</script><script>alert(1)</script>"]


@pytest.mark.parametrize("attack", ATTACKS)
def test_prompts_and_output_stay_text(serve: Serve, visit: Visit, attack: str) -> None:
    split = [attack[start : start + 3] for start in range(0, len(attack), 3)]
    died = EngineDied(f"Failed on {attack}", hint=attack, log_tail=attack)
    engine = FakeEngine(
        {"fake": Script(tokens=split), "fake:nf4": Script(tokens=split, error=died, error_at=len(split) - 1)}
    )
    page = visit(serve(engine))
    run(page, attack)
    expect(pane(page, 0).locator(".user")).to_have_text(attack)
    expect(answer(page, 0)).to_have_text(attack)
    expect(pane(page, 1).locator(".fail b")).to_have_text(f"Failed on {attack}")
    finished(page)
    answer(page, 0).locator(".tk").nth(1).hover()
    expect(page.locator(".pg-tip")).to_contain_text("token 2")
    assert page.locator("img[src=x]").count() == 0


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_variant_name_stays_text(serve: Serve, visit: Visit, attack: str) -> None:
    page = visit(serve(FakeEngine()))
    picker = page.locator("#pg-variant-1 input")
    picker.fill(attack)
    picker.press("Enter")
    expect(page.locator("#pg-notice")).to_contain_text(f"There is no model '{attack}'")
    expect(pane(page, 1).locator("h2.label")).to_have_text("nf4")
    assert page.locator("img[src=x]").count() == 0


def test_an_unknown_variant_is_a_sentence_and_the_field_goes_back(serve: Serve, visit: Visit) -> None:
    page = visit(serve(FakeEngine()))
    picker = page.locator("#pg-variant-1 input")
    picker.fill("fake:nope")
    picker.press("Enter")
    expect(page.locator("#pg-notice")).to_contain_text("fake has no variant 'nope'. Known: nf4, int8, fp4.")
    expect(picker).to_have_value("nf4")
    expect(pane(page, 1).locator("h2.label")).to_have_text("nf4")
    picker.fill("int8")
    picker.press("Enter")
    expect(pane(page, 1).locator("h2.label")).to_have_text("int8")
    expect(page.locator("#pg-notice .pg-notice")).to_have_count(0)
    run(page)
    finished(page)
    expect(answer(page, 1)).to_have_text(TEXT)


def test_an_unknown_model_is_a_sentence_and_the_field_goes_back(serve: Serve, visit: Visit) -> None:
    page = visit(serve(FakeEngine()))
    picker = page.locator("#pg-model-pick input")
    before = picker.input_value()
    picker.fill("nobody/nothing")
    picker.press("Enter")
    expect(page.locator("#pg-notice")).to_contain_text("no model 'nobody/nothing'")
    expect(picker).to_have_value(before)
    expect(pane(page, 0).locator("h2.label")).to_have_text("BF16")


def test_panes_can_be_added_up_to_four_and_removed_down_to_two(serve: Serve, visit: Visit) -> None:
    engine = FakeEngine()
    page = visit(serve(engine))
    expect(page.locator("#pg-pick-1 .pg-remove")).not_to_be_visible()
    page.locator("#pg-add").click()
    expect(pane(page, 2).locator("h2.label")).to_have_text("int8")
    expect(page.locator("#pg-run")).to_have_text("Run all 3")
    page.locator("#pg-add").click()
    expect(pane(page, 3).locator("h2.label")).to_have_text("fp4")
    expect(page.locator("#pg-add")).not_to_be_visible()
    run(page)
    finished(page)
    for slot in range(4):
        expect(answer(page, slot)).to_have_text(TEXT)
    expect(page.locator(".outcome")).to_have_count(3)
    page.locator("#pg-pick-1 .pg-remove").click()
    expect(pane(page, 1)).not_to_be_visible()
    expect(page.locator(".outcome")).to_have_count(2)
    page.locator("#pg-pick-2 .pg-remove").click()
    expect(page.locator("#pg-run")).to_have_text("Run both")
    expect(answer(page, 3)).to_have_text(TEXT)


def test_a_new_pane_can_answer_the_last_prompt(serve: Serve, visit: Visit) -> None:
    page = visit(serve(FakeEngine()))
    expect(button(page, 0, "Run last prompt")).to_have_count(0)
    run(page, "What is gravity?")
    finished(page)
    page.locator("#pg-add").click()
    button(page, 2, "Run last prompt").click()
    expect(answer(page, 2)).to_have_text(TEXT)
    expect(pane(page, 2).locator(".user")).to_have_text("What is gravity?")
    expect(page.locator(".outcome")).to_have_count(2)


def test_keys(serve: Serve, visit: Visit) -> None:
    engine = held()
    page = visit(serve(engine))
    area = page.locator("#pg-prompt textarea")
    area.fill("one")
    area.press("Shift+Enter")
    area.press_sequentially("two")
    expect(area).to_have_value("one\ntwo")
    area.press("Control+Enter")
    expect(pane(page, 0).locator(".user")).to_have_text("one\ntwo")
    expect(answer(page, 0)).to_have_text("Gravity is a")
    page.keyboard.press("Escape")
    finished(page)
    expect(pane(page, 0)).to_have_attribute("data-state", "stopped")
    area.press("ArrowUp")
    expect(area).to_have_value("one\ntwo")
    area.fill("again")
    area.press("Enter")
    expect(pane(page, 0).locator(".user").last).to_have_text("again")


def test_arrow_keys_walk_through_the_tokens(serve: Serve, visit: Visit) -> None:
    page = visit(serve(FakeEngine()))
    run(page)
    finished(page)
    pane(page, 0).locator(".body").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(page.locator(".pg-tip")).to_contain_text("“ is” token 2")
    expect(page.locator(".pg-tip .alt").first).to_be_visible()


def test_settings_say_what_they_are_and_what_is_wrong(serve: Serve, visit: Visit) -> None:
    engine = FakeEngine()
    page = visit(serve(engine))
    line = page.locator("#pg-line")
    expect(line).to_have_text("greedy · 128 tokens · seed 0 · settings")
    expect(page.locator("#pg-settings")).not_to_be_visible()
    line.click()
    expect(line).to_have_attribute("aria-expanded", "true")
    page.locator("#pg-settings").get_by_label("Temperature").fill("0.7")
    page.locator("#pg-settings").get_by_label("Seed", exact=True).fill("3")
    page.locator("#pg-settings").get_by_label("Seed", exact=True).blur()
    expect(line).to_have_text("temperature 0.7 · 128 tokens · seed 3 · settings")
    most = page.locator("#pg-settings").get_by_label("Max tokens")
    most.fill("0")
    page.keyboard.press("Escape")
    expect(page.locator("#pg-settings")).not_to_be_visible()
    page.locator("#pg-prompt textarea").fill("What is gravity?")
    page.locator("#pg-run").click()
    expect(page.locator("#pg-trouble")).to_contain_text("Max tokens is 0. Allowed: 1 to 4096.")
    expect(most).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#pg-settings .wrong")).to_have_text("Max tokens is 0. Allowed: 1 to 4096.")
    assert not engine.asked
    most.fill("5")
    expect(page.locator("#pg-trouble")).to_have_text("")
    page.locator("#pg-run").click()
    expect(pane(page, 0).locator(".user")).to_have_count(1)
    expect(page.locator("#pg-settings"), "Run closes them").not_to_be_visible()
    finished(page)
    expect(pane(page, 0).locator(".status")).to_have_text("5 tokens · reached the limit of 5 tokens")
    expect(pane(page, 0).locator(".made")).to_have_text("temperature 0.7 · 5 tokens · seed 3")
    assert engine.asked[0].sampling.temperature == 0.7
    line.click()
    page.get_by_role("button", name="Reset to defaults").click()
    expect(line).to_have_text("greedy · 128 tokens · seed 0 · settings")


def test_the_engine_picker_gives_reasons_and_the_way_out(
    serve: Serve, visit: Visit, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PLAYGROUND_VLLM_PYTHON", str(tmp_path / "nothing"))
    engine = FakeEngine()
    page = visit(serve(engine))
    pane(page, 0).locator(".engine").click()
    options = pane(page, 0).get_by_role("option")
    expect(options).to_have_count(4)
    missing = options.filter(has_text="vLLM").first
    expect(missing).to_have_attribute("aria-disabled", "true")
    expect(missing).to_contain_text("make vllm")
    expect(options.filter(has_text="llama.cpp")).to_contain_text("GGUF")
    page.keyboard.press("Escape")
    expect(options.first).not_to_be_visible()
    page.locator("#pg-pick-0 input").fill("fake@vllm")
    page.keyboard.press("Enter")
    expect(page.locator("#pg-notice")).to_contain_text("cannot run in vLLM")
    expect(page.locator("#pg-notice")).to_contain_text("make vllm")
    expect(page.locator("#pg-pick-0 input")).to_have_value("BF16")


def test_another_engine_by_keyboard_and_the_others_follow_where_they_can(
    serve: Serve, visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "missing_vllm", lambda: "")
    engine = FakeEngine()
    page = visit(serve(engine))
    page.locator("#pg-pick-1 input").fill("BF16")
    page.keyboard.press("Enter")
    expect(pane(page, 1).locator("h2.label")).to_have_text("BF16")
    pane(page, 0).locator(".engine").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    for slot in (0, 1):
        expect(pane(page, slot).locator(".engine span")).to_have_text("vLLM")
    run(page)
    finished(page)
    assert {asked.variant for asked in engine.asked} == {"fake@vllm"}
    expect(pane(page, 1).locator(".path")).to_contain_text("fake kernel")


def test_all_at_once_is_a_choice_that_the_line_names(serve: Serve, visit: Visit) -> None:
    engine = FakeEngine()
    page = visit(serve(engine))
    page.locator("#pg-line").click()
    page.get_by_label("All at once").check()
    expect(page.locator("#pg-line")).to_have_text("greedy · 128 tokens · seed 0 · all at once · settings")
    run(page)
    finished(page)
    assert [asked.at_once for asked in engine.asked] == [True, True]


def test_raw_completion_and_system_prompt(serve: Serve, visit: Visit) -> None:
    engine = FakeEngine()
    page = visit(serve(engine))
    page.locator("#pg-line").click()
    page.get_by_label("System prompt").fill("Be brief.")
    run(page, "Hi")
    expect(pane(page, 0)).to_contain_text(TEXT)
    finished(page)
    assert engine.prompts[-1][1] == ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"})
    page.locator("#pg-line").click()
    page.get_by_label("Raw completion").check()
    expect(page.get_by_label("System prompt")).to_be_disabled()
    run(page, "Once upon a time")
    # The prompt is the beginning of the text, not a bubble.
    expect(pane(page, 0).locator(".turn.raw")).to_have_text(f"Once upon a time{TEXT}")
    finished(page)
    assert engine.prompts[-1][1] == "Once upon a time"
    expect(page.locator("#pg-prompt textarea")).to_have_value("Once upon a time")


def test_an_empty_prompt_gets_a_sentence(serve: Serve, visit: Visit) -> None:
    page = visit(serve(FakeEngine()))
    page.locator("#pg-run").click()
    expect(page.locator("#pg-trouble")).to_contain_text("The prompt is empty.")


def test_an_example_fills_the_prompt(serve: Serve, visit: Visit) -> None:
    page = visit(serve(FakeEngine()))
    page.get_by_role("button", name="Write a haiku").click()
    expect(page.locator("#pg-prompt textarea")).to_have_value("Write a haiku about rain on a tin roof.")


def test_colours_and_their_legend(serve: Serve, visit: Visit) -> None:
    page = visit(serve(FakeEngine()))
    run(page)
    finished(page)
    expect(page.locator(".scale")).to_contain_text("ms or more")
    token = answer(page, 0).locator(".tk").nth(4)  # 8 % likely
    page.get_by_role("radio", name="off").click()
    expect(token).to_have_css("background-color", CLEAR)
    page.get_by_role("radio", name="probability").click()
    expect(page.locator(".scale")).to_contain_text("5% or less")
    expect(token).not_to_have_css("background-color", CLEAR)


def test_two_browsers_at_once_are_independent(serve: Serve, visit: Visit) -> None:
    engine = held()
    url = serve(engine)
    first, second = visit(url), visit(url)
    run(first, "first")
    run(second, "second")
    for page, prompt in ((first, "first"), (second, "second")):
        expect(pane(page, 0).locator(".user")).to_have_text(prompt)
        expect(answer(page, 1)).to_have_text("Gravity is a")
    first.locator("#pg-stop").click()
    finished(first)
    expect(pane(second, 0)).to_have_attribute("data-state", "running")
    engine.go.set()
    finished(second)
    expect(answer(second, 1)).to_have_text(TEXT)
    expect(answer(first, 1)).to_have_text("Gravity is a")


def test_closing_the_tab_ends_its_generations_within_two_seconds(serve: Serve, visit: Visit) -> None:
    engine = held()
    page = visit(serve(engine))
    run(page)
    expect(answer(page, 1)).to_have_text("Gravity is a")
    until(lambda: len(engine.active) == 2)
    page.close()
    closed = time.monotonic()
    while engine.active:
        assert time.monotonic() - closed < 2, "still decoding for a page that is gone"
        time.sleep(0.01)


def test_loading_shows_how_much(serve: Serve, visit: Visit) -> None:
    engine = FakeEngine({"fake": Script(load_steps=400, load_step_s=0.05)})
    page = visit(serve(engine))
    run(page)
    expect(pane(page, 0)).to_have_attribute("data-state", "loading")
    expect(pane(page, 0).locator(".stage")).to_contain_text("Reading weights")
    expect(pane(page, 0).locator(".much")).to_contain_text("of 269 MB")
    expect(pane(page, 1).locator(".stage")).to_contain_text("Waiting for its turn")
    page.locator("#pg-stop").click()
    finished(page)
    expect(pane(page, 0)).to_have_attribute("data-state", "stopped")


def test_panes_keep_their_height(serve: Serve, visit: Visit) -> None:
    page = visit(serve(FakeEngine({"fake": Script(tokens=["word "] * 400, step_s=0.0)})))
    before = pane(page, 0).bounding_box()
    run(page)
    finished(page)
    assert before and pane(page, 0).bounding_box() == before


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_a_phone_stacks_the_panes_and_nothing_overflows(serve: Serve, visit: Visit, colours: str) -> None:
    page = visit(
        serve(FakeEngine({"fake": Script(tokens=["Donau" * 60, " <b>"])})), width=390, height=844, colours=colours
    )
    assert page.evaluate("document.body.classList.contains('dark')") is (colours == "dark")
    run(page)
    finished(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    first, second = pane(page, 0).bounding_box(), pane(page, 1).bounding_box()
    assert first and second and second["y"] >= first["y"] + first["height"]
    composer = page.locator("#pg-composer").bounding_box()
    assert composer and abs(composer["y"] + composer["height"] - 844) < 1
    page.locator("#pg-line").click()
    expect(page.locator("#pg-settings").get_by_label("Seed", exact=True)).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_reload_keeps_the_panes_the_conversation_the_form_and_the_run(
    serve: Serve, visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "LEFT_S", stream.DROPPED_S)  # a busy machine reloads slowly
    engine = held()
    page = visit(serve(engine))
    page.locator("#pg-add").click()
    expect(pane(page, 2).locator("h2.label")).to_have_text("int8")
    page.get_by_role("radio", name="probability").click()
    page.locator("#pg-line").click()
    page.locator("#pg-settings").get_by_label("Seed", exact=True).fill("7")
    run(page)
    expect(answer(page, 1)).to_have_text("Gravity is a")
    page.locator("#pg-prompt textarea").fill("a draft")
    page.reload()
    expect(answer(page, 1)).to_have_text("Gravity is a")
    expect(pane(page, 0)).to_have_attribute("data-state", "running")
    expect(page.locator("#pg-run")).to_be_disabled()
    expect(page.locator("#pg-prompt textarea")).to_have_value("a draft")
    expect(page.locator("#pg-line")).to_contain_text("seed 7")
    expect(page.get_by_role("radio", name="probability")).to_be_checked()
    engine.go.set()
    finished(page)
    for slot in range(3):
        expect(answer(page, slot)).to_have_text(TEXT)
        expect(pane(page, slot).locator(".user")).to_have_text("What is gravity?")
    assert len(engine.asked) == 3


def test_a_duplicated_tab_has_a_session_of_its_own(serve: Serve, visit: Visit) -> None:
    page = visit(serve(FakeEngine()))
    run(page)
    finished(page)
    with page.expect_popup() as opened:
        page.evaluate("window.open(location.href)")  # the storage of a tab is copied, as by “Duplicate”
    other = opened.value
    expect(pane(other, 0).locator("h2.label")).to_have_text("BF16")
    expect(pane(other, 0).locator(".user")).to_have_count(0)
    other.locator("#pg-clear").click()
    other.locator("#pg-prompt textarea").fill("hello")
    other.locator("#pg-run").click()
    expect(answer(other, 0)).to_have_text(TEXT)
    expect(pane(page, 0).locator(".user")).to_have_text("What is gravity?")


def test_the_address_names_the_model_and_its_variants(serve: Serve, visit: Visit) -> None:
    url = serve(FakeEngine())
    page = visit(f"{url}#compare?show=fake:int8")
    expect(pane(page, 1).locator("h2.label")).to_have_text("int8")
    page.locator("#pg-add").click()
    expect(pane(page, 2)).to_be_visible()
    page.locator("#pg-variant-2 input").fill("fp4")
    page.keyboard.press("Enter")
    expect(pane(page, 2).locator("h2.label")).to_have_text("fp4")
    expect(page).to_have_url(re.compile(r"show=.*fp4"))
    again = visit(page.url)
    for slot, label in ((1, "int8"), (2, "fp4")):
        expect(pane(again, slot).locator("h2.label")).to_have_text(label)
    run(again)
    finished(again)
    again.get_by_role("link", name="Runs").click()
    again.go_back()
    expect(answer(again, 2), "another page in between keeps the panes").to_have_text(TEXT)


def test_the_lists_have_groups_and_close_on_tab(serve: Serve, visit: Visit) -> None:
    page = visit(serve(FakeEngine()), colours="dark")
    picker = page.locator("#pg-variant-1 input")
    picker.click()
    options = page.locator("#pg-variant-1").get_by_role("option")
    expect(options.first).to_be_visible()
    expect(page.locator("#pg-variant-1 .group").first).to_have_text("Original")
    expect(page.locator("#pg-variant-1 .group").nth(1)).to_have_text("Quantized while loading")
    expect(options.filter(has_text="int8").locator(".line")).to_contain_text("MB · transformers host")
    for option in options.all():
        box = option.locator(".name").bounding_box()
        assert box and box["height"] < 30, "a name is one line"
    page.keyboard.press("Tab")
    expect(options.first).not_to_be_visible()


def test_the_plot_follows_the_panes(serve: Serve, visit: Visit) -> None:
    page = visit(serve(FakeEngine()))
    page.locator("#pg-add").click()
    expect(pane(page, 2).locator("h2.label")).to_have_text("int8")
    run(page)
    finished(page)
    expect(page.locator(".plot .key")).to_have_text(["BF16", "nf4", "int8"])
    colours = page.locator(".plot polyline").evaluate_all("all => all.map((one) => getComputedStyle(one).stroke)")
    edges = page.locator(".pane").evaluate_all("all => all.map((one) => getComputedStyle(one).borderTopColor)")
    assert colours == edges and len(set(colours)) == 3, "a variant has its colour everywhere"
    dashes = page.locator(".plot polyline").evaluate_all(
        "all => all.map((one) => getComputedStyle(one).strokeDasharray)"
    )
    assert dashes[2] != "none"
    page.locator("#pg-pick-1 .pg-remove").click()
    expect(page.locator(".plot .key")).to_have_text(["BF16", "int8"])
    page.locator("#pg-variant-2 input").fill("fp4")
    page.keyboard.press("Enter")
    expect(page.locator(".plot .key")).to_have_text(["BF16"])


LINES = FakeEngine({name: Script(tokens=[f"word{n} \n" for n in range(30)], step_s=0) for name in ("fake", "fake:nf4")})


def visible_lines(page: Page, slot: int) -> float:
    """Whole lines of the answer that are in view, under the prompt."""
    return float(
        pane(page, slot).evaluate(
            "node => { const body = node.querySelector('.body'), toks = node.querySelector('.toks');"
            " const style = getComputedStyle(body); body.scrollTop = 0;"
            " const top = toks.getBoundingClientRect().top, bottom = body.getBoundingClientRect().bottom;"
            " return Math.floor((bottom - top) / parseFloat(style.lineHeight)); }"
        )
    )


def test_an_answer_has_room_and_the_rows_of_the_panes_are_level(serve: Serve, visit: Visit) -> None:
    page = visit(serve(LINES))
    run(page)
    finished(page)
    expect(pane(page, 1).locator(".measured")).to_contain_text("Mean KLD")
    assert visible_lines(page, 0) >= 8 and visible_lines(page, 1) >= 8
    for part in (".nums", ".body", "footer"):
        boxes = [pane(page, slot).locator(part).bounding_box() for slot in (0, 1)]
        assert boxes[0] and boxes[1] and abs(boxes[0]["y"] - boxes[1]["y"]) < 1, part
    page.locator("#pg-add").click()
    page.locator("#pg-add").click()
    expect(pane(page, 3)).to_be_visible()
    assert visible_lines(page, 0) >= 5 and visible_lines(page, 1) >= 5


def test_on_a_phone_a_pane_grows_and_an_error_does_not_cover_its_text(serve: Serve, visit: Visit) -> None:
    log = "\n".join("line" for _ in range(40))
    died = EngineDied("The engine died.", hint="Run again: it starts anew.", log_tail=log)
    long = [f"word{n} \n" for n in range(30)]
    scripts = {"fake": Script(tokens=long, step_s=0), "fake:nf4": Script(tokens=long, error=died, error_at=20)}
    page = visit(
        serve(FakeEngine(scripts)),
        width=390,
        height=844,
    )
    run(page)
    finished(page)
    expect(answer(page, 0).locator(".tk")).to_have_count(30)
    expect(answer(page, 1).locator(".tk")).to_have_count(20)
    assert visible_lines(page, 0) >= 30
    text, card = answer(page, 1).bounding_box(), pane(page, 1).locator(".fail").bounding_box()
    assert text and card and text["height"] > 20 * 20 and card["y"] >= text["y"] + text["height"]


def test_a_pane_that_joins_later_can_be_asked_what_the_others_were(serve: Serve, visit: Visit) -> None:
    engine = FakeEngine()
    page = visit(serve(engine))
    run(page, "first")
    finished(page)
    run(page, "second")
    expect(pane(page, 0).locator(".user")).to_have_count(2)
    finished(page)
    page.locator("#pg-add").click()
    expect(pane(page, 2).locator(".hint")).to_contain_text("it has not seen the conversation")
    button(page, 2, "Replay the conversation here").click()
    expect(pane(page, 2).locator(".user")).to_have_text(["first", "second"])
    finished(page)
    expect(pane(page, 2).locator(".toks")).to_have_text([TEXT, TEXT])
    assert [len(prompt) for variant, prompt in engine.prompts if variant == "fake:int8"] == [1, 3]


def test_the_prompt_is_a_few_tab_stops_away_and_facts_are_none(serve: Serve, visit: Visit) -> None:
    page = visit(serve(FakeEngine()))
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # the skip link
    page.keyboard.press("Tab")
    expect(page.locator("#pg-prompt textarea")).to_be_focused()
    assert page.locator(".pane").locator(".u, .fact, .path").evaluate_all("all => all.every((one) => one.tabIndex < 0)")
    page.get_by_role("button", name="What do these mean?").click()
    expect(page.locator(".pg-words")).to_contain_text("Time to first token")
    page.keyboard.press("Escape")
    expect(page.locator(".pg-words")).not_to_be_visible()


def test_a_link_to_the_stored_run_follows(serve: Serve, visit: Visit) -> None:
    page = visit(serve(FakeEngine()))
    run(page)
    finished(page)
    expect(page.locator(".saved")).to_contain_text("Saved as a run:")
    expect(page.locator(".saved a")).to_have_attribute("href", re.compile(r"^run/[0-9a-f]{32}$"))


def test_a_variant_made_meanwhile_is_offered(serve: Serve, visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    page = visit(serve(FakeEngine()))
    page.get_by_role("link", name="Quantize").click()
    catalog.install(monkeypatch, ["fake:w4a16"])
    known = models.variants
    monkeypatch.setattr(models, "variants", lambda name: [*known(name), catalog.fake_variant("fake:w4a16")])
    monkeypatch.setattr("playground.models.names.stored", lambda name: {"w4a16"})
    page.get_by_role("link", name="Compare").click()
    page.locator("#pg-variant-1 input").click()
    expect(page.locator("#pg-variant-1").get_by_role("option", name="w4a16")).to_be_visible()


def test_a_visitors_limits_stand_at_the_fields(visit: Visit, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setenv("PLAYGROUND_PUBLIC_MAX_TOKENS", "64")
    monkeypatch.setenv("PLAYGROUND_PUBLIC_MAX_PROMPT_CHARS", "200")
    catalog.install(monkeypatch)
    with serving(FakeEngine(), host="0.0.0.0") as url:  # noqa: S104
        page = visit(url.replace("0.0.0.0", "127.0.0.1"))  # noqa: S104
        expect(page.locator("#pg-limits")).to_contain_text("up to 64 tokens per answer")
        expect(page.locator("#pg-line")).to_contain_text("64 tokens")
        page.locator("#pg-line").click()
        expect(page.get_by_label("Max tokens")).to_have_attribute("max", "64")
        page.locator("#pg-prompt textarea").fill("x" * 150)
        expect(page.locator("#pg-left")).to_have_text("50 characters left")
        page.locator("#pg-prompt textarea").fill("x" * 201)
        expect(page.locator("#pg-left")).to_have_text("1 character too many")
