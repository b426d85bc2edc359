"""The Compare tab in Chromium, over a scripted engine."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from playground.engines import base
from playground.errors import EngineDied
from tests.fakes.engine import GRAVITY, FakeEngine, Script

pytestmark = pytest.mark.browser
Serve = Callable[[FakeEngine], str]
Visit = Callable[..., Page]
TEXT = "".join(GRAVITY)


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
        expect(pane(page, slot).locator(".status")).to_have_text("12 tokens · ended by itself")
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
    assert not engine.active


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
    expect(pane(page, 1).locator(".why")).to_contain_text("nf4 wanted “Other” 92%")


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
    expect(pane(page, 1).locator(".fail")).to_contain_text("There is no model")
    expect(pane(page, 1).locator("h2.label")).to_have_text(attack)
    assert page.locator("img[src=x]").count() == 0


def test_an_unknown_variant_is_a_sentence_in_its_pane_and_the_next_choice_works(serve: Serve, visit: Visit) -> None:
    page = visit(serve(FakeEngine()))
    picker = page.locator("#pg-variant-1 input")
    picker.fill("fake:nope")
    picker.press("Enter")
    expect(pane(page, 1).locator(".fail")).to_contain_text("fake has no variant 'nope'.")
    expect(pane(page, 1).locator(".fail p")).to_have_text("Known: nf4, int8, fp4.")
    expect(button(page, 1, "Regenerate")).to_have_count(0)
    picker.fill("int8")
    picker.press("Enter")
    expect(pane(page, 1).locator("h2.label")).to_have_text("int8")
    expect(pane(page, 1).locator(".fail")).to_have_count(0)
    run(page)
    finished(page)
    expect(answer(page, 1)).to_have_text(TEXT)


def test_an_unknown_model_is_a_sentence_under_the_bar(serve: Serve, visit: Visit) -> None:
    page = visit(serve(FakeEngine()))
    picker = page.locator("#pg-model-pick input")
    picker.fill("nobody/nothing")
    picker.press("Enter")
    expect(page.locator("#pg-notice")).to_contain_text("no model 'nobody/nothing'")
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
    expect(page.locator(".pg-tip .alt")).to_have_count(3)


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
    page.locator("#pg-settings").get_by_label("Max tokens").fill("0")
    page.locator("#pg-settings").get_by_label("Max tokens").blur()
    expect(page.locator("#pg-trouble")).to_contain_text("Max tokens is 0. Allowed: 1 to 4096.")
    page.keyboard.press("Escape")
    expect(page.locator("#pg-settings")).not_to_be_visible()
    page.locator("#pg-prompt textarea").fill("What is gravity?")
    page.locator("#pg-run").click()
    expect(page.locator("#pg-trouble")).to_contain_text("Max tokens is 0.")
    assert not engine.asked
    line.click()
    page.locator("#pg-settings").get_by_label("Max tokens").fill("5")
    page.locator("#pg-settings").get_by_label("Max tokens").blur()
    expect(page.locator("#pg-trouble")).to_have_text("")
    page.locator("#pg-run").click()
    expect(pane(page, 0).locator(".user")).to_have_count(1)
    finished(page)
    expect(pane(page, 0).locator(".status")).to_have_text("5 tokens · reached the limit of 5 tokens")
    expect(pane(page, 0).locator(".made")).to_have_text("temperature 0.7 · 5 tokens · seed 3")
    assert engine.asked[0].sampling.temperature == 0.7


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
    expect(pane(page, 0).locator(".fail")).to_contain_text("cannot run in vLLM")
    expect(pane(page, 0).locator(".fail")).to_contain_text("make vllm")


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
    finished(page)
    assert engine.prompts[-1][1] == ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"})
    page.get_by_label("Raw completion").check()
    run(page, "Once upon a time")
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
    assert token.evaluate("node => getComputedStyle(node).backgroundColor").endswith(", 0)")
    page.get_by_role("radio", name="probability").click()
    expect(page.locator(".scale")).to_contain_text("5% or less")
    assert not token.evaluate("node => getComputedStyle(node).backgroundColor").endswith(", 0)")


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
    assert len(engine.active) == 2
    closed = time.monotonic()
    page.close()
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
