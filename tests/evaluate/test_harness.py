"""lm-eval's own answers and scores, whichever way it is asked; cut answers; a kill loses one batch."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from playground.engines import subjects
from playground.errors import EvaluationError
from playground.evaluate import models
from playground.evaluate.harness import RESPONSES, Answers
from playground.evaluate.items import Item
from playground.evaluate.spec import Conditions
from tests.cases import checkpoints
from tests.evaluate.conftest import Ask, choice
from tests.fakes.model import make_tiny

pytestmark = pytest.mark.filterwarnings("ignore")  # lm-eval's, transformers' and datasets' own
SHORT = {"max_gen_toks": 12}


def lm_eval_itself(tiny: Path, conditions: Conditions, tasks: Path, **more: Any) -> dict[str, Any]:
    """The same through lm-eval's front door, which loads the model by itself."""
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    found: dict[str, Any] = simple_evaluate(
        model="hf",
        model_args={"pretrained": str(tiny), "dtype": "bfloat16"},
        tasks=list(conditions.tasks),
        task_manager=TaskManager(include_defaults=False, include_path=[str(tasks)]),
        limit=conditions.limit,
        num_fewshot=conditions.few_shot,
        batch_size=conditions.batch_size,
        gen_kwargs=dict(conditions.generation) or None,
        apply_chat_template=conditions.chat_template,
        fewshot_as_multiturn=conditions.multiturn,
        bootstrap_iters=0,
        device="cpu",
        **more,
    )
    return found


def same(answers: Answers, theirs: list[dict[str, Any]], score: str, of: str = "none") -> None:
    """Every item: who was asked what, what came, what it scored."""
    rows = sorted((row for row in theirs if row["filter"] == of), key=lambda row: row["doc_id"])
    assert len(rows) == len(answers.items)
    for item, row in zip(answers.items, rows, strict=True):
        assert (item.doc_id, item.doc_hash) == (row["doc_id"], row["doc_hash"])
        assert item.prompt == row["arguments"][0][0]
        assert item.score == row[score]
        if item.loglikelihoods is None:
            assert item.answer == row["resps"][0][0]
        else:
            assert list(item.loglikelihoods) == [response[0][0] for response in row["resps"]]


@pytest.mark.parametrize(
    "conditions",
    [
        Conditions(tasks=("gsm8k",), few_shot=2, generation=SHORT, batch_size=4),
        Conditions(
            tasks=("gsm8k",), limit=5, few_shot=1, generation=SHORT, chat_template=True, multiturn=True, batch_size=2
        ),
    ],
    ids=["text", "chat"],
)
def test_generated_answers_are_lm_evals(ask: Ask, tiny: Path, tmp_path: Path, conditions: Conditions) -> None:
    found = ask(conditions)["gsm8k"]
    theirs = lm_eval_itself(tiny, conditions, tmp_path / "tasks")
    same(found, theirs["samples"]["gsm8k"], "exact_match", "strict-match")
    scores = [item.score for item in found.items]
    assert sum(scores) / len(scores) == theirs["results"]["gsm8k"]["exact_match,strict-match"]
    assert (found.facts.n, found.facts.n_full) == (conditions.limit or 14, 14)
    assert found.facts.sample is (conditions.limit is not None)
    assert found.facts.few_shot == conditions.few_shot


def test_scored_choices_are_lm_evals(ask: Ask, tiny: Path, tmp_path: Path) -> None:
    conditions = Conditions(tasks=("arc_easy",), batch_size=3)
    found = ask(conditions)["arc_easy"]
    theirs = lm_eval_itself(tiny, conditions, tmp_path / "tasks")
    same(found, theirs["samples"]["arc_easy"], "acc")
    assert found.facts.chance == pytest.approx((7 / 3 + 6 / 4) / 13)
    assert not any(item.truncated for item in found.items)
    assert {item.gold for item in found.items if item.score == 1} == {
        item.answer for item in found.items if item.score == 1
    }


def test_coqa_and_lambada(ask: Ask) -> None:
    found = ask(Conditions(tasks=("coqa", "lambada_openai"), generation=SHORT))
    assert found["coqa"].facts.metric == "f1"
    assert found["coqa"].items[0].gold == "on the bridge | the bridge | bridge"
    assert len({item.cluster for item in found["coqa"].items}) == 6
    assert found["lambada_openai"].facts.metric == "acc"
    assert all(len(item.loglikelihoods or ()) == 1 for item in found["lambada_openai"].items)


def test_a_scored_word_stands_beside_the_models_own(ask: Ask, tiny: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    found = ask(Conditions(tasks=("lambada_openai",), batch_size=1))["lambada_openai"].items
    model, tokenizer = AutoModelForCausalLM.from_pretrained(tiny, dtype="auto"), AutoTokenizer.from_pretrained(tiny)
    for item in found:
        with torch.no_grad():
            row = model(**tokenizer(item.prompt, return_tensors="pt")).logits[0, -1].float()
        best = [tokenizer.decode([index]) for index in torch.nonzero(row >= row.max() - 0.06).flatten().tolist()]
        assert item.answer.startswith(tuple(best)), "the most probable next token, up to the rounding of BF16"
        assert item.extracted == item.answer.strip()
        assert (item.answer == item.gold) == (item.score == 1)


def test_own_words_end_with_the_first_token_that_differs() -> None:
    def decode(ids: list[int]) -> str:
        return " ".join(map(str, ids))

    from playground.evaluate import harness

    assert harness._own_text([1, 2, 3], decode, [1, 2, 3]) == "1 2 3"
    assert harness._own_text([1, 9, 8], decode, [1, 2, 3]) == "1 9", "what follows was read after the scored token"
    assert harness._own_text([7, 1, 9], decode, [1, 2]) == "1 9", "of a shared row of logits its own end"


def test_sampling_is_repeated_by_its_seed(ask: Ask) -> None:
    def drawn(seed: int) -> list[str]:
        conditions = Conditions(
            tasks=("gsm8k",), limit=4, few_shot=0, generation={**SHORT, "temperature": 1.0}, seed=seed
        )
        return [item.answer for item in ask(conditions)["gsm8k"].items]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


class Scripted:
    """`generate` of a model that answers what it is told, token by token."""

    def __init__(self, lm: Any, texts: list[str]) -> None:
        self.ids = [lm.tokenizer(text).input_ids for text in texts]
        self.padding = lm.tokenizer.pad_token_id

    def __call__(self, input_ids: Any, max_length: int, **_: Any) -> Any:
        import torch

        room = max_length - input_ids.shape[1]
        rows = [(self.ids.pop(0) + [self.padding] * room)[:room] for _ in range(len(input_ids))]
        return torch.cat([input_ids, torch.tensor(rows)], dim=1)


def answered(ask: Ask, loaded: Callable[[Conditions], Any], monkeypatch: Any, texts: list[str], **more: Any) -> Any:
    conditions = Conditions(
        tasks=("gsm8k",), limit=len(texts), few_shot=0, generation={"max_gen_toks": 24}, batch_size=1, **more
    )
    lm = loaded(conditions)
    monkeypatch.setattr(lm.model, "generate", Scripted(lm, texts))
    return sorted(ask(conditions, lm=lm)["gsm8k"].items, key=lambda item: -len(item.prompt))


def test_an_answer_that_its_budget_ended_is_cut(
    ask: Ask, loaded: Callable[[Conditions], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    full = "the river and the bridge and " * 8
    texts = [full, "the river<|im_end|>", f"x Question: {full}", f"the river</s>{full}"]
    items = answered(ask, loaded, monkeypatch, texts)
    assert [item.truncated for item in items] == [True, False, False, False]
    assert items[1].answer == "the river"


def test_only_what_follows_the_thoughts_is_scored(
    ask: Ask, loaded: Callable[[Conditions], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    (item,) = answered(ask, loaded, monkeypatch, ["<think>1</think> #### 2<|im_end|>"], strip_thinking=True)
    assert (item.answer, item.extracted) == ("#### 2", "2")


def asked_of(folder: Path, ask: Ask, conditions: Conditions) -> tuple[dict[str, Answers], dict[str, Any]]:
    """The answers of a folder's model, loaded as an evaluation loads it, and its entry in the run."""
    (subject,) = subjects.find([str(folder)])
    with models.open_model(subject, conditions, lambda: pytest.fail("no engine is needed"), lambda _: None) as asked:
        return ask(conditions, lm=asked.lm), subject.facts(asked.loaded, "")


@pytest.mark.parametrize("sampled", [False, True])
def test_no_generation_config_decides_what_is_answered(tiny: Path, ask: Ask, tmp_path: Path, sampled: bool) -> None:
    folder = Path(shutil.copytree(tiny, tmp_path / "other"))
    settings = {"repetition_penalty": 1.5, "suppress_tokens": list(range(40, 320)), "do_sample": True, "top_p": 0.1}
    ids = {"eos_token_id": 2, "bos_token_id": 1, "pad_token_id": 2}
    checkpoints.with_generation_config(folder, **ids, **settings)
    drawn = {"temperature": 1.5} if sampled else {}
    conditions = Conditions(tasks=("gsm8k",), limit=4, few_shot=0, generation={**SHORT, **drawn})
    plain, facts = asked_of(tiny, ask, conditions)
    other, other_facts = asked_of(folder, ask, conditions)
    assert [item.answer for item in other["gsm8k"].items] == [item.answer for item in plain["gsm8k"].items]
    assert (facts["left_out"], other_facts["left_out"]) == ({}, settings)


def test_an_answer_ends_at_every_end_token_of_the_checkpoint(tiny: Path, ask: Ask, tmp_path: Path) -> None:
    conditions = Conditions(tasks=("gsm8k",), limit=1, few_shot=0, generation=SHORT)
    (whole,) = asked_of(tiny, ask, conditions)[0]["gsm8k"].items
    assert "the" in whole.answer and whole.truncated
    end = AutoTokenizer.from_pretrained(tiny).convert_tokens_to_ids("the")
    folder = Path(shutil.copytree(tiny, tmp_path / "ends"))
    checkpoints.with_generation_config(folder, eos_token_id=0)
    checkpoints.edit(folder / "config.json", eos_token_id=end)
    (item,) = asked_of(folder, ask, conditions)[0]["gsm8k"].items
    assert (item.answer, item.truncated) == (whole.answer.partition("the")[0], False)


@pytest.mark.parametrize(("task", "context", "room"), [("gsm8k", 64, 64 - 12), ("arc_easy", 40, 41)])
def test_prompts_that_the_context_cuts_are_kept_with_their_items(
    ask: Ask, tmp_path: Path, task: str, context: int, room: int
) -> None:
    folder = make_tiny(tmp_path / "short", context=context)
    answers = asked_of(folder, ask, Conditions(tasks=(task,), few_shot=0, generation=SHORT, batch_size=4))[0][task]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for item in answers.items:
        tokens = len(tokenizer(item.prompt).input_ids)
        if task == "arc_easy":
            texts = choice(item.doc_id)["choices"]["text"]
            room_of_prompt = room - max(len(tokenizer(f" {text}").input_ids) for text in texts)
        else:
            room_of_prompt = room
        assert item.cut_prompt == ((tokens, room_of_prompt) if tokens > room_of_prompt else None)
    assert {item.cut_prompt is None for item in answers.items} == {True, False}


def test_a_budget_beyond_the_context_is_a_sentence(ask: Ask) -> None:
    with pytest.raises(EvaluationError, match="less than model's maximum sequence length"):
        ask(Conditions(tasks=("gsm8k",), limit=1, few_shot=0, generation={"max_gen_toks": 4096}))


CONDITIONS = Conditions(tasks=("gsm8k", "arc_easy"), few_shot=0, generation=SHORT, batch_size=3)
SLOW_CHILD = """
import sys, time
from pathlib import Path
from playground.evaluate import harness, prepare; from playground.engines import subjects
from playground.evaluate.local_model import LocalModel
from tests.evaluate.test_harness import CONDITIONS
from playground.engines.host.loading import load
from playground.engines.host.loading import DeviceMemory
import torch

class Slow(LocalModel):
    def _model_generate(self, *arguments, **named):
        time.sleep(0.4)
        return super()._model_generate(*arguments, **named)

tiny, folder, tasks = sys.argv[1:]
spec = subjects.find([tiny])[0].spec
lm = Slow(load(spec, DeviceMemory(torch.device("cpu")), lambda _: None), CONDITIONS.batch_size, False)
prepared = prepare.prepare(CONDITIONS, Path(tasks), lambda _: None)
harness.answer(lm, prepared, Path(folder), "tiny", lambda stage: print(int(stage.done), flush=True))
"""


def committed(file: Path) -> int:
    """Answers that another process would find."""
    with contextlib.closing(sqlite3.connect(file)) as connection:
        return int(connection.execute("SELECT COUNT(*) FROM unnamed WHERE key NOT LIKE 'cut %'").fetchone()[0])


def test_kill_9_loses_one_batch_and_changes_no_number(
    ask: Ask, tiny: Path, tmp_path: Path, loaded: Callable[[Conditions], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = ask(CONDITIONS)
    folder = tmp_path / "killed"
    folder.mkdir()
    child = subprocess.Popen(
        [sys.executable, "-c", SLOW_CHILD, str(tiny), str(folder), str(tmp_path / "child")],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert child.stdout is not None
    while int(child.stdout.readline()) < 6:  # the second batch has been answered
        continue
    time.sleep(0.1)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()
    before = committed(folder / RESPONSES)
    assert before in (3, 6, 9)  # whole batches, and no more than one is lost
    lm = loaded(CONDITIONS)
    batches = []
    original = lm._model_generate
    monkeypatch.setattr(lm, "_model_generate", lambda *a, **k: batches.append(1) or original(*a, **k))
    resumed = ask(CONDITIONS, folder, lm)
    assert len(batches) == -(-(14 - before) // 3)
    for name, answers in whole.items():
        assert resumed[name].items == answers.items


def test_a_stop_in_mid_batch_leaves_whole_batches(
    ask: Ask, tmp_path: Path, loaded: Callable[[Conditions], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole: list[Item] = ask(CONDITIONS)["gsm8k"].items
    lm = loaded(CONDITIONS)
    decode, seen = lm.tok_decode, []

    def decoded(*arguments: Any, **named: Any) -> Any:
        seen.append(1)
        if len(seen) == 6:  # the first decodes the end token, so this is the second answer of the second batch
            raise KeyboardInterrupt
        return decode(*arguments, **named)

    monkeypatch.setattr(lm, "tok_decode", decoded)
    folder = tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt):
        ask(CONDITIONS, folder, lm)
    assert committed(folder / RESPONSES) == 3
    assert ask(CONDITIONS, folder)["gsm8k"].items == whole
