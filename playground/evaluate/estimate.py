"""What an evaluation will take, before it runs: its time and its memory.

Time: what its items have to read and write, at the measured pace of each variant on this machine, corrected by what
earlier evaluations took here. Memory: weights at their widest moment, and what a forward pass needs.

How much there is to read and to write for one item is known best from what was asked here before, then from data on
this disk. Of a task whose data is on the hub and that never ran here nothing is known.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from statistics import fmean
from typing import Any

from playground import machine, models
from playground.core import LoadSpec, Variant
from playground.errors import OutOfMemory, PlaygroundError
from playground.estimate import Measured, Parts, Range, spread, too_little_memory
from playground.evaluate import passes, prepare, tasks
from playground.evaluate.divergence import noise_floor
from playground.evaluate.items import Item
from playground.evaluate.passes import Pass
from playground.evaluate.spec import Conditions, DivergenceSpec, EvaluateSpec
from playground.evaluate.speed import PLAN
from playground.models import bundled, hub, names
from playground.models.address import Address
from playground.settings import settings
from playground.store import database, runs
from playground.store.schema import Run

LOOKED_AT = 12  # earlier runs of this home
STARTS = 1.5  # imports of a worker over those of torch and transformers: lm-eval, data sets, the store
COMPARES = 1.25  # a divergence over its two forward passes: `make bench-divergence`
DOUBT: Range = (0.75, 1.5)  # less than of quantizing: what is timed is the computation itself
Task = tuple[str, int | None]  # its name, and how many items are asked; None where that is not known
BASE = 900 * 2**20  # bytes of a worker with torch, transformers and lm-eval before it loads a model
PASS = 512 * 2**20  # logits of a window or of a batch, twice, and what is between layers
FP32_OVER_BF16 = 2
BUDGET = 256  # tokens of an answer where a task names none: lm-eval's own default
SHORT = 0.4  # of the budget: the longest answer of a batch, at best, where no answer was seen yet
READ = 400  # documents that a mean is taken over
NO_TEXT = ("id", "choices", "template", "topic")  # fields of the bundled tasks that no prompt shows
CHARACTERS: Range = (3.3, 4.8)  # of a token: figures and code, and plain English


@dataclass(frozen=True, slots=True)
class Expected:
    """What is to be expected of a job.

    seconds   (low, high); None where nothing is known
    middle    of the arithmetic, before earlier runs correct it: what they are compared with
    rests_on  sentences on where it comes from
    missing   sentences on what is not in it
    measures  whether a measurement of some seconds would make it known, or better
    """

    seconds: Range | None
    middle: float = 0.0
    rests_on: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    measures: bool = False

    def as_dict(self) -> dict[str, Any]:
        return {
            "seconds": None if self.seconds is None else [round(one, 1) for one in self.seconds],
            "middle": round(self.middle, 3),
            "rests_on": list(self.rests_on),
            "missing": list(self.missing),
        }


def expected(
    spec: EvaluateSpec | DivergenceSpec, tasks: Sequence[Task], *, measure: bool, busy: float = 0.0
) -> Expected:
    """`tasks`: those that are asked, groups resolved. `measure=False` never measures. `busy`: `machine.busy`.

    Raises CatalogError, EngineUnavailable.
    """
    if not measure and _to_restore(spec):
        return Expected(None, measures=True)
    specs, missing = _here(spec)
    if not specs:
        return Expected(None, missing=tuple(missing))
    diverges = isinstance(spec, DivergenceSpec) or spec.divergence is not None
    wanted = [*specs.values(), *([noise_floor(next(iter(specs.values())))] if diverges else [])]
    found = passes.cached_or_measured(wanted) if measure else [passes.cached(one) for one in wanted]
    paces = {one.id: pace for one, pace in zip(wanted, found, strict=True) if pace is not None}
    lacking = [one.id for one in wanted if one.id not in paces]
    if lacking:
        if not measure:
            return Expected(None, missing=tuple(missing), measures=True)
        missing.append(f"{', '.join(lacking)} could not be measured on this machine.")
    history, written = _history(), list[bool]()
    parts = Parts()
    parts.add("starting", STARTS * max((pace.imports_s for pace in paces.values()), default=0.0))
    if isinstance(spec, EvaluateSpec):
        sizes, unknown = _sizes(spec.conditions, tasks, history)
        missing += unknown
        for pace in (paces[one.id] for one in specs.values() if one.id in paces):
            _answering(parts, pace, spec.conditions.batch_size, tasks, sizes)
            if spec.speed:
                _timing(parts, pace)
        written = [size.seen for size in sizes.values() if size.answer[1]]
    if text := spec if isinstance(spec, DivergenceSpec) else spec.divergence:
        _comparing(parts, [paces[one.id] for one in (*specs.values(), wanted[-1]) if one.id in paces], text.tokens)
    if not paces:
        return Expected(None, missing=tuple(missing))
    low, high = parts.total
    past = [one for run in history if (one := _past(run)) is not None]
    seconds = spread(parts, "evaluation", past, busy, DOUBT)
    return Expected(seconds, (low + high) / 2, tuple(_said(past, written)), tuple(missing))


def tasks_of(spec: EvaluateSpec | DivergenceSpec) -> list[Task]:
    """What `expected` is told of a spec that has not run; nothing of a divergence alone."""
    return [] if isinstance(spec, DivergenceSpec) else tasks.item_counts(spec.conditions.tasks, spec.conditions.limit)


def kept(spec: EvaluateSpec | DivergenceSpec, tasks: Sequence[Task], *, resumed: bool) -> dict[str, Any]:
    """What a run keeps of it beside the time that it took: as it would have been said before, on an idle machine.

    resumed  whether an interrupted job had left a part: what is left then says little of the whole
    """
    try:
        found = expected(spec, tasks, measure=False)
    except (PlaygroundError, OSError) as error:  # a measurement of an hour is not lost to its estimate
        found = Expected(None, missing=(f"Nothing could be said of it: {error}",))
    return {**found.as_dict(), "resumed": resumed}


def _to_restore(spec: EvaluateSpec | DivergenceSpec) -> bool:
    """Whether the bundled model is asked for and yet to be restored: some seconds, and on the disk."""
    kinds = {names.parse(models.split(Address.parse(name).variant)[0]).kind for name in spec.variants}
    return "bundled" in kinds and bundled.gguf() is not None and bundled.record(bundled.folder()) is None


def _here(spec: EvaluateSpec | DivergenceSpec) -> tuple[dict[str, LoadSpec], list[str]]:
    """What is loaded in this program's own process, and what of the rest is not known."""
    engine = spec.engine if isinstance(spec, EvaluateSpec) else ""
    found: dict[str, LoadSpec] = {}
    missing = []
    for name in spec.variants:
        asked = Address.parse(name)
        model, _ = models.split(asked.variant)
        parsed = names.parse(model)
        if parsed.kind == "remote" or (asked.engine or engine) == "vllm":
            missing.append(f"How fast {name} answers is not known before: another engine computes it.")
        elif not _is_here(parsed):
            missing.append(f"{name} is downloaded first, and how fast it is here is known then.")
        else:
            own = models.resolve(asked.variant)
            # A GGUF file is unpacked into the model that it was made from.
            found[name] = models.resolve(model) if Path(own.path).suffix == ".gguf" != Path(model).suffix else own
    return found, missing


def _is_here(model: names.Model) -> bool:
    """Whether making it local asks nobody."""
    if model.kind == "bundled":
        return bundled.gguf() is not None or hub.is_downloaded(names.parse(names.BUNDLED_REPO))
    return model.kind != "hub" or hub.is_downloaded(model)


def _sizes(conditions: Conditions, tasks: Sequence[Task], history: Sequence[Run]) -> tuple[dict[str, Size], list[str]]:
    sizes = {}
    for name, count in tasks:
        found = size(name, conditions, _seen(name, conditions, history)) if count else None
        if found is not None:
            sizes[name] = found
    unknown = [name for name, _ in tasks if name not in sizes]
    said = (
        [f"{', '.join(unknown)}: what it asks is known once it ran here; its time is not in this."] if unknown else []
    )
    return sizes, said


def _seen(name: str, conditions: Conditions, history: Sequence[Run]) -> Mapping[str, Any] | None:
    """What the newest run that asked a task in this form kept of its size."""
    form = ("few_shot", "chat_template", "multiturn")
    asked = conditions.model_dump(mode="json")
    for run in history:
        if all(run.settings.get(key) == asked[key] for key in form) and (kept := run.result.get("sizes", {}).get(name)):
            found: Mapping[str, Any] = kept
            return found
    return None


def _answering(parts: Parts, pace: Pass, batch: int, tasks: Sequence[Task], sizes: Mapping[str, Size]) -> None:
    """One variant on all tasks: every prompt is read once, and each batch writes until its longest answer ends."""
    low, high = pace.load_s, pace.load_s
    for name, count in tasks:
        if (size := sizes.get(name)) is None or not count:
            continue
        fewest, most = sorted(size.prompt / one for one in CHARACTERS)
        step = math.ceil(count / batch) * pace.step(min(batch, count))
        low += count * fewest * pace.token_s + step * size.answer[0]
        high += count * most * pace.token_s + step * size.answer[1]
    _more(parts, "answering", low, high)


def _timing(parts: Parts, pace: Pass) -> None:
    """As `bench` measures speed: each test once more than it repeats, to warm up."""
    times = (PLAN.runs + 1) * (PLAN.prompt_tokens * pace.token_s + PLAN.output_tokens * pace.step_s)
    _more(parts, "timing", times + pace.load_s, times + pace.imports_s + pace.load_s)


def _comparing(parts: Parts, paces: Sequence[Pass], tokens: int) -> None:
    """The reference reads the text once beside each other variant and the noise floor."""
    reference, *others = paces
    one = sum(tokens * (reference.token_s + other.token_s) + other.load_s for other in others) + reference.load_s
    _more(parts, "comparing", one, COMPARES * one)


def _more(parts: Parts, name: str, low: float, high: float) -> None:
    before = parts.of.get(name, (0.0, 0.0))
    parts.add(name, before[0] + low, before[1] + high)


def _history() -> list[Run]:
    """Earlier runs of this home on this hardware, the newest first."""
    if not database.exists():
        return []
    found = [run for kind in ("evaluation", "divergence") for run in runs.latest(kind, limit=LOOKED_AT)]
    here = {"cores": machine.cores(), "memory": machine.memory().total}
    same = [run.id for run in found if all(run.device.get(key) == value for key, value in here.items())]
    return [_read(run_id) for run_id in same]


@lru_cache(maxsize=4 * LOOKED_AT)
def _read(run_id: str) -> Run:
    """A run never changes."""
    return runs.get(run_id)


def _past(run: Run) -> Measured | None:
    """What was expected of a run and what it took; None where nothing was expected, or it went on from another job."""
    said = run.result.get("estimate") or {}
    if not said.get("middle") or said.get("resumed") or said.get("missing"):
        return None
    return Measured("evaluation", float(said["middle"]), float(run.result["seconds"]["total"]))


def _said(past: Sequence[Measured], written: Sequence[bool]) -> list[str]:
    """`written`: of each task that generates, whether its answers were seen before."""
    found = ["Some layers of each variant, timed on this machine, and how much is read and written."]
    if written:
        known = "is known from an earlier run" if all(written) else "is not known before: from short ones to the budget"
        found.append(f"How long answers become {known}.")
    if past:
        times = f"{len(past)} earlier evaluation{'' if len(past) == 1 else 's'}"
        found.append(f"Corrected by what {times} took here.")
    return found


# Memory.


@dataclass(frozen=True, slots=True)
class Room:
    """Bytes. low: weights that are held at once and Python, without which nothing works. high: with a forward pass."""

    low: int
    high: int


def needed(spec: EvaluateSpec | DivergenceSpec) -> Room:
    """Of a job of this spec. A remote variant takes nothing here. Raises CatalogError for one that is not there."""
    asked = [Address.parse(name) for name in spec.variants]
    found = [(one.engine, models.variant(one.variant)) for one in asked]
    here = [variant for engine, variant in found if engine != "vllm" and variant.engines != ("remote",)]
    diverges = isinstance(spec, DivergenceSpec) or spec.divergence is not None
    alone = max(map(_loaded, here), default=0)
    held = max(alone, _pair(here)) if diverges else alone
    return Room(BASE + held, BASE + held + PASS)


def needs(spec: EvaluateSpec | DivergenceSpec) -> int:
    """`Kind.needs` of both kinds of job."""
    return needed(spec).high


def check(spec: EvaluateSpec | DivergenceSpec, device: str) -> None:
    """`Kind.check` of both kinds of job."""
    if device != "cpu":  # of a GPU's memory the worker knows more
        return
    low, free = needed(spec).low, machine.memory().available
    if low > free:
        raise OutOfMemory(
            too_little_memory(low, free),
            hint="Unload models on the Compare page, measure smaller variants, or leave the divergence out.",
        )


def together(names: Sequence[str]) -> int:
    """Bytes of variants that are loaded beside each other and answer. Raises CatalogError for one that is not there."""
    found = [models.variant(Address.parse(name).variant) for name in names]
    return BASE + sum(_loaded(variant) for variant in found if variant.engines != ("remote",)) + PASS


def _loaded(variant: Variant) -> int:
    """Bytes in memory: what bitsandbytes packs stays packed; transformers unpacks every other scheme on a CPU."""
    if variant.method in ("bitsandbytes", "cast"):
        return variant.bytes or 0
    return max(variant.bytes or 0, 2 * (variant.parameters or 0))


def _pair(here: Sequence[Variant]) -> int:
    """The reference, which stays, and beside it the noise floor's FP32 or the largest of the others."""
    if not here:
        return 0
    reference, *others = map(_loaded, here)
    other_type = reference // FP32_OVER_BF16 if here[0].dtype == "float32" else reference * FP32_OVER_BF16
    return reference + max([other_type, *others])


# The size of an item.


@dataclass(frozen=True, slots=True)
class Size:
    """One item, on average.

    prompt   characters, examples included; of several choices each with the prompt before it, all together
    answer   tokens of the longest answer of a batch: at least, at most; (0, 0) where none is written
    seen     whether the task was asked here before, under the same number of examples
    """

    prompt: float
    answer: Range
    seen: bool = False

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"answer": list(self.answer)}


def of_items(items: Iterable[Item], answer_tokens: int) -> Size:
    """What was asked: kept in the run. `answer_tokens`: the budget."""
    found = list(items)
    prompt = fmean(len(item.prompt) * len(item.loglikelihoods or (0,)) for item in found)
    if found[0].loglikelihoods is not None:
        return Size(prompt, (0.0, 0.0), seen=True)
    longest = max(len(item.answer) for item in found) / CHARACTERS[0]
    mean = fmean(len(item.answer) for item in found) / CHARACTERS[1]
    return Size(prompt, (min(mean, answer_tokens), min(longest, answer_tokens)), seen=True)


def budget(name: str, conditions: Conditions) -> int:
    """Tokens that an answer may have."""
    own = _config(name).get("generation_kwargs") or {}
    asked = conditions.generation.get("max_gen_toks") or own.get("max_gen_toks") or BUDGET
    return int(asked) if isinstance(asked, int | float) else BUDGET


def size(name: str, conditions: Conditions, seen: Mapping[str, Any] | None = None) -> Size | None:
    """Of a task that is not a group; None where nobody knows. `seen`: what an earlier run kept of it."""
    if seen is not None:
        low, high = seen["answer"]
        most = budget(name, conditions)
        return Size(float(seen["prompt"]), (min(low, most), min(high, most)), seen=True)
    config = _config(name)
    documents = _documents(name, config)
    if not documents:
        return None
    few = conditions.few_shot if conditions.few_shot is not None else int(config.get("num_fewshot") or 0)
    examples = 0 if config.get("num_fewshot") == 0 else few
    prompt = fmean(one.characters * one.requests for one in documents) * (1 + examples)
    if config.get("output_type") != "generate_until":
        return Size(prompt, (0.0, 0.0))
    most = budget(name, conditions)
    return Size(prompt, (SHORT * most, float(most)))


@dataclass(frozen=True, slots=True)
class _Document:
    """Characters of what is asked of it, and in how many requests: one for each choice."""

    characters: int
    requests: int = 1


@lru_cache(maxsize=64)
def _config(name: str) -> Mapping[str, Any]:
    """The task's YAML, where it is known without lm-eval's index; {} elsewhere."""
    path = tasks.yaml_path(name)
    return tasks.config(path) if path is not None else {}


def _documents(name: str, config: Mapping[str, Any]) -> tuple[_Document, ...]:
    """The first of its data, where that lies on this disk."""
    if name in tasks.bundled():
        return _read_task(tasks.BUNDLED / "data" / f"{name.removeprefix('bundled_')}.jsonl", 0.0)
    root = settings().datasets
    if root is None or not config:
        return ()
    split = prepare.question_split(config)
    return (
        _read_task(path, path.stat().st_mtime) if split and (path := root / name / f"{split}.jsonl").is_file() else ()
    )


@lru_cache(maxsize=32)
def _read_task(path: Path, _changed: float) -> tuple[_Document, ...]:
    if not path.is_file():
        return ()
    with path.open(encoding="utf-8") as file:
        return tuple(found for line in islice(file, READ) for found in _items(json.loads(line)))


def _items(row: Any) -> Iterator[_Document]:
    """One of a document; of a passage with questions one for each, with those before it."""
    if not isinstance(row, dict):
        return
    if turns := row.get("turns"):
        so_far = len(str(row.get("story", "")))
        for turn in turns:
            so_far += len(turn["question"]) + len(turn["answers"][0]) + len("\nQ: \n\nA: ")
            yield _Document(so_far)
        return
    choices = [str(one) for one in row.get("choices") or ()]
    rest = sum(len(text) for text in _strings([value for key, value in row.items() if key not in NO_TEXT]))
    longest = max(map(len, choices), default=0)
    yield _Document(rest + longest, max(1, len(choices)))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from _strings(one)
    elif isinstance(value, list):
        for one in value:
            yield from _strings(one)
