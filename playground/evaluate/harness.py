"""Run one variant on the tasks of an evaluation with lm-evaluation-harness's `evaluate`. Imports torch.

Prompts, batches, stop sequences and scores are lm-eval's. Added here: resuming after an interruption, progress, and
every item.

lm-eval keys a cached response by its prompt and not by the model, so a cache file is valid for one variant under one
set of conditions; the caller chooses the folder accordingly. Responses are committed a batch at a time: after an
interruption the remaining batches, and so the numbers, are the same as without it.
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
REPORT_S = 0.5
WORK = {
    "generate_until": ("generating answers", "answers"),
    "loglikelihood": ("scoring choices", "choices"),
    "loglikelihood_rolling": ("reading texts", "texts"),
}
_CUT = "cut "  # prefix of a response's key: whether the token budget ended it
_PROMPT = "prompt "  # prefix of a response's key: [tokens of the prompt, tokens that were kept] if it was truncated
_OWN = "own "  # prefix of a response's key: what the model itself would have written in place of a scored text


@dataclass(frozen=True, slots=True)
class Answers:
    """The results of one variant on one task."""

    facts: TaskFacts
    items: list[Item]


def answer(lm: Any, prepared: Prepared, folder: Path, label: str, on_progress: OnProgress) -> dict[str, Answers]:
    """Evaluate `lm` on every task and return the results by task name. Raises PlaygroundError.

    folder  holds the cached responses, of this variant under these conditions only; they are not generated again
    label   names the variant in progress messages
    """
    from lm_eval.evaluator import evaluate

    conditions = prepared.conditions
    loaded = prepared.load()
    with ResponseCache(lm, folder / RESPONSES, label, on_progress) as cache:
        try:
            results: Any = evaluate(
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
            raise _to_error(error, label) from error
        return {name: _answers(name, task, results, prepared, cache) for name, task in loaded["tasks"].items()}


def _answers(name: str, task: Any, results: Mapping[str, Any], prepared: Prepared, cache: ResponseCache) -> Answers:
    metric = prepared.metrics[name]
    items = evaluate_items.items(
        task, results["samples"][name], metric, cache.was_cut, cache.cut_prompt, cache.own_text
    )
    row = prepared.rows.get(name)
    facts = TaskFacts(
        name=name,
        title=row.title if row else name,
        metric=str(metric),
        chance=evaluate_items.guessing(task, items),
        higher_is_better=bool(task.higher_is_better().get(metric.name, True)),
        few_shot=int(results["n-shot"][name] or 0),
        n=len(items),
        n_full=int(results["n-samples"][name]["original"]),
        bundled=bool(row and row.bundled),
        graded=any(item.score not in (0.0, 1.0) for item in items),
        sample=len(items) < int(results["n-samples"][name]["original"]),
    )
    return Answers(facts, items)


def _to_error(error: Exception, label: str) -> PlaygroundError:
    """Return the error for what lm-eval raised: it uses assertions and bare exceptions for unsupported requests."""
    import torch

    from playground.errors import OutOfMemory

    message = (str(error).strip().splitlines() or [type(error).__name__])[0][:400]
    if isinstance(error, torch.OutOfMemoryError):
        return OutOfMemory(f"{label} ran out of memory.", hint="Take a smaller batch.")
    return EvaluationError(f"{label} cannot be asked: {message}", hint="The job's log has the details.")


# The response cache.


class Journal:
    """lm-eval's CacheHook: stores each new response. `begin_batch` commits those of the previous batch."""

    def __init__(self, responses: Any, on_response: Callable[[], None]) -> None:
        self._responses = responses
        self._on_response = on_response
        self._cut: list[bool] = []
        self._prompts: list[tuple[int, int]] = []
        self._scored_ids: dict[Any, Sequence[int]] = {}
        self._greedy: tuple[list[int], Callable[[list[int]], str]] | None = None

    def begin_batch(self) -> None:
        self._responses.commit()

    def generated(self, cut: Iterable[bool], prompts: Iterable[tuple[int, int]]) -> None:
        """Announce the next responses: whether the budget ended each, and (tokens of its prompt, tokens kept)."""
        self._cut, self._prompts = list(cut), list(prompts)

    def greedy(self, ids: list[int], decode: Callable[[list[int]], str]) -> None:
        """Announce the most probable token at each place of the next scored request."""
        self._greedy = ids, decode

    def scored(self, requests: Sequence[tuple[Any, Sequence[int], Sequence[int]]], room: int) -> None:
        """Announce requests to be scored: (request, context ids, scored ids). The model keeps the last `room` ids."""
        self._scored_ids = {request: ids for request, _, ids in requests if request is not None}
        for request, before, ids in requests:
            self._prompt("loglikelihood", request, len(before), len(before) - max(0, len(before) + len(ids) - room))

    def add_partial(self, attr: str, req: Iterable[Any], res: Any) -> None:
        key = hash_args(attr, req)
        if attr == "generate_until":
            self._responses[_CUT + key] = self._cut.pop(0)
            self._prompt(attr, req, *self._prompts.pop(0))
        if attr == "loglikelihood" and self._greedy is not None:
            self._responses[_OWN + key] = _own_text(*self._greedy, self._scored_ids.get(req, ()))
        self._responses[key] = res
        self._on_response()

    def _prompt(self, attr: str, request: Iterable[Any] | None, tokens: int, kept: int) -> None:
        if kept < tokens and request is not None:
            self._responses[_PROMPT + hash_args(attr, request)] = [tokens, kept]


def _own_text(own: list[int], decode: Callable[[list[int]], str], scored: Sequence[int]) -> str:
    """Return what greedy decoding writes, up to the first token that is not the scored one: the rest is not known."""
    own = own[-len(scored) :] if scored else []
    pairs = zip(own, scored, strict=True)
    same = next((number for number, (one, other) in enumerate(pairs) if one != other), len(own))
    return decode(own[: same + 1])


class ResponseCache(CachingLM):  # type: ignore[misc]  # lm-eval has no types
    """lm-eval's caching wrapper around a language model, with a Journal as cache hook.

    label  names the variant in progress messages: "smollm2:nf4 (2 of 4)"
    """

    def __init__(self, lm: Any, file: Path, label: str, on_progress: OnProgress) -> None:
        # Replaces CachingLM.__init__, whose table commits every response by itself and reads pickles.
        self.lm, self.cache_db = lm, str(file)
        self.dbdict = SqliteDict(
            self.cache_db, autocommit=False, outer_stack=False, encode=json.dumps, decode=json.loads
        )
        self._label, self._on_progress = label, on_progress
        self._stage = Progress(label)
        self._last = 0.0
        lm.set_cache_hook(Journal(self.dbdict, self._count_response))

    def __enter__(self) -> ResponseCache:
        return self

    def __exit__(self, *_: object) -> None:
        self.dbdict.close()

    def __getattr__(self, attr: str) -> Any:
        method = super().__getattr__(attr)
        if attr not in WORK:
            return method

        def with_progress(requests: Sequence[Any]) -> Any:
            done = sum(hash_args(attr, request.args) in self.dbdict for request in requests if not _samples(request))
            stage, unit = WORK[attr]
            self._report(Progress(f"{self._label}: {stage}", done, len(requests), unit))
            responses = method(requests)
            self._report(Progress(self._stage.stage, len(requests), len(requests), unit))
            return responses

        return with_progress

    def was_cut(self, arguments: Sequence[Any]) -> bool:
        """Return whether the token budget ended the answer to this `generate_until` request."""
        return bool(self.dbdict.get(_CUT + hash_args("generate_until", arguments), False))

    def cut_prompt(self, attr: str, arguments: Sequence[Any]) -> tuple[int, int] | None:
        """Return (tokens of the prompt, last tokens of it that the model read) if the prompt did not fit, else None."""
        lengths = self.dbdict.get(_PROMPT + hash_args(attr, arguments))
        return (lengths[0], lengths[1]) if lengths else None

    def own_text(self, arguments: Sequence[Any]) -> str:
        """Return what the model itself would have written in place of a scored text; "" where that is not known."""
        return str(self.dbdict.get(_OWN + hash_args("loglikelihood", arguments), ""))

    def _count_response(self) -> None:
        stage = self._stage
        self._stage = Progress(stage.stage, stage.done + 1, stage.total, stage.unit)
        if time.monotonic() - self._last > REPORT_S:
            self._report(self._stage)

    def _report(self, stage: Progress) -> None:
        self._stage, self._last = stage, time.monotonic()
        self._on_progress(stage)


def _samples(request: Any) -> bool:
    """Return whether a request samples; lm-eval does not cache those."""
    arguments = request.args
    return len(arguments) > 1 and isinstance(arguments[1], dict) and bool(arguments[1].get("do_sample"))
