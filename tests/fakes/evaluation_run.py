"""Evaluations as a job leaves them: a run in the store and the items of its tasks on the disk.

Every number follows from the items, which are drawn by seed.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from playground.evaluate import items
from playground.evaluate.items import Item, Measured, TaskFacts
from playground.evaluate.trust import trust_checks
from playground.evaluate.verdict import rows
from playground.metrics.divergence import DocumentDivergence, summarize
from playground.store import folders, runs
from playground.store.schema import Run


@dataclass(frozen=True)
class FakeVariant:
    """lost, won: how many of a hundred answers change, in each direction."""

    id: str
    label: str
    method: str
    scheme: str
    bytes: int
    bits: float
    tok_s: float
    kld: float
    lost: float = 0.0
    won: float = 0.0


VARIANTS = (
    FakeVariant("smollm2", "BF16", "cast", "BF16", 269_030_016, 16.0, 24.1, 0.0),
    FakeVariant("smollm2:nf4", "nf4", "bitsandbytes", "nf4", 111_900_000, 6.66, 3.1, 0.041, 5, 4),
    FakeVariant("smollm2:gptq-w4a16-g64", "GPTQ W4A16", "gptq", "W4A16", 112_600_000, 6.70, 21.8, 0.058, 9, 3),
    FakeVariant("smollm2:w8a8", "W8A8", "rtn", "W8A8", 163_400_000, 9.72, 27.5, 0.0021, 1, 1),
    FakeVariant("smollm2:rtn-w3a16-g64", "RTN W3A16", "rtn", "W3A16", 98_200_000, 5.84, 20.2, 0.52, 22, 4),
)
TASKS = (
    TaskFacts("bundled_reading", "Reading, bundled", "f1", None, True, 0, 120, 120, True, True, False),
    TaskFacts("bundled_math", "Word problems, bundled", "exact_match", None, True, 5, 150, 150, True, False, False),
    TaskFacts("bundled_facts", "Facts, bundled", "acc", 0.25, True, 0, 200, 200, True, False, False),
    TaskFacts("bundled_cloze", "Cloze, bundled", "acc", None, True, 0, 160, 160, True, False, False),
)
SCORES = {"bundled_reading": 0.46, "bundled_math": 0.07, "bundled_facts": 0.49, "bundled_cloze": 0.38}
PLACES = (("Peru", "Lima"), ("Kenya", "Nairobi"), ("Norway", "Oslo"), ("Ghana", "Accra"), ("Nepal", "Kathmandu"))
Floats = npt.NDArray[np.floating[Any]]


def evaluation(
    variants: Sequence[FakeVariant] = VARIANTS,
    tasks: Sequence[TaskFacts] = TASKS,
    *,
    seed: int = 0,
    model: str = "smollm2",
    files: bool = True,
    settings: Mapping[str, Any] | None = None,
    **more: Any,
) -> Run:
    """A stored run. One task of one variant has no verdict: W8A8 answered bundled_cloze as the reference did."""
    rng = np.random.default_rng(seed)
    run_id = runs.new_id()
    answered: list[dict[str, list[Item]]] = [{} for _ in variants]
    for task in tasks:
        reference = _right(rng, task)
        for index, variant in enumerate(variants):
            copied = index == 0 or (variant.label == "W8A8" and task.name == "bundled_cloze")
            scores = reference if copied else _moved(rng, reference, variant, task)
            found = [_item(task, number, float(score), 0 if copied else index) for number, score in enumerate(scores)]
            answered[index][task.name] = found
            if files:
                folder = folders.items(run_id, task.name)
                folder.mkdir(parents=True, exist_ok=True)
                items.write(folder / f"{index}.jsonl", found)
    facts = [_variant(variant) for variant in variants]
    sides = [Measured(one["id"], one["content_hash"], one, own) for one, own in zip(facts, answered, strict=True)]
    by_name = {task.name: task for task in tasks}
    moved = [(variant.id, variant.kld) for variant in variants]
    moved.insert(1, ("noise-floor", 2e-5))
    divergence = [_divergence(rng, name, mean) for name, mean in moved]
    doubts = trust_checks(sides[0], sides[1:], by_name, divergence)
    values: dict[str, Any] = {
        "id": run_id,
        "kind": "evaluation",
        "title": f"{model}: {len(variants)} variants on {len(tasks)} tasks",
        "model": model,
        "created_at": time.time(),
        "settings": {
            "tasks": list(by_name), "limit": None, "few_shot": None, "chat_template": False, "multiturn": False,
            "generation": {}, "strip_thinking": False, "batch_size": 8, "seed": 0, "engine": "transformers",
            "divergence": {"text": "bundled", "tokens": 8192}, "speed": True,
        } | dict(settings or {}),
        "versions": {"torch": "2.13.0", "transformers": "5.17.0", "lm-eval": "0.4.13"},
        "device": {"name": "AMD EPYC", "cores": 2, "memory": 25 * 10**9, "bandwidth": 17.1e9},
        "variants": facts,
        "result": {
            "tasks": [task.as_dict() for task in tasks],
            "rows": rows(sides[0], sides[1:], by_name, doubts),
            "divergence": divergence,
            "warnings": [asdict(one) | {"variants": list(one.variants)} for one in doubts],
            "seconds": {"tasks": 1480.0, "divergence": 190.0, "speed": 60.0, "total": 1730.0},
        },
        "job_id": None,
    }  # fmt: skip
    run = Run(**(values | more))
    runs.add(run)
    return run


def divergence_run(
    variants: Sequence[FakeVariant] = VARIANTS, *, seed: int = 0, model: str = "smollm2", **more: Any
) -> Run:
    """A stored divergence without tasks, as its job leaves it."""
    rng = np.random.default_rng(seed)
    moved = [(variant.id, variant.kld) for variant in variants]
    moved.insert(1, ("noise-floor", 2e-5))
    rows_ = [_divergence(rng, name, mean) for name, mean in moved]
    values: dict[str, Any] = {
        "id": runs.new_id(),
        "kind": "divergence",
        "title": f"{model} · divergence of {len(variants) - 1} variants",
        "model": model,
        "created_at": time.time(),
        "settings": {"text": "bundled prose", "tokens": 8192, "max_length": 512},
        "versions": {"torch": "2.13.0", "transformers": "5.17.0", "lm-eval": "0.4.13"},
        "device": {"name": "AMD EPYC", "cores": 2, "memory": 25 * 10**9, "bandwidth": 17.1e9},
        "variants": [_variant(variant) | {"speed": None} for variant in variants],
        "result": {
            "rows": rows_,
            "text": {"name": "bundled prose", "hash": "ab", "documents": 24, "tokens": 7200},
            "warnings": [],
            "seconds": {"text": 1.0, "variants": 2.0, "divergence": 90.0, "total": 93.0},
            "estimate": {"seconds": [60.0, 120.0], "middle": 88.0, "rests_on": [], "missing": [], "resumed": False},
        },
        "job_id": None,
    }
    run = Run(**(values | more))
    runs.add(run)
    return run


def _right(rng: np.random.Generator, task: TaskFacts) -> Floats:
    right = rng.random(task.n) < SCORES.get(task.name, 0.5)
    return np.where(right, rng.choice([0.5, 0.8, 1.0], task.n), 0.0) if task.graded else right.astype(float)


def _moved(rng: np.random.Generator, before: Floats, variant: FakeVariant, task: TaskFacts) -> Floats:
    """The same scores, some of which fell or rose."""
    after, count = before.copy(), task.n / 100
    right, wrong = np.flatnonzero(before > 0), np.flatnonzero(before == 0)
    for places, changes, value in ((right, variant.lost, 0.0), (wrong, variant.won, 1.0)):
        some = min(len(places), rng.poisson(changes * count))
        after[rng.choice(places, some, replace=False)] = value
    return after


def _variant(variant: FakeVariant) -> dict[str, Any]:
    speed = {
        "decode_tok_s": variant.tok_s, "sd": 0.04 * variant.tok_s, "prefill_tok_s": 8 * variant.tok_s,
        "engine": "transformers", "prompt_tokens": 128, "output_tokens": 64, "repetitions": 3,
    }  # fmt: skip
    return {
        "id": variant.id, "label": variant.label, "method": variant.method, "scheme": variant.scheme,
        "bytes": variant.bytes, "bits_per_weight": variant.bits, "content_hash": _hash(variant.id),
        "engine": "transformers", "dtype": "bfloat16", "loaded_bytes": variant.bytes, "kernel": "torch",
        "template_hash": _hash("template"), "speed": speed,
    }  # fmt: skip


def _divergence(rng: np.random.Generator, variant: str, mean: float) -> dict[str, Any]:
    """24 documents of 300 tokens, whose KLD is log-normal."""
    documents = []
    for _ in range(24):
        kld = mean * rng.lognormal(-1.1, 1.5, 300)
        nll = rng.gamma(2.0, 1.3, 300)
        agrees = rng.random(300) > 0.45 * mean**0.5
        documents.append(DocumentDivergence(kld, nll, nll + mean, agrees, -kld / 4, rng.random(300)))
    return summarize(variant, documents)


def _item(task: TaskFacts, number: int, score: float, index: int) -> Item:
    country, gold = PLACES[number % len(PLACES)]
    wrong = PLACES[(number + 1 + index) % len(PLACES)][1]
    right = score > 0
    said = gold if right else wrong
    if task.name == "bundled_math":
        a, b = 3 + number % 17, 4 + number % 11
        gold, said = str(a * b), str(a * b if right else a * b + 1 + index)
        prompt = f"Question: Ana has {a} boxes with {b} pencils each. How many pencils does she have?\nAnswer:"
        answer = f"She has {a} boxes of {b}, so {a} × {b} = {said}.\n#### {said}"
    else:
        prompt = f"Question: What is the capital of {country}?\nAnswer:"
        answer = f" {said}" if score in (0.0, 1.0) else f" The capital is {said}"
    likelihoods = tuple(-1.0 - one / 7 - (0.0 if one == 0 and right else 0.4) for one in range(4))
    return Item(
        doc_id=number, doc_hash=_hash(f"{task.name} {number}"), prompt_hash=_hash(prompt),
        cluster=f"passage {number // 6}" if task.graded else "", prompt=prompt, gold=gold, answer=answer,
        extracted=said, score=score, truncated=task.name == "bundled_math" and number % 7 == 0,
        loglikelihoods=likelihoods if task.metric == "acc" else None,
    )  # fmt: skip


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
