"""Stored runs without a browser: what their pages show, titles, two runs side by side, lines of the list."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from playground.compare import encode
from playground.compare.answer import Answer
from playground.compare.stored import Compared
from playground.core import Prompt
from playground.formatting import figure
from playground.runs import listing, page, replay, titles
from playground.runs import pair as runs_pair
from playground.store import runs
from playground.store.schema import Run
from tests.fakes import stored_runs
from tests.fakes.evaluation_run import TASKS, VARIANTS, evaluation
from tests.fakes.stored_runs import NF4, OTHER, REFERENCE, WORDS, bench, comparison, quantization, stored


def shown(run: Run, owner: bool = True) -> dict[str, Any]:
    return page.view(runs.entry(run.id, owner), owner=owner)


def rows(pane: dict[str, Any], kind: str) -> list[tuple[float, list[Any]]]:
    return [(at, row) for at, row in pane["rows"] if row[0] == kind]


# ---- one run


def test_every_token_comes_at_its_own_time_and_the_last_numbers_are_the_metrics(home: Path) -> None:
    run = comparison()
    panes = shown(run)["replay"]["panes"]
    answers = Compared.from_row(run.as_row()).answers
    for pane, raw, answer in zip(panes, run.result["panes"], answers, strict=True):
        tokens = rows(pane, "tok")
        assert [at for at, _ in tokens] == pytest.approx([one["time_s"] for one in raw["tokens"]], abs=1e-4)
        assert "".join(row[2] for _, row in tokens) == raw["text"]
        assert [row[7] for _, row in tokens] == [encode.alternatives(token.top[:5]) for token in answer.tokens]
        assert [at for at, _ in pane["rows"]] == sorted(at for at, _ in pane["rows"])
        told = rows(pane, "num")[-1][1][1]
        again = answer.timing()
        assert again.as_dict() == {name: raw["metrics"][name] for name in again.as_dict()}
        assert figure(told["decode"]) == figure(raw["metrics"]["decode_tok_s"])
        assert figure(told["ttft"]) == figure(1e3 * raw["metrics"]["ttft_s"]) and told["memory"]
        assert rows(pane, "end")[0][1][1:3] == ["done", f"{len(raw['tokens'])} tokens · finished (end-of-text token)"]
    last = max(pane["end"] for pane in panes)
    (parted,) = rows(panes[1], "part")
    assert parted[1][1] == 3 and parted[0] == pytest.approx(run.result["panes"][1]["tokens"][3]["time_s"], abs=1e-4)
    (at, forced) = rows(panes[1], "forced")[0]
    assert at == pytest.approx(last, abs=1e-4) and len(forced[2]) == len(WORDS)
    assert all(len(position) == 6 for position in forced[2]), "with both sides' alternatives"
    assert rows(panes[1], "measured")[0][1][1] == "done" and not rows(panes[0], "forced")


def test_the_verdict_is_the_stored_one(home: Path) -> None:
    run = comparison()
    (outcome,) = shown(run)["replay"]["verdict"]["outcomes"]
    (kept,) = run.result["verdict"]
    assert (outcome["headline"], outcome["decode"]) == (kept["headline"], kept["decode_ratio"])
    assert outcome["divergence"]["kld"] == run.result["forced"][1]["kld_mean"]


def test_a_pane_that_failed_keeps_its_words_and_says_why(home: Path) -> None:
    run = comparison()
    pane = run.result["panes"][1]
    pane |= {"error": {"code": "x", "message": "It died.", "hint": "Run it again."}, "tokens": pane["tokens"][:3]}
    run.result["forced"][1] = {"kld_mean": None, "positions": [], "total": 21, "reason": "It was stopped."}
    failed = replay.panes(run.as_row())[1]
    assert rows(failed, "fail")[0][1][1:3] == ["It died.", "Run it again."] and len(rows(failed, "tok")) == 3
    assert rows(failed, "measured")[0][1][1:] == ["blocked", "It was stopped."]


def test_a_divergence_a_measurement_of_speed_and_a_quantization_are_shown_by_their_own_pages(home: Path) -> None:
    speed = shown(bench())["speed"]
    assert speed["headline"].startswith("BF16 in transformers is the fastest here: 24.1 tok/s")
    assert [row["reference"] for row in speed["rows"]] == [True, True, False, False]
    made = shown(quantization())["quantized"]
    assert made["row"]["before"] == 269_030_016 and len(made["card"]["layers"]) == 18 and made["card"]["hurt"]
    source = evaluation(VARIANTS[:3], TASKS[:1])
    result = {"rows": source.result["divergence"], "text": {"name": "a.txt", "tokens": 9}}
    moved = stored(
        "divergence", "How far they moved", result,
        variants=source.variants, settings={"text": "a.txt", "tokens": 9, "max_length": None},
    )  # fmt: skip
    seen = shown(moved)["evaluation"]
    assert [one["variant"] for one in seen["divergence"]] == [one["id"] for one in source.variants]
    assert seen["floor"] and not seen["rows"] and seen["conditions"][-1] == "divergence on 9 tokens of a.txt"


def test_how_it_was_measured_is_in_words(home: Path) -> None:
    how = shown(comparison())["how"]
    assert (
        how["settings"][0] == ["sampling", "greedy · 128 tokens · seed 0"] and ["all at once", "no"] in how["settings"]
    )
    assert ["bandwidth", "17.1 GB/s"] in how["device"] and ["torch", "2.13.0"] in how["versions"]
    assert [one["hash"] for one in how["variants"]] == [REFERENCE["content_hash"], NF4["content_hash"]]
    assert page.words({"a_b": [1, None, 0.5], "c": True}) == "a b 1, –, 0.5, c yes"


def test_settings_of_a_checkpoint_that_no_answer_was_asked_with_are_among_the_settings() -> None:
    variants = [{**REFERENCE, "left_out": {"repetition_penalty": 1.5}}, {**NF4, "left_out": {}}]
    row = {"settings": {"tasks": ["math"]}, "variants": variants}
    assert page.settings(row)[-1] == ["generation_config.json", "not read (BF16: repetition_penalty 1.5)"]
    older = row | {"variants": [REFERENCE, NF4]}
    assert page.settings(older) == [["tasks", "math"]]


def test_a_kind_that_nobody_knows_still_has_its_head(home: Path) -> None:
    found = shown(stored("poetry", "An ode", {}))
    assert found["title"] == "An ode" and found["kind_words"] == "poetry" and found["how"]["variants"]


def test_engine_method_and_scheme_have_readable_names(home: Path) -> None:
    made = page.variant({"id": "a", "method": "gguf", "scheme": "Q4_0", "engine": "llamacpp", "dtype": "bfloat16"})
    assert (made["made"], made["engine"], made["dtype"]) == ("GGUF Q4_0", "llama.cpp", "bfloat16")
    assert page.variant({"id": "a", "method": "fp8", "scheme": "FP8_DYNAMIC"})["made"] == "FP8_DYNAMIC"
    assert page.variant({"id": "a", "scheme": "BF16", "dtype": "bfloat16"})["engine"] == "", "a type is no engine"


def test_a_run_says_when_its_answers_were_measured(home: Path) -> None:
    """One pane was generated again: the run is new, the other answer is not."""
    older = comparison()
    for pane in older.result["panes"]:
        del pane["measured_at"]
    assert page.measured(older.as_row()) == [], "older versions did not store it"
    answers = Compared.from_row(comparison().as_row()).answers
    for answer, at in zip(answers, (1_760_000_000.0, 1_760_000_180.0), strict=True):
        answer.measured_at = at
    kept = Compared(answers).run()
    assert kept is not None
    runs.add(kept)
    assert shown(kept)["how"]["measured"] == [["BF16", 1_760_000_000.0], ["nf4", 1_760_000_180.0]]
    fresh = Answer("smollm2")
    fresh.add(Prompt((1,), "a", "raw", ""))
    assert fresh.measured_at == pytest.approx(time.time(), abs=60)


# ---- titles


def test_titles_made_of_ids_are_shown_in_words(home: Path) -> None:
    measured = evaluation(
        VARIANTS[:3], TASKS[:4], title="smollm2, smollm2:nf4, smollm2:gptq-w4a16-g64 · a, b, c, d · 15 items"
    )
    assert titles.words(measured) == "BF16, nf4 and GPTQ W4A16 on 4 tasks"
    assert titles.words(bench("smollm2 · BF16, nf4 · pp256, tg64")) == (
        "Speed of BF16 and nf4: 256 tokens read, 64 tokens written"
    )
    assert titles.words(quantization("smollm2 · awq W4A16_ASYM g64")) == "AWQ W4A16_ASYM of smollm2, group size 64"
    moved = stored("divergence", "smollm2 · divergence of smollm2:nf4", {"rows": []})
    assert titles.words(moved) == "Divergence of nf4 from BF16"
    assert titles.words(comparison()) == "What is gravity?"
    assert titles.listed(("A", "B", "C", "D", "E")) == "A, B, C and 2 more"


def test_the_owners_title_wins_and_no_title_has_a_path(home: Path) -> None:
    model = f"{home}/secret/tiny"
    facts = [REFERENCE | {"id": model}, NF4 | {"id": f"{model}:nf4"}]
    run = evaluation(VARIANTS[:2], TASKS[:1], title=f"{model} and more")
    other = stored("poetry", f"{model}: an ode", {}, model=model, variants=facts)
    assert titles.title_of(runs.entry(other.id)) == "tiny: an ode"
    runs.rename(run.id, "Mine")
    assert titles.title_of(runs.entry(run.id)) == "Mine"


# ---- two runs


def test_two_comparisons_are_matched_by_variant(home: Path) -> None:
    first = comparison()
    moved, other = REFERENCE | {"content_hash": "another"}, NF4 | {"id": "smollm2:int8", "label": "int8"}
    second = comparison("After", steps_s=(0.1, 0.35), versions={"torch": "2.14.0"}, variants=[moved, other])
    found = runs_pair.view(runs.entry(first.id), runs.entry(second.id), owner=True)
    (table,) = found["tables"]
    by_name = {line["id"]: line["cells"] for line in table["lines"]}
    assert list(by_name) == ["smollm2", "smollm2:nf4", "smollm2:int8"]
    decode = by_name["smollm2"][0]
    assert (decode["a"], decode["b"], decode["moved"]) == pytest.approx((5.0, 10.0, 100.0))
    assert by_name["smollm2:nf4"][0]["b"] is None and by_name["smollm2:nf4"][0]["moved"] is None
    groups = {one["name"]: one for one in found["changed"]["groups"]}
    assert groups["Versions"]["changed"] == [["torch", "2.13.0", "2.14.0"], ["transformers", "5.17.0", None]]
    assert [one[0] for one in groups["Variants"]["changed"]] == ["smollm2", "smollm2:nf4", "smollm2:int8"]
    assert not groups["Settings"]["changed"]


def test_two_evaluations_show_the_intervals_that_were_computed_and_claim_nothing(home: Path) -> None:
    first, second = evaluation(VARIANTS[:2], TASKS[2:3]), evaluation(VARIANTS[:2], TASKS[2:3], seed=4)
    found = runs_pair.view(runs.entry(first.id), runs.entry(second.id), owner=True)
    scores, divergence = found["tables"]
    ours = next(row for row in first.result["rows"] if row["variant"] == "smollm2:nf4")
    cell = scores["lines"][1]["cells"][0]
    assert cell["a"] == 100 * ours["score"] and cell["moved"] == pytest.approx(cell["b"] - cell["a"])
    assert cell["a_own"]["interval"] == [100 * one for one in ours["diff_ci95"]]
    assert scores["lines"][0]["cells"][0]["a_own"] is None, "the reference against itself is no finding"
    assert divergence["lines"][0]["cells"][0]["unit"] == "nats"
    assert "not tested for significance" in found["claim"]


def test_two_runs_that_share_an_answer_say_so(home: Path) -> None:
    first, second = comparison(), comparison("One pane again", steps_s=(0.1, 0.35))
    found = runs_pair.view(runs.entry(first.id), runs.entry(second.id), owner=True)
    assert [line["shared"] for line in found["tables"][0]["lines"]] == [False, True]
    assert [(row["name"], row["shared"]) for row in found["answers"]] == [("BF16", False), ("nf4", True)]


def test_the_answers_of_two_comparisons_stand_side_by_side(home: Path) -> None:
    first, second = comparison(), comparison(words=(WORDS, (*OTHER[:3], "pull")))
    same, other = runs_pair.view(runs.entry(first.id), runs.entry(second.id), owner=True)["answers"]
    assert (same["a"], same["b"]) == ("", "") and same["begins"] == first.result["panes"][0]["text"]
    assert other["begins"] == "Gravity is a " and other["b"] == "pull"
    assert other["begins"] + other["a"] == first.result["panes"][1]["text"]


def test_runs_of_different_kinds_have_no_common_number(home: Path) -> None:
    found = runs_pair.view(runs.entry(bench().id), runs.entry(quantization().id), owner=True)
    assert not found["same_kind"] and not found["tables"] and found["changed"]["groups"]
    for make in (bench, quantization):
        pair = runs_pair.view(runs.entry(make().id), runs.entry(make().id), owner=True)
        assert pair["tables"][0]["lines"] and not any(group["changed"] for group in pair["changed"]["groups"])


# ---- the list


def test_a_line_says_the_number_that_matters(home: Path) -> None:
    for make in (comparison, bench, quantization, evaluation):
        make()  # type: ignore[operator]
    found = {line["kind"]: line for line in listing.Rows().lines(runs.search())}
    assert found["comparison"]["number"] == ("0.57×", "decode speed, nf4")
    assert found["bench"]["number"] == ("24.1 ± 0.96", "tok/s decode, BF16 in transformers")
    assert found["quantization"]["number"] == ("2.36×", "smaller, 6.78 bits per weight")
    assert found["evaluation"]["number"][1].startswith("worst recovery, RTN W3A16 on")
    assert found["comparison"]["variants"] == ["BF16", "nf4"]


def test_the_fake_is_a_run_as_compare_makes_it(home: Path) -> None:
    """Its tokens give back the verdict that it holds."""
    run = comparison()
    found = Compared.from_row(run.as_row()).answers
    assert [one.text for one in found] == [pane["text"] for pane in run.result["panes"]]
    assert stored_runs.forced(3).as_json()["tokens"] == 3
