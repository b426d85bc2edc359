"""What an evaluation keeps of every item: from what lm-eval logs, to the facts that its verdicts rest on."""

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

# Where a task has several metrics: what is usually quoted. Elsewhere the first that is a mean over the items.
_QUOTED = {"coqa": "f1", "bundled_reading": "f1", "hellaswag": "acc_norm", "arc_challenge": "acc_norm"}
_SHARED = ("cluster", "story", "passage", "context", "article")  # fields that several items have in common
WasCut = Callable[[Sequence[Any]], bool]
CutPrompt = Callable[[str, Sequence[Any]], tuple[int, int] | None]


@dataclass(frozen=True, slots=True)
class Metric:
    """Which of a task's numbers is its score. `filter` is how the answer was read, "none" where there is one way."""

    name: str
    filter: str

    def __str__(self) -> str:
        return self.name if self.filter == "none" else f"{self.name},{self.filter}"


def metric(name: str, task: Any) -> Metric:
    """The score of a task: a mean over its items, read by the first filter that the task lists.

    Raises EvaluationError for a task that is only scored as a whole, as BLEU and perplexity are.
    """
    from lm_eval.api.metrics import mean

    means = [one for one, aggregation in task.aggregation().items() if aggregation is mean]
    if not means:
        raise EvaluationError(
            f"{name} is scored as a whole and not item by item, so that two variants cannot be paired on it.",
            hint="For perplexity use `python -m playground kld`, which has uncertainties; or choose another task.",
        )
    quoted = _QUOTED.get(name, "")
    return Metric(str(quoted if quoted in means else means[0]), str(task._filters[0].name))


def items(
    task: Any, samples: Sequence[Mapping[str, Any]], of: Metric, was_cut: WasCut, cut_prompt: CutPrompt
) -> list[Item]:
    """One item a document, in the order of the data set. Raises EvaluationError when a score is no number."""
    own = (sample for sample in samples if sample["filter"] == of.filter)
    return sorted((_item(task, sample, of, was_cut, cut_prompt) for sample in own), key=lambda item: item.doc_id)


def guessing(task: Any, items_: Sequence[Item]) -> float | None:
    """The expected score of a guess among the choices; None of tasks without choices."""
    if task.OUTPUT_TYPE != "multiple_choice" or not items_:
        return None
    return float(np.mean([1 / len(item.loglikelihoods or (0,)) for item in items_]))


def _item(task: Any, sample: Mapping[str, Any], of: Metric, was_cut: WasCut, cut_prompt: CutPrompt) -> Item:
    choices = task.doc_to_choice(sample["doc"]) if task.OUTPUT_TYPE == "multiple_choice" else None
    generates = task.OUTPUT_TYPE == "generate_until"
    answer, extracted = _answer(sample, of.name, choices)
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
        score=_score(sample, of.name),
        truncated=generates and any(was_cut(arguments) for arguments in sample["arguments"]),
        loglikelihoods=None if generates else tuple(_likelihoods(sample, choices)),
        cut_prompt=min(cuts, key=itemgetter(1), default=None),
    )


def _answer(sample: Mapping[str, Any], name: str, choices: Sequence[str] | None) -> tuple[str, str]:
    """(as it came, what was scored)"""
    response = sample["resps"][0][0]
    if choices is not None:
        lengths = {"acc_norm": [len(one) for one in choices], "acc_bytes": [len(one.encode()) for one in choices]}
        taken = int(np.argmax(np.array([*_likelihoods(sample, choices)]) / lengths.get(name, 1)))
        return choices[taken], choices[taken]
    if isinstance(response, str):
        return response, _text(sample["filtered_resps"][0])
    greedy = response[1] if isinstance(response, list | tuple) else None
    said = "" if greedy is None else "what greedy decoding says" if greedy else "not what greedy decoding says"
    return said, said


def _likelihoods(sample: Mapping[str, Any], choices: Sequence[str] | None) -> Iterator[float]:
    """Of each choice; what the task asks beside them (mutual information) is left out."""
    for responses in sample["resps"][: None if choices is None else len(choices)]:
        response = responses[0]
        yield float(response[0] if isinstance(response, list | tuple) else response)


def _gold(target: Any, choices: Sequence[str] | None) -> str:
    if isinstance(target, list | tuple):
        return " | ".join(_gold(one, choices) for one in target)
    if choices is not None and isinstance(target, int) and 0 <= target < len(choices):
        return str(choices[target])
    return str(target)


def _text(extracted: Any) -> str:
    return " | ".join(map(str, extracted)) if isinstance(extracted, list | tuple) else str(extracted)


def _score(sample: Mapping[str, Any], name: str) -> float:
    """Some metrics give several numbers under names of their own (pass@1): then the first of these."""
    found = sample.get(name, sample.get(next(iter(sample["metrics"]), "")))
    if not isinstance(found, int | float | np.number | np.bool_):
        raise EvaluationError(f"The metric {name} gives no number for a single item.", hint="Choose another task.")
    return float(found)


def _cluster(document: Any) -> str:
    """What items about one passage, or of one template, share."""
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
    doc_hash        of the document; two sides are joined on it
    prompt_hash     of everything the model was given, template and examples included
    cluster         what items that hang together share: the conversation, the passage. "" where each stands alone
    answer          as it came; of multiple choice, the choice that was taken
    extracted       what the task's filter made of it, and what was scored
    score           0 or 1, or between them where the task is graded; of any size for perplexities
    truncated       the token budget ended the answer
    loglikelihoods  nats, one a choice, of tasks that are scored by them; None of tasks that generate
    cut_prompt      (tokens of the prompt, of these the last that the model got) where its context was too short for all
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
    """One variant and all its tasks. `facts` is its entry in the run's variants, `tasks` its items by task name."""

    variant: str
    content_hash: str
    facts: Mapping[str, Any]
    tasks: Mapping[str, Sequence[Item]]


@dataclass(frozen=True, slots=True)
class TrustWarning:
    """Something that makes a number doubtful, in a sentence for the reader.

    code      for programs and for grouping: "same-weights"
    variants  whose rows it concerns
    task      None: all tasks of these variants
    withholds whether these rows get no verdict
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
    """What a reader must know of a task to read its score.

    metric  its name in lm-eval: "exact_match"
    chance  the score of guessing, 0 to 1; None where guessing has none
    n       items that were asked
    n_full  items that the task has
    bundled written for this project, so never to be called the benchmark
    graded  scores lie between 0 and 1 (F1 and the like), not only on them
    sample  a limit was set: the score is of a sample
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
    """The items that both sides answered, in the reference's order.

    Joined on the document. One that a data set holds several times (MMLU does) is joined copy by copy.
    """
    copies: dict[str, deque[Item]] = {}
    for item in other:
        copies.setdefault(item.doc_hash, deque()).append(item)
    return [(item, copies[item.doc_hash].popleft()) for item in reference if copies.get(item.doc_hash)]


def clusters(items: Iterable[Item]) -> list[str] | None:
    """Names for the statistics: the items' own, and a name of its own for each that stands alone; None where all do."""
    names = [(item.cluster, f"item {position}") for position, item in enumerate(items)]
    return [cluster or alone for cluster, alone in names] if any(cluster for cluster, _ in names) else None


_FIELDS = {field.name for field in fields(Item)}
_LATER = {"cut_prompt"}  # not in the files of older versions


def line(item: Item) -> str:
    """One line of an items file, without its end."""
    return json.dumps(asdict(item), ensure_ascii=False)


def parse(text: str) -> Item:
    """What `line` wrote; floats come back bit by bit. Raises ValueError."""
    found = json.loads(text)
    if not isinstance(found, dict) or found.keys() | _LATER != _FIELDS:
        raise ValueError("not the fields of an item")
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}
    return Item(**values)


def write(path: Path, items: Iterable[Item]) -> None:
    """An items file: JSON lines, UTF-8."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(line(item) + "\n" for item in items)


def read(path: Path) -> list[Item]:
    """The items of a file that `write` made. Raises EvaluationError when a line is not one."""
    found = []
    with path.open(encoding="utf-8", newline="\n") as file:
        for number, text in enumerate(file, 1):
            try:
                found.append(parse(text))
            except ValueError as error:
                raise EvaluationError(
                    f"Line {number} of {path.parent.name}/{path.name} is not an item: {error}.",
                    hint="The file was changed or cut off after the run; measure again.",
                ) from error
    return found
