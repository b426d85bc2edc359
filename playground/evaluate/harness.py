"""One variant's answers to the tasks of an evaluation, through lm-evaluation-harness's own `evaluate`. Imports torch.

Prompts, batches, stop rules and scores are lm-eval's; added here: an interrupted evaluation goes on, progress is told,
every item is kept.

lm-eval keys a response by its prompt and not by the model, so the file of responses belongs to one variant under one
set of conditions: whoever opens it sees to that. A batch is committed whole: what is left then has the same batches,
and with them the same numbers, as without the interruption.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lm_eval.api.model import CachingLM, hash_args
from sqlitedict import SqliteDict

from playground.core import Progress
from playground.errors import EvaluationError, PlaygroundError
from playground.evaluate import items as evaluate_items
from playground.evaluate.items import Item, TaskFacts
from playground.evaluate.prepare import Prepared

RESPONSES = "responses.db"
OnProgress = Callable[[Progress], None]
SAY_S = 0.5
WORK = {
    "generate_until": ("generating answers", "answers"),
    "loglikelihood": ("scoring choices", "choices"),
    "loglikelihood_rolling": ("reading texts", "texts"),
}
_CUT = "cut "  # before the key of a response: the token budget ended it
_PROMPT = "prompt "  # before the key of a response: its prompt was cut, from so many tokens to so many


@dataclass(frozen=True, slots=True)
class Answers:
    """One task, answered by one variant."""

    facts: TaskFacts
    items: list[Item]


def answer(lm: Any, prepared: Prepared, folder: Path, what: str, on_progress: OnProgress) -> dict[str, Answers]:
    """Ask `lm` every item that `folder` does not hold an answer to yet. `what` says who answers, for the progress.

    `folder` belongs to this variant under these conditions alone. Raises PlaygroundError.
    """
    from lm_eval.evaluator import evaluate

    conditions = prepared.conditions
    loaded = prepared.load()
    with ResponseCache(lm, folder / RESPONSES, what, on_progress) as cache:
        try:
            found: Any = evaluate(
                lm=cache,
                task_dict=loaded,
                limit=conditions.limit,
                bootstrap_iters=0,
                apply_chat_template=conditions.chat_template,
                fewshot_as_multiturn=conditions.multiturn,
                confirm_run_unsafe_code=conditions.allow_code,
            )
        except (PlaygroundError, MemoryError):
            raise
        except (AssertionError, ValueError, KeyError, TypeError, RuntimeError) as error:
            raise _typed(error, what) from error
        return {name: _answers(name, task, found, prepared, cache) for name, task in loaded["tasks"].items()}


def _answers(name: str, task: Any, found: Mapping[str, Any], prepared: Prepared, cache: ResponseCache) -> Answers:
    metric = prepared.metrics[name]
    items = evaluate_items.items(task, found["samples"][name], metric, cache.was_cut, cache.cut_prompt)
    row = prepared.rows.get(name)
    facts = TaskFacts(
        name=name,
        title=row.title if row else name,
        metric=str(metric),
        chance=evaluate_items.guessing(task, items),
        higher_is_better=bool(task.higher_is_better().get(metric.name, True)),
        few_shot=int(found["n-shot"][name] or 0),
        n=len(items),
        n_full=int(found["n-samples"][name]["original"]),
        bundled=bool(row and row.bundled),
        graded=any(item.score not in (0.0, 1.0) for item in items),
        sample=len(items) < int(found["n-samples"][name]["original"]),
    )
    return Answers(facts, items)


def _typed(error: Exception, what: str) -> PlaygroundError:
    """lm-eval says in assertions and bare exceptions what cannot be asked of a model."""
    import torch

    from playground.errors import OutOfMemory

    said = (str(error).strip().splitlines() or [type(error).__name__])[0][:400]
    if isinstance(error, torch.OutOfMemoryError):
        return OutOfMemory(f"{what} ran out of memory.", hint="Take a smaller batch.")
    return EvaluationError(f"{what} cannot be asked: {said}", hint="The job's log has the details.")


# The response cache.


class Journal:
    """What lm-eval calls for each new response (its CacheHook). `begin_batch` commits those of the batch before."""

    def __init__(self, responses: Any, said: Callable[[], None]) -> None:
        self._responses = responses
        self._said = said
        self._cut: list[bool] = []
        self._prompts: list[tuple[int, int]] = []

    def begin_batch(self) -> None:
        self._responses.commit()

    def generated(self, cut: Iterable[bool], prompts: Iterable[tuple[int, int]]) -> None:
        """Of each of the next responses: whether the budget ended it, and (tokens of its prompt, of these kept)."""
        self._cut, self._prompts = list(cut), list(prompts)

    def scored(self, requests: Iterable[tuple[Any, Sequence[int], Sequence[int]]], room: int) -> None:
        """What is about to be scored: (its request, ids before, ids scored). The last `room` ids are kept."""
        for request, before, ids in requests:
            self._prompt("loglikelihood", request, len(before), len(before) - max(0, len(before) + len(ids) - room))

    def add_partial(self, attr: str, req: Iterable[Any], res: Any) -> None:
        key = hash_args(attr, req)
        if attr == "generate_until":
            self._responses[_CUT + key] = self._cut.pop(0)
            self._prompt(attr, req, *self._prompts.pop(0))
        self._responses[key] = res
        self._said()

    def _prompt(self, attr: str, request: Iterable[Any] | None, tokens: int, kept: int) -> None:
        if kept < tokens and request is not None:
            self._responses[_PROMPT + hash_args(attr, request)] = [tokens, kept]


class ResponseCache(CachingLM):  # type: ignore[misc]  # lm-eval has no types
    """Wraps a language model as lm-eval's own does; `lm.set_cache_hook` gets a Journal.

    what  who answers, for the progress: "smollm2:nf4 (2 of 4)"
    """

    def __init__(self, lm: Any, file: Path, what: str, on_progress: OnProgress) -> None:
        # Not lm-eval's own: its table commits every response alone, and reads pickles.
        self.lm, self.cache_db = lm, str(file)
        self.dbdict = SqliteDict(
            self.cache_db, autocommit=False, outer_stack=False, encode=json.dumps, decode=json.loads
        )
        self._what, self._on_progress = what, on_progress
        self._stage = Progress(what)
        self._last = 0.0
        lm.set_cache_hook(Journal(self.dbdict, self._one_more))

    def __enter__(self) -> ResponseCache:
        return self

    def __exit__(self, *_: object) -> None:
        self.dbdict.close()

    def __getattr__(self, attr: str) -> Any:
        found = super().__getattr__(attr)
        if attr not in WORK:
            return found

        def answered(requests: Sequence[Any]) -> Any:
            held = sum(hash_args(attr, one.args) in self.dbdict for one in requests if not _sampled(one))
            words, unit = WORK[attr]
            self._tell(Progress(f"{self._what}: {words}", held, len(requests), unit))
            responses = found(requests)
            self._tell(Progress(self._stage.stage, len(requests), len(requests), unit))
            return responses

        return answered

    def was_cut(self, arguments: Sequence[Any]) -> bool:
        """Whether the token budget ended the answer to this request of `generate_until`."""
        return bool(self.dbdict.get(_CUT + hash_args("generate_until", arguments), False))

    def cut_prompt(self, attr: str, arguments: Sequence[Any]) -> tuple[int, int] | None:
        """(tokens of the prompt, of these the last that the model got) where the context was too short for it."""
        found = self.dbdict.get(_PROMPT + hash_args(attr, arguments))
        return (found[0], found[1]) if found else None

    def _one_more(self) -> None:
        stage = self._stage
        self._stage = Progress(stage.stage, stage.done + 1, stage.total, stage.unit)
        if time.monotonic() - self._last > SAY_S:
            self._tell(self._stage)

    def _tell(self, stage: Progress) -> None:
        self._stage, self._last = stage, time.monotonic()
        self._on_progress(stage)


def _sampled(request: Any) -> bool:
    """Whether lm-eval draws the answer anew each time, and so reads none from its cache."""
    arguments = request.args
    return len(arguments) > 1 and isinstance(arguments[1], dict) and bool(arguments[1].get("do_sample"))
