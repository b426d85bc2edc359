"""What leaves is what was measured: every form of every kind, against the run's own numbers."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub.repocard_data import model_index_to_eval_results
from jsonschema import Draft202012Validator
from PIL import Image

from playground import formatting
from playground.core import Trace, nats
from playground.errors import InvalidRequest
from playground.formatting import inert_cell
from playground.metrics.timing import timing
from playground.report import html, picture
from playground.report.parts import Caveats, Exchange, Numbers, Sentence
from playground.runs import export
from playground.runs.kinds import KINDS
from playground.store.schema import Run
from tests.fakes import catalog, exported_runs
from tests.fakes.engine import FakeEngine, Script
from tests.fakes.evaluation_run import TASKS, VARIANTS, evaluation

EVIL = "<img src=x onerror=alert(1)></script><script>alert(2)</script>{{7*7}}"
VALIDATOR = Draft202012Validator(export.schema())


def lines(run: Run) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(export.csv(run))))


def evil(run: Run) -> Run:
    """The same run with markup in every text that somebody else wrote."""
    row = json.loads(json.dumps(run.as_row()))
    row["title"] = row["model"] = EVIL
    for number, variant in enumerate(row["variants"]):
        variant["label"] = f"{EVIL}{number}"
    for number, pane in enumerate(row["result"].get("panes") or ()):
        pane |= {
            "label": f"{EVIL}{number}",
            "kernel": EVIL,
            "error": {"code": "engine_error", "message": EVIL, "hint": EVIL},
        }
        for token in pane["tokens"][3:5]:
            token |= {"text": EVIL, "piece": EVIL, "top": [[1, EVIL, -0.5]]}
    if prompt := row["result"].get("prompt"):
        prompt["messages"] = [{"role": "user", "content": EVIL}]
    for task in row["result"].get("tasks") or ():
        task["title"] = EVIL
    for one in row["result"].get("warnings") or ():
        one["text"] = EVIL
    return Run(**row)


# ---- every kind


def test_the_json_is_what_its_schema_says(run: Run) -> None:
    Draft202012Validator.check_schema(export.schema())
    found = json.loads(json.dumps(export.as_json(run), allow_nan=False))
    VALIDATOR.validate(found)
    assert found["result"] == json.loads(json.dumps(run.result)) and found["id"] == run.id
    for name in ("result", "variants", "created_at"):
        assert not VALIDATOR.is_valid({key: value for key, value in found.items() if key != name})
    assert not VALIDATOR.is_valid(found | {"kind": "opinion"})
    lists = {name: value for name, value in found["result"].items() if isinstance(value, list) and value}
    broken = {name: [[], *value] for name, value in lists.items()} or {"row": 3}
    assert not VALIDATOR.is_valid(found | {"result": found["result"] | broken}), "each kind has a schema of its own"


def test_the_page_is_one_file_that_may_load_nothing(run: Run) -> None:
    text = export.html(run)
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', text)
    script = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    assert policy and len(script) == 1 and text.count("<script") == 1
    digest = base64.b64encode(hashlib.sha256(script[0].encode()).digest()).decode()
    allowed = policy[1].replace("&#39;", "'")
    assert allowed.startswith("default-src 'none';") and f"script-src 'sha256-{digest}'" in allowed
    assert not re.findall(r"""(?:src|href|srcset|action|poster|data)=["']|url\(|@import|https?:""", text)
    assert "NaN" not in text and "Infinity" not in text and ">None<" not in text


def test_nothing_in_it_is_markup(run: Run) -> None:
    text = export.html(evil(run), note=EVIL)
    assert text.count("<script") == 1 and "<img" not in text and "&lt;img src=x" in text
    assert "{{7*7}}" in text, "what somebody wrote is never a template"
    card = export.model_card(evil(run))
    outside = re.sub(r"```yaml.*?```", "", card, flags=re.DOTALL)
    assert not re.search(r"(?<!\\)<(?:img|script)", outside)


def test_no_form_names_a_path_of_this_machine(home: Path) -> None:
    place = home / "models/secret/tiny"
    variants = [replace(one, id=one.id.replace("smollm2", str(place))) for one in VARIANTS[:2]]
    kept = {"recipe": {"calibration": {"source": "/srv/private/text.txt", "samples": 3}}}
    found = [
        exported_runs.comparison(variants, model=str(place), title=f"{place} · BF16"),
        evaluation(variants, TASKS[2:3], files=False, model=str(place)),
        exported_runs.divergence(settings={"text": "/srv/private/text.txt", "tokens": 9, "max_length": 8}),
        exported_runs.bench([variants[0], replace(variants[1], id="/srv/private/other@vllm")], model=str(place)),
        exported_runs.quantization(settings=kept),
    ]
    found[-1].result["row"]["path"] = "/srv/private/awq"
    found[-2].result["rows"][-1]["variant"] = "/srv/private/other"
    for run in found:
        for ending, form in export.FORMS.items():
            made = form.make(run, "", "")
            for secret in (b"secret", b"private", str(home).encode()):
                assert secret not in made, f"{run.kind}.{ending} names {secret.decode()}"


def test_a_file_is_written_by_its_ending_and_whole(run: Run, tmp_path: Path) -> None:
    tmp_path = tmp_path / "files"
    tmp_path.mkdir()
    for ending in export.FORMS:
        written = export.write(run, tmp_path / f"run.{ending.upper()}", "My title", "My note")
        assert written.stat().st_size > 300 and written.stat().st_mode & 0o400
    assert b"My note" in (tmp_path / "run.HTML").read_bytes() and b"My title" in (tmp_path / "run.JSON").read_bytes()
    assert sorted(path.suffix for path in tmp_path.iterdir()) == sorted(f".{one.upper()}" for one in export.FORMS)
    with pytest.raises(InvalidRequest, match=r"run\.pdf") as refused:
        export.write(run, tmp_path / "run.pdf")
    assert ".html" in refused.value.hint and not (tmp_path / "run.pdf").exists()


def test_the_picture_is_a_card_of_a_chat(run: Run) -> None:
    with Image.open(io.BytesIO(export.png(run))) as image:
        assert (image.format, image.size) == ("PNG", (1200, 630))
        colours = image.convert("RGB").getcolors(1 << 20) or []
        assert len(colours) > 50, "there is text on it"


# ---- comparison


def test_numbers_of_a_comparison_follow_from_its_tokens(home: Path) -> None:
    run = exported_runs.comparison()
    text, rows = export.html(run), lines(run)
    for pane, row in zip(run.result["panes"], rows, strict=True):
        tokens = pane["tokens"]
        steps = tuple(token["step_s"] for token in tokens)
        trace = Trace(31, tuple(token["time_s"] for token in tokens), steps, steps[0])
        expected = timing(trace).as_dict()
        assert {name: float(row[name]) for name in expected} == pytest.approx(expected)
        assert row["text"] == "".join(token["text"] for token in tokens)
        assert int(row["peak_memory_bytes"]) == pane["metrics"]["peak_memory_bytes"]
        said = (formatting.figure(expected["decode_tok_s"]), formatting.milliseconds(expected["ttft_s"]))
        assert re.search(rf"<dd>{said[0]}</dd><dt>tok/s decode</dt></div>\s*<div><dd>{said[1]}</dd>", text)
    (forced,) = [one for one in run.result["forced"] if one]
    assert float(rows[1]["kld_mean"]) == forced["kld_mean"] and f"<dd>{nats(forced['kld_mean'])}</dd>" in text
    times = [float(found) for found in re.findall(r'data-at="([\d.]+)"', text)]
    every = [token["time_s"] for pane in run.result["panes"] for token in pane["tokens"]]
    assert times == pytest.approx(every, abs=1e-4), "the replay has the original timings"
    assert text.count('class="tk parts"') == 1, "where the texts part is marked"


def test_a_comparison_from_the_engine_to_the_page(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the code that runs and stores it, so that a change of what is stored is noticed here."""
    from playground import machine
    from playground.compare.run import generate
    from playground.compare.spec import GenerateSpec

    catalog.install(monkeypatch)
    monkeypatch.setattr(machine, "device_facts", lambda device: {"device": device, "name": "Two cores", "cores": 2})
    script = Script(("Gravity", " is", " no", " thing", "."))
    run = generate(
        FakeEngine({"fake:nf4": script}), GenerateSpec(variants=["fake", "fake:nf4"], prompt="Why?", divergence=True)
    ).run()
    assert run is not None
    VALIDATOR.validate(json.loads(json.dumps(export.as_json(run))))
    report = export.report(run)
    (exchange,), (caveats,) = report.all(Exchange), report.all(Caveats)
    kept = run.result["verdict"][0]
    assert report.all(Sentence)[0].text == kept["headline"] and set(kept["caveats"]) == set(caveats.texts)
    assert [answer.label for answer in exchange.answers] == ["BF16", "nf4"]
    assert exchange.scales[-1].key == "kld" and "Token 3" in exchange.answers[1].apart
    assert "Two cores" in export.html(run)


def test_what_this_version_says_of_a_run_without_a_kept_verdict(home: Path) -> None:
    report = export.report(exported_runs.comparison())
    first, (numbers,) = report.all(Sentence)[0], report.all(Numbers)
    assert re.match(r"nf4 is 58% smaller and \d+\.\d\d× slower here\.", first.text)
    assert "The answers diverge at token 8." in first.rest and numbers.numbers[0].value == "0.42×"


@pytest.mark.parametrize("kept", [0, 1, 2])
def test_a_pane_that_failed_or_was_cut_short(home: Path, kept: int) -> None:
    run = exported_runs.comparison(error={"code": "engine_error", "message": "It died.", "hint": "Run it again."})
    for pane in run.result["panes"]:
        pane["tokens"] = pane["tokens"][:kept]
    text = export.html(run)
    assert export.report(run).all(Sentence)[-1].text == "nf4 failed: It died."
    assert "Run it again." in text and "NaN" not in text
    assert formatting.UNKNOWN in text, "what is not known is a dash"
    assert all(form.make(run, "", "") for form in export.FORMS.values())


def test_what_a_model_may_write(home: Path) -> None:
    run = exported_runs.comparison()
    odd = ("\ud83d", "\0", "\x1b[31m", "￾", "日本語", "\n\t</style>")
    for token, text in zip(run.result["panes"][0]["tokens"], odd, strict=False):
        token |= {"text": text, "piece": text}
    for form in export.FORMS.values():
        assert form.make(run, "日本語 🙂 \ud83d", "\0")


# ---- evaluation and divergence


def test_the_table_of_an_evaluation_is_the_runs(home: Path) -> None:
    run = evaluation(files=False)
    rows = {(row["variant"], row["task"]): row for row in lines(run)}
    assert len(rows) == len(run.result["rows"]) == len(VARIANTS) * len(TASKS)
    for one in run.result["rows"]:
        row = rows[one["variant"], one["task"]]
        for name in ("score", "stderr", "recovery", "flips_lost", "flips_won", "mcnemar_p", "smallest_drop"):
            assert row[name] == ("" if one[name] is None else str(one[name]))
        low, high = one["diff_ci95"] or ("", "")
        assert (row["diff_low"], row["diff_high"], row["verdict"]) == (str(low), str(high), one["verdict"])
    text = export.html(run)
    for one in run.result["rows"]:
        score = f"{100 * one['score']:.1f} ± {100 * one['stderr']:.1f}"
        assert score in text and export.model_card(run).count(score)


def test_an_evaluation_without_more_than_scores(home: Path) -> None:
    run = evaluation(VARIANTS[:2], TASKS[:1], files=False)
    run.result["divergence"] = None
    for variant in run.variants:
        variant["speed"] = None
    assert all(form.make(run, "", "") for form in export.FORMS.values())


def test_what_no_answer_was_asked_with_stands_among_the_conditions(home: Path) -> None:
    run = evaluation(files=False)
    assert "generation_config.json" not in export.html(run), "an older version did not look"
    for variant in run.variants:
        variant["left_out"] = {}
    assert "generation_config.json not read" in export.html(run)
    run.variants[0]["left_out"] = {"repetition_penalty": 1.5}
    assert f"generation_config.json not read ({run.variants[0]['label']}: repetition_penalty 1.5)" in export.html(run)
    VALIDATOR.validate(json.loads(export.FORMS["json"].make(run, "", "")))


def test_the_noise_floor_is_told_beside_the_divergence(home: Path) -> None:
    run = exported_runs.divergence()
    assert [row["variant"] for row in lines(run)] == [row["variant"] for row in run.result["rows"]]
    assert "noise floor" in export.html(run)
    assert export.report(run).all(Sentence)[0].text.startswith("W8A8 stays nearest to BF16, RTN W3A16 moves farthest")


# ---- the section of a model card


def index(card: str) -> dict[str, Any]:
    found = re.search(r"```yaml\n(.*?)\n```", card, re.DOTALL)
    return yaml.safe_load(found[1]) if found else {}


def test_the_index_is_the_hubs_and_leaves_out_what_was_withheld(home: Path) -> None:
    run = evaluation(files=False)
    entries = {
        one["name"]: model_index_to_eval_results([one])[1] for one in index(export.model_card(run))["model-index"]
    }
    assert list(entries) == [variant.id for variant in VARIANTS]
    for row in run.result["rows"]:
        found = [one for one in entries[row["variant"]] if one.dataset_type == row["task"]]
        assert [one.metric_value for one in found] == ([] if row["verdict"] == "withheld" else [row["score"]])
    moved = {row["variant"]: row for row in run.result["divergence"]}
    (kld,) = [one for one in entries["smollm2:nf4"] if one.metric_type == "kld_mean"]
    assert kld.metric_value == moved["smollm2:nf4"]["kld_mean"]
    assert index(export.model_card(exported_runs.bench())) == {}, "a speed is no result of an evaluation"


# ---- CSV


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t=", " ="])
def test_no_cell_is_a_formula(home: Path, start: str) -> None:
    run = exported_runs.comparison()
    run.variants[1]["scheme"] = f'{start}HYPERLINK("http://evil.example")'
    cell = lines(run)[1]["scheme"]
    assert cell.startswith("'") and cell[1:].lstrip().startswith(start.strip())
    assert inert_cell(-3.5) == -3.5 and inert_cell("") == "" and inert_cell("plain") == "plain"


# ---- the rest


def test_a_kind_that_nobody_knows_is_refused(home: Path) -> None:
    run = exported_runs.comparison(kind="opinion")
    for form in export.FORMS.values():
        with pytest.raises(InvalidRequest, match="opinion"):
            form.make(run, "", "")


def test_the_kinds_are_those_of_the_schema() -> None:
    assert list(KINDS) == export.schema()["properties"]["kind"]["enum"]
    for name, kind in KINDS.items():
        assert kind.feature.COLUMNS and kind.feature.number({}, {}) == ("", ""), f"a {name} that measured nothing"


def test_colours_are_the_pages() -> None:
    own = (html.HERE / "static/export.css").read_text()
    theirs = (Path(html.__file__).parents[1] / "web/static/page.css").read_text()
    read: Callable[[str], list[tuple[str, str]]] = lambda text: re.findall(r"(--[a-z-]+):\s*([^;]+);", text)  # noqa: E731
    light, dark = theirs[: theirs.index("body.dark")], theirs[theirs.index("body.dark") :]
    names = dict(read(own[: own.index("@media")]))
    assert set(names.items()) <= set(read(light)), "light"
    assert set(read(own[own.index("@media") : own.index("* {")])) <= set(read(dark[: dark.index("}")])), "dark"


def test_the_font_of_the_picture_is_there_and_long_words_are_cut() -> None:
    shape = picture.font(40, bold=True)
    assert getattr(shape, "getname", lambda: ("", ""))()[0] == "IBM Plex Sans"
    assert picture.wrap("n = 3 " + "x" * 500, shape, 300, 2)[-1].endswith("…")
    assert all(shape.getlength(line) <= 300 for line in picture.wrap("many words of some length " * 9, shape, 300, 3))
