"""Items of an evaluation: read from lm-eval's samples, written to items files, joined between two variants."""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from playground.errors import EvaluationError

# The metric that is usually quoted, where a task has several. Other tasks: the first that is a mean over the items.
_QUOTED = {"coqa": "f1", "bundled_reading": "f1", "hellaswag": "acc_norm", "arc_challenge": "acc_norm"}
_SHARED = ("cluster", "story", "passage", "context", "article")  # fields that several items have in common
WasCut = Callable[[Sequence[Any]], bool]
CutPrompt = Callable[[str, Sequence[Any]], tuple[int, int] | None]
OwnText = Callable[[Sequence[Any]], str]
# Of a scored text where the model's own is not known: is the text the most probable one?
TOP_CHOICE, OTHER_CHOICE = "(the model’s top choice)", "(the model’s top choice is another)"


@dataclass(frozen=True, slots=True)
class Metric:
    """The metric that is a task's score. `filter`: lm-eval's filter that extracts the answer, "none" without one."""

    name: str
    filter: str

    def __str__(self) -> str:
        return self.name if self.filter == "none" else f"{self.name},{self.filter}"


def metric(name: str, task: Any) -> Metric:
    """Return the metric and the first filter of a task; the metric is a mean over the items.

    Raises EvaluationError for a task that is only scored as a whole (BLEU, perplexity).
    """
    from lm_eval.api.metrics import mean

    means = [metric_name for metric_name, aggregation in task.aggregation().items() if aggregation is mean]
    if not means:
        raise EvaluationError(
            f"{name} is scored as a whole and not item by item, so that two variants cannot be paired on it.",
            hint="For perplexity use `python -m playground kld`, which has uncertainties; or choose another task.",
        )
    quoted = _QUOTED.get(name, "")
    return Metric(str(quoted if quoted in means else means[0]), str(task._filters[0].name))


def items(
    task: Any, samples: Sequence[Mapping[str, Any]], metric: Metric, was_cut: WasCut, cut_prompt: CutPrompt,
    own_text: OwnText = lambda _: "",
) -> list[Item]:  # fmt: skip
    """Return one item for each document, in the data set's order. Raises EvaluationError if a score is not a number.

    samples     lm-eval's log of the task
    was_cut     whether the token budget ended the answer to a request
    cut_prompt  (tokens of the prompt, tokens that were kept) of a request whose prompt was truncated
    own_text    what the model itself would have written in place of a scored text; "" where that is not known
    """
    matching = (sample for sample in samples if sample["filter"] == metric.filter)
    return sorted(
        (_item(task, sample, metric, was_cut, cut_prompt, own_text) for sample in matching),
        key=lambda item: item.doc_id,
    )


def guessing(task: Any, items: Sequence[Item]) -> float | None:
    """Return the expected score of random guessing, 0 to 1; None for tasks without choices."""
    if task.OUTPUT_TYPE != "multiple_choice" or not items:
        return None
    return float(np.mean([1 / len(item.loglikelihoods or (0,)) for item in items]))


def _item(
    task: Any, sample: Mapping[str, Any], metric: Metric, was_cut: WasCut, cut_prompt: CutPrompt, own_text: OwnText
) -> Item:
    choices = task.doc_to_choice(sample["doc"]) if task.OUTPUT_TYPE == "multiple_choice" else None
    generates = task.OUTPUT_TYPE == "generate_until"
    answer, extracted = _answer(sample, metric.name, choices, own_text)
    kind = "generate_until" if generates else "loglikelihood"
    cuts = filter(None, (cut_prompt(kind, arguments) for arguments in sample["arguments"]))
    return Item(
        doc_id=int(sample["doc_id"]),
        doc_hash=sample["doc_hash"],
        prompt_hash=_hash("\n".join(str(arguments[0]) for arguments in sample["arguments"])),
        cluster=_cluster(sample["doc"]),
        prompt=str(sample["arguments"][0][0]),
        gold=_gold(sample["target"], choices),
        answer=answer,
        extracted=extracted,
        score=_score(sample, metric.name),
        truncated=generates and any(was_cut(arguments) for arguments in sample["arguments"]),
        loglikelihoods=None if generates else tuple(_likelihoods(sample, choices)),
        cut_prompt=min(cuts, key=itemgetter(1), default=None),
    )


def _answer(sample: Mapping[str, Any], name: str, choices: Sequence[str] | None, own_text: OwnText) -> tuple[str, str]:
    """Return (raw answer, extracted answer)."""
    response = sample["resps"][0][0]
    if choices is not None:
        lengths = {
            "acc_norm": [len(choice) for choice in choices],
            "acc_bytes": [len(choice.encode()) for choice in choices],
        }
        best = int(np.argmax(np.array([*_likelihoods(sample, choices)]) / lengths.get(name, 1)))
        return choices[best], choices[best]
    if isinstance(response, str):
        return response, _text(sample["filtered_resps"][0])
    greedy = response[1] if isinstance(response, list | tuple) else None
    unknown = "" if greedy is None else TOP_CHOICE if greedy else OTHER_CHOICE
    text = own_text(sample["arguments"][0]) or unknown
    return text, text.strip()


def _likelihoods(sample: Mapping[str, Any], choices: Sequence[str] | None) -> Iterator[float]:
    """Yield the log-likelihood of each choice; the extra requests for mutual information are left out."""
    for responses in sample["resps"][: None if choices is None else len(choices)]:
        response = responses[0]
        yield float(response[0] if isinstance(response, list | tuple) else response)


def _gold(target: Any, choices: Sequence[str] | None) -> str:
    if isinstance(target, list | tuple):
        return " | ".join(_gold(part, choices) for part in target)
    if choices is not None and isinstance(target, int) and 0 <= target < len(choices):
        return str(choices[target])
    return str(target)


def _text(extracted: Any) -> str:
    return " | ".join(map(str, extracted)) if isinstance(extracted, list | tuple) else str(extracted)


def _score(sample: Mapping[str, Any], name: str) -> float:
    """Return a sample's score: the metric's, or the sample's first metric where the names differ (pass@1).

    Raises EvaluationError if it is not a number.
    """
    score = sample.get(name, sample.get(next(iter(sample["metrics"]), "")))
    if not isinstance(score, int | float | np.number | np.bool_):
        raise EvaluationError(f"The metric {name} gives no number for a single item.", hint="Choose another task.")
    return float(score)


def _cluster(document: Any) -> str:
    """Return an id that items about one passage, or from one template, share; "" without one."""
    if not isinstance(document, Mapping):
        return ""
    shared = next((document[name] for name in _SHARED if isinstance(document.get(name), str)), "")
    return _hash(shared)[:16] if shared else ""


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Item:
    """One item of one task, answered by one variant; also one line of an items file.

    doc_id          position in the task's data set
    doc_hash        lm-eval's hash of the document; two variants are joined on it
    prompt_hash     sha256 of the whole prompt, template and examples included
    cluster         id that dependent items share (one conversation, one passage); "" for an independent item
    answer          raw answer; for multiple choice, the most likely choice
    extracted       what the task's filter extracted from it; this is scored
    score           0 or 1, between them for graded tasks, of any size for perplexities
    truncated       whether the token budget ended the answer
    loglikelihoods  nats, one for each choice; None for tasks that generate
    cut_prompt      (tokens of the prompt, last tokens of it that the model read) if it did not fit the context
    """

    doc_id: int
    doc_hash: str
    prompt_hash: str
    cluster: str
    prompt: str
    gold: str
    answer: str
    extracted: str
    score: float
    truncated: bool
    loglikelihoods: tuple[float, ...] | None = None
    cut_prompt: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """The results of one variant. `facts`: its entry in the run's variants; `tasks`: its items by task name."""

    variant: str
    content_hash: str
    facts: Mapping[str, Any]
    tasks: Mapping[str, Sequence[Item]]


@dataclass(frozen=True, slots=True)
class TrustWarning:
    """A warning that a number may not mean what it seems to, as a sentence.

    code      machine-readable: "same-weights"
    variants  variants whose rows it applies to
    task      None: all tasks of these variants
    withholds whether the verdict of these rows is withheld
    """

    code: str
    text: str
    variants: tuple[str, ...]
    task: str | None = None
    withholds: bool = False

    def concerns(self, variant: str, task: str) -> bool:
        return variant in self.variants and self.task in (None, task)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"variants": list(self.variants)}


@dataclass(frozen=True, slots=True)
class TaskFacts:
    """Facts about a task that its score is shown with.

    metric  its name in lm-eval: "exact_match"
    chance  expected score of guessing, 0 to 1; None for tasks without choices
    n       items that were evaluated
    n_full  items that the task has
    bundled written for this project, so never to be called the benchmark
    graded  item scores can lie between 0 and 1, as F1 does
    sample  a limit was set: n < n_full
    """

    name: str
    title: str
    metric: str
    chance: float | None
    higher_is_better: bool
    few_shot: int
    n: int
    n_full: int
    bundled: bool
    graded: bool
    sample: bool

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def joined(reference: Iterable[Item], other: Iterable[Item]) -> list[tuple[Item, Item]]:
    """Return pairs of items that both variants answered, joined on the document's hash, in the reference's order.

    Duplicate documents in a data set (MMLU has some) are paired one by one.
    """
    copies: dict[str, deque[Item]] = {}
    for item in other:
        copies.setdefault(item.doc_hash, deque()).append(item)
    return [(item, copies[item.doc_hash].popleft()) for item in reference if copies.get(item.doc_hash)]


def clusters(items: Iterable[Item]) -> list[str] | None:
    """Return a cluster id for each item, a unique one for an independent item; None if all are independent."""
    names = [(item.cluster, f"item {position}") for position, item in enumerate(items)]
    return [cluster or alone for cluster, alone in names] if any(cluster for cluster, _ in names) else None


_FIELDS = {field.name for field in fields(Item)}
_LATER = {"cut_prompt"}  # missing in the files of older versions


def line(item: Item) -> str:
    """Return an item as one line of an items file, without the newline."""
    return json.dumps(asdict(item), ensure_ascii=False)


def parse(text: str) -> Item:
    """Return the item of a line that `line` wrote; floats are restored exactly. Raises ValueError."""
    content = json.loads(text)
    if not isinstance(content, dict) or content.keys() | _LATER != _FIELDS:
        raise ValueError("not the fields of an item")
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in content.items()
    }
    return Item(**values)


def write(path: Path, items: Iterable[Item]) -> None:
    """Write an items file: JSON lines, UTF-8."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(line(item) + "\n" for item in items)


def read(path: Path) -> list[Item]:
    """Return the items of a file that `write` wrote. Raises EvaluationError, naming the first broken line."""
    items = []
    with path.open(encoding="utf-8", newline="\n") as file:
        for number, text in enumerate(file, 1):
            try:
                items.append(parse(text))
            except ValueError as error:
                raise EvaluationError(
                    f"Line {number} of {path.parent.name}/{path.name} is not an item: {error}.",
                    hint="The file was changed or cut off after the run; measure again.",
                ) from error
    return items
