"""Stored runs without a browser: what a link gives, who sees and changes what, two runs side by side."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from playground.compare.stored import Compared
from playground.runs import listing, page, replay
from playground.runs import pair as runs_pair
from playground.store import folders, runs
from playground.store.schema import Run
from playground.web import theme
from tests.fakes import stored_runs
from tests.fakes.engine import FakeEngine
from tests.fakes.evaluation_run import TASKS, VARIANTS, evaluation
from tests.fakes.site import serving
from tests.fakes.stored_runs import NF4, REFERENCE, WORDS, bench, comparison, quantization, stored

EVIL = "<img src=x onerror=alert(1)>"
PROXY = {"X-Forwarded-For": "10.0.0.1"}
ORIGIN = {"Origin": "http://evil.example"}


def shown(run: Run, owner: bool = True) -> dict[str, Any]:
    return page.view(runs.entry(run.id, owner), owner=owner)


def lines(pane: dict[str, Any], kind: str) -> list[tuple[float, list[Any]]]:
    found = [(at, json.loads(text)) for at, text in pane["lines"]]
    return [(at, parts) for at, parts in found if parts[0] == kind]


# ---- one run


def test_every_token_comes_at_its_own_time_and_the_last_numbers_are_the_metrics(home: Path) -> None:
    run = comparison()
    panes = shown(run)["replay"]["panes"]
    answers = Compared.from_row(run.as_row()).answers
    for pane, raw, answer in zip(panes, run.result["panes"], answers, strict=True):
        tokens = lines(pane, "tok")
        assert [at for at, _ in tokens] == pytest.approx([one["time_s"] for one in raw["tokens"]], abs=1e-4)
        assert "".join(parts[1] for _, parts in tokens) == raw["text"]
        assert [at for at, _ in pane["lines"]] == sorted(at for at, _ in pane["lines"])
        told = lines(pane, "num")[-1][1][1]
        again = answer.timing()
        assert again.as_dict() == {name: raw["metrics"][name] for name in again.as_dict()}
        assert told["decode"] == round(raw["metrics"]["decode_tok_s"], 2)
        assert told["ttft"] == round(1e3 * raw["metrics"]["ttft_s"], 2) and told["memory"]
        assert lines(pane, "end")[0][1][1:3] == ["done", f"{len(raw['tokens'])} tokens · ended by itself"]
    last = max(pane["end"] for pane in panes)
    (parted,) = lines(panes[1], "part")
    assert parted[1][1] == 3 and parted[0] == pytest.approx(run.result["panes"][1]["tokens"][3]["time_s"], abs=1e-4)
    (at, forced) = lines(panes[1], "forced")[0]
    assert at == pytest.approx(last, abs=1e-4) and len(forced[2]) == len(WORDS)
    assert lines(panes[1], "measured")[0][1][1] == "done" and not lines(panes[0], "forced")


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
    assert lines(failed, "fail")[0][1][1:3] == ["It died.", "Run it again."] and len(lines(failed, "tok")) == 3
    assert lines(failed, "measured")[0][1][1:] == ["blocked", "It was stopped."]


def test_a_divergence_a_measurement_of_speed_and_a_quantization_are_shown_by_their_own_pages(home: Path) -> None:
    speed = shown(bench())["speed"]
    assert speed["headline"][0].startswith("BF16 in transformers is the fastest here: 24.1 tok/s")
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
    assert "No test was made between the two runs" in found["claim"] and "signific" not in json.dumps(found)


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
    rows = listing.Rows()
    found = {line["kind"]: line for line in rows.lines(runs.search())}
    assert found["comparison"]["number"] == ("0.57×", "decode speed, nf4")
    assert found["bench"]["number"] == ("24.1", "tok/s decode, BF16 in transformers")
    assert found["quantization"]["number"] == ("2.36×", "smaller, 6.78 bits per weight")
    assert found["evaluation"]["number"][1].startswith("worst recovery, RTN W3A16 on")
    assert found["comparison"]["variants"] == ["BF16", "nf4"]


# ---- over HTTP


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def url(home: Path, engine: FakeEngine) -> Iterator[str]:
    with serving(engine) as address:
        yield address.rstrip("/")


def data(url: str, run: str, headers: dict[str, str] | None = None, path: str = "data") -> httpx.Response:
    return httpx.get(f"{url}/runs/{path}", params={"run": run}, headers=headers)


def test_a_link_is_answered_without_an_engine_and_asked_again_costs_nothing(url: str, engine: FakeEngine) -> None:
    run = comparison()
    answer = data(url, run.id, PROXY)
    assert answer.status_code == 200 and answer.headers["content-encoding"] == "gzip"
    assert answer.json()["replay"]["panes"] and "<" not in answer.text
    assert not engine.asked and not engine.loaded and not engine.prompts
    tag = {"If-None-Match": answer.headers["etag"]}
    again = data(url, run.id, PROXY | tag)
    assert again.status_code == 304 and not again.content
    runs.rename(run.id, f"Another title {EVIL}")
    renamed = data(url, run.id, PROXY | tag)
    assert renamed.status_code == 200 and renamed.json()["title"] == f"Another title {EVIL}" and "<" not in renamed.text


@pytest.mark.parametrize("wanted", ["", "0" * 32, "nonsense", "a\0b", "../../etc/passwd", "x" * 5000, "' OR 1=1 --"])
def test_what_is_no_run_is_not_found(url: str, wanted: str) -> None:
    comparison()
    for path in ("data", "items", "pair"):
        answer = data(url, wanted, path=path)
        assert answer.status_code == 404 and answer.json()["error"][0].startswith("There is no run"), path


def test_a_revoked_link_is_gone_for_everybody_but_the_owner(url: str) -> None:
    run, other = comparison(), comparison("Another")
    tag = {"If-None-Match": data(url, run.id, PROXY).headers["etag"]}
    runs.revoke(run.id)
    assert data(url, run.id).json()["revoked"] and data(url, run.id, PROXY | tag).status_code == 404
    pair = {"run": other.id, "with": run.id}
    assert httpx.get(f"{url}/runs/pair", params=pair).status_code == 200
    assert httpx.get(f"{url}/runs/pair", params=pair, headers=PROXY).status_code == 404
    runs.restore(run.id)
    assert data(url, run.id, PROXY).status_code == 200


def test_nobody_else_learns_a_path_of_this_machine(url: str, home: Path) -> None:
    model = f"{home}/secret/tiny"
    facts = [REFERENCE | {"id": model}, NF4 | {"id": f"{model}:nf4"}]
    run = comparison(f"{model}: what is gravity?", model=model, variants=facts)
    other = bench(model=model, variants=facts)
    for seen in (data(url, run.id, PROXY), httpx.get(f"{url}/runs/pair?run={run.id}&with={other.id}", headers=PROXY)):
        assert seen.status_code == 200 and "secret" not in seen.text and "tiny" in seen.text
    assert "secret" in data(url, run.id).text


def test_the_items_of_an_evaluation_come_with_the_link(url: str) -> None:
    run = evaluation(VARIANTS[:2], TASKS[2:3])
    asked = {"run": run.id, "task": "bundled_facts", "variant": "1", "show": "flips", "offset": "0"}
    found = httpx.get(f"{url}/runs/items", params=asked, headers=PROXY).json()
    assert found["counts"]["all"] == 200 and found["items"]
    wrong = httpx.get(f"{url}/runs/items", params=asked | {"task": "../../etc"})
    assert wrong.status_code >= 400 and "has no task" in wrong.json()["error"][0]
    assert httpx.get(f"{url}/runs/items", params=asked | {"offset": "many"}).status_code in (400, 422)


def send(url: str, event: str, sent: Any, headers: dict[str, str] | None = None) -> Any:
    config = httpx.get(f"{url}/config").json()
    (component,) = [one["id"] for one in config["components"] if one["props"].get("elem_id") == "pg-runs-list"]
    (index,) = [one["id"] for one in config["dependencies"] if [component, event] in map(list, one["targets"])]
    body = {"data": [], "event_data": sent, "fn_index": index, "session_hash": "one", "trigger_id": component}
    answer = httpx.post(f"{url}/gradio_api/run/predict", json=body, headers=headers, timeout=60)
    assert answer.status_code == 200, answer.text
    assert "<" not in answer.json()["data"][0]
    return json.loads(answer.json()["data"][0])


def test_the_owner_finds_names_explains_revokes_and_deletes(url: str) -> None:
    assert send(url, "look", {"serial": 1})["lines"] == []
    first, second = comparison("What is gravity?"), bench("How fast")
    found = send(url, "look", {"serial": 2})
    assert found["serial"] == 2 and [one["id"] for one in found["lines"]] == [second.id, first.id]
    assert found["total"] == 2 and found["models"] == ["smollm2"]
    assert [one["id"] for one in send(url, "look", {"words": "GRAVITY nf4"})["lines"]] == [first.id]
    assert [one["id"] for one in send(url, "look", {"kind": "bench"})["lines"]] == [second.id]
    assert send(url, "look", {"words": EVIL})["total"] == 0
    renamed = send(url, "rename", {"id": first.id, "text": EVIL})["lines"]
    assert [one["title"] for one in renamed] == ["How fast", EVIL]
    assert send(url, "annotate", {"id": first.id, "text": "On battery"})["lines"][1]["note"] == "On battery"
    assert send(url, "revoke", {"id": first.id})["total"] == 1
    assert send(url, "look", {"revoked": True})["lines"][1]["revoked"]
    assert send(url, "restore", {"id": first.id})["total"] == 2
    folders.run(first.id).mkdir(parents=True)
    assert send(url, "remove", {"id": first.id})["total"] == 1 and not folders.run(first.id).exists()
    assert send(url, "remove", {"id": first.id})["error"][0].startswith("There is no run")


def test_nobody_else_sees_the_list_or_changes_anything(url: str) -> None:
    run = comparison("A secret title")
    for event in ("look", "rename", "annotate", "revoke", "restore", "remove"):
        answer = send(url, event, {"id": run.id, "text": "mine"}, PROXY)
        assert "Only the owner" in answer["refused"][0] and "secret" not in json.dumps(answer), event
        with pytest.raises(AssertionError, match="Another website sent this request"):  # the gate, before the list
            send(url, event, {"id": run.id, "text": "mine"}, ORIGIN)
    assert runs.entry(run.id).title == "A secret title"


def test_a_space_says_where_links_lead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPACE_HOST", "me-playground.hf.space")
    assert 'Playground.host = "me-playground.hf.space"' in theme.options()["head"]
    for odd in ("", "</script><script>alert(1)", "evil.example/path", 'a"b'):
        monkeypatch.setenv("SPACE_HOST", odd)
        assert 'Playground.host = "";' in theme.options()["head"]


def test_the_fake_is_a_run_as_compare_makes_it(home: Path) -> None:
    """Its tokens give back the verdict that it holds."""
    run = comparison()
    found = Compared.from_row(run.as_row()).answers
    assert [one.text for one in found] == [pane["text"] for pane in run.result["panes"]]
    assert stored_runs.forced(3).as_json()["tokens"] == 3
