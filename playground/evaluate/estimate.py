"""Estimate the time and the memory of an evaluation before it runs.

Time: the tokens of its items, at the measured pace of each variant on this machine, corrected by the times of earlier
evaluations here. Memory: the peak of the weights, and what a forward pass needs.

The length of an item comes from an earlier run of its task, or from data on this disk. A task whose data is on the hub
and that never ran here has no estimate.
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

MAX_RUNS = 12  # earlier runs that correct an estimate
STARTUP_FACTOR = 1.5  # import time of a worker over that of torch and transformers: lm-eval, data sets, the store
COMPARISON_FACTOR = 1.25  # time of a divergence over that of its forward passes: `make bench-divergence`
UNCERTAINTY: Range = (
    0.75,
    1.5,
)  # factors on the time; less than of quantizing, because the computation itself is timed
Task = tuple[str, int | None]  # name, number of items; None where that is not known
WORKER_BYTES = 900 * 2**20  # bytes of a worker with torch, transformers and lm-eval before it loads a model
FORWARD_BYTES = 512 * 2**20  # bytes: logits of a window or of a batch, twice, and activations
FP32_OVER_BF16 = 2
DEFAULT_ANSWER_TOKENS = 256  # where a task sets none: lm-eval's default
SHORT_ANSWER_SHARE = 0.4  # of the budget: lower bound of the longest answer of a batch, where no answer was seen yet
MAX_DOCUMENTS = 400  # that the mean length of an item is taken over
HIDDEN_FIELDS = ("id", "choices", "template", "topic")  # fields of the bundled tasks that are in no prompt
CHARACTERS_PER_TOKEN: Range = (3.3, 4.8)  # figures and code; plain English


@dataclass(frozen=True, slots=True)
class Expected:
    """The estimated time of a job.

    seconds   (low, high); None where it is unknown
    middle    seconds, before the correction by earlier runs: what later estimates compare with the measured time
    rests_on  sentences on its sources
    missing   sentences on what is not included
    measures  whether measuring the variants for some seconds would give an estimate
    """

    seconds: Range | None
    middle: float = 0.0
    rests_on: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    measures: bool = False

    def as_dict(self) -> dict[str, Any]:
        return {
            "seconds": None if self.seconds is None else [round(seconds, 1) for seconds in self.seconds],
            "middle": round(self.middle, 3),
            "rests_on": list(self.rests_on),
            "missing": list(self.missing),
        }


def expected(
    spec: EvaluateSpec | DivergenceSpec, tasks: Sequence[Task], *, measure: bool, busy: float = 0.0
) -> Expected:
    """Return the estimated time of a job.

    tasks    its tasks, groups resolved
    measure  whether variants that have no cached pace are measured now
    busy     runnable threads per core, `machine.busy`

    Raises CatalogError, EngineUnavailable.
    """
    if not measure and _needs_restoring(spec):
        return Expected(None, measures=True)
    specs, missing = _local_specs(spec)
    if not specs:
        return Expected(None, missing=tuple(missing))
    diverges = isinstance(spec, DivergenceSpec) or spec.divergence is not None
    loaded_specs = [*specs.values(), *([noise_floor(next(iter(specs.values())))] if diverges else [])]
    measured = (
        passes.cached_or_measured(loaded_specs) if measure else [passes.cached(load_spec) for load_spec in loaded_specs]
    )
    paces = {load_spec.id: pace for load_spec, pace in zip(loaded_specs, measured, strict=True) if pace is not None}
    unmeasured = [load_spec.id for load_spec in loaded_specs if load_spec.id not in paces]
    if unmeasured:
        if not measure:
            return Expected(None, missing=tuple(missing), measures=True)
        missing.append(f"{', '.join(unmeasured)} could not be measured on this machine.")
    history, written = _history(), list[bool]()
    parts = Parts()
    parts.add("starting", STARTUP_FACTOR * max((pace.imports_s for pace in paces.values()), default=0.0))
    if isinstance(spec, EvaluateSpec):
        sizes, unknown = _sizes(spec.conditions, tasks, history)
        missing += unknown
        for pace in (paces[load_spec.id] for load_spec in specs.values() if load_spec.id in paces):
            _add_answering(parts, pace, spec.conditions.batch_size, tasks, sizes)
            if spec.speed:
                _add_timing(parts, pace)
        written = [size.seen for size in sizes.values() if size.answer[1]]
    if text := spec if isinstance(spec, DivergenceSpec) else spec.divergence:
        _add_comparing(
            parts,
            [paces[load_spec.id] for load_spec in (*specs.values(), loaded_specs[-1]) if load_spec.id in paces],
            text.tokens,
        )
    if not paces:
        return Expected(None, missing=tuple(missing))
    low, high = parts.total
    past = [load_spec for run in history if (load_spec := _earlier_time(run)) is not None]
    seconds = spread(parts, "evaluation", past, busy, UNCERTAINTY)
    return Expected(seconds, (low + high) / 2, tuple(_sources(past, written)), tuple(missing))


def tasks_of(spec: EvaluateSpec | DivergenceSpec) -> list[Task]:
    """Return the tasks of a spec, with the number of items each; [] for a divergence alone."""
    return [] if isinstance(spec, DivergenceSpec) else tasks.item_counts(spec.conditions.tasks, spec.conditions.limit)


def estimate_to_store(spec: EvaluateSpec | DivergenceSpec, tasks: Sequence[Task], *, resumed: bool) -> dict[str, Any]:
    """Return the estimate that a run stores beside its measured time, for an idle machine.

    resumed  whether an interrupted job had left a part: the time of the rest then does not correct later estimates
    """
    try:
        estimate = expected(spec, tasks, measure=False)
    except (PlaygroundError, OSError) as error:  # a failed estimate must not lose an hour of measurement
        estimate = Expected(None, missing=(f"Nothing could be said of it: {error}",))
    return {**estimate.as_dict(), "resumed": resumed}


def _needs_restoring(spec: EvaluateSpec | DivergenceSpec) -> bool:
    """Return whether the spec uses the bundled model and it is not restored yet, which takes seconds and disk."""
    kinds = {names.parse(models.split(Address.parse(name).variant)[0]).kind for name in spec.variants}
    return "bundled" in kinds and bundled.gguf() is not None and bundled.record(bundled.folder()) is None


def _local_specs(spec: EvaluateSpec | DivergenceSpec) -> tuple[dict[str, LoadSpec], list[str]]:
    """Return the variants that the worker loads itself, by name, and a sentence for each other one."""
    engine = spec.engine if isinstance(spec, EvaluateSpec) else ""
    specs: dict[str, LoadSpec] = {}
    missing = []
    for name in spec.variants:
        address = Address.parse(name)
        model, _ = models.split(address.variant)
        parsed = names.parse(model)
        if parsed.kind == "remote" or (address.engine or engine) == "vllm":
            missing.append(f"How fast {name} answers is not known before: another engine computes it.")
        elif not _is_local(parsed):
            missing.append(f"{name} is downloaded first, and how fast it is here is known then.")
        else:
            load_spec = models.resolve(address.variant)
            # A GGUF file is unpacked into the model that it was made from.
            specs[name] = (
                models.resolve(model) if Path(load_spec.path).suffix == ".gguf" != Path(model).suffix else load_spec
            )
    return specs, missing


def _is_local(model: names.Model) -> bool:
    """Return whether loading the model needs no download."""
    if model.kind == "bundled":
        return bundled.gguf() is not None or hub.is_downloaded(names.parse(names.BUNDLED_REPO))
    return model.kind != "hub" or hub.is_downloaded(model)


def _sizes(conditions: Conditions, tasks: Sequence[Task], history: Sequence[Run]) -> tuple[dict[str, Size], list[str]]:
    sizes = {}
    for name, count in tasks:
        item_size = size(name, conditions, _stored_size(name, conditions, history)) if count else None
        if item_size is not None:
            sizes[name] = item_size
    unknown = [name for name, _ in tasks if name not in sizes]
    sentences = (
        [f"{', '.join(unknown)}: what it asks is known once it ran here; its time is not in this."] if unknown else []
    )
    return sizes, sentences


def _stored_size(name: str, conditions: Conditions, history: Sequence[Run]) -> Mapping[str, Any] | None:
    """Return the size of an item from the newest run of a task with the same prompt settings; None without one."""
    form = ("few_shot", "chat_template", "multiturn")
    current = conditions.model_dump(mode="json")
    for run in history:
        if all(run.settings.get(key) == current[key] for key in form) and (
            size := run.result.get("sizes", {}).get(name)
        ):
            stored_size: Mapping[str, Any] = size
            return stored_size
    return None


def _add_answering(parts: Parts, pace: Pass, batch: int, tasks: Sequence[Task], sizes: Mapping[str, Size]) -> None:
    """Add one variant on all tasks: each prompt is read once, each batch generates until its longest answer ends."""
    low, high = pace.load_s, pace.load_s
    for name, count in tasks:
        if (size := sizes.get(name)) is None or not count:
            continue
        fewest, most = sorted(size.prompt / characters for characters in CHARACTERS_PER_TOKEN)
        seconds_per_token = math.ceil(count / batch) * pace.step(min(batch, count))
        low += count * fewest * pace.token_s + seconds_per_token * size.answer[0]
        high += count * most * pace.token_s + seconds_per_token * size.answer[1]
    _add(parts, "answering", low, high)


def _add_timing(parts: Parts, pace: Pass) -> None:
    """Add the speed tests of one variant: their repetitions, and one more to warm up."""
    times = (PLAN.runs + 1) * (PLAN.prompt_tokens * pace.token_s + PLAN.output_tokens * pace.step_s)
    _add(parts, "timing", times + pace.load_s, times + pace.imports_s + pace.load_s)


def _add_comparing(parts: Parts, paces: Sequence[Pass], tokens: int) -> None:
    """Add the divergence: the reference reads the text again with each other variant and with the noise floor."""
    reference, *others = paces
    seconds = sum(tokens * (reference.token_s + other.token_s) + other.load_s for other in others) + reference.load_s
    _add(parts, "comparing", seconds, COMPARISON_FACTOR * seconds)


def _add(parts: Parts, name: str, low: float, high: float) -> None:
    before = parts.of.get(name, (0.0, 0.0))
    parts.add(name, before[0] + low, before[1] + high)


def _history() -> list[Run]:
    """Return earlier runs on this hardware, the newest first."""
    if not database.exists():
        return []
    recent = [run for kind in ("evaluation", "divergence") for run in runs.latest(kind, limit=MAX_RUNS)]
    hardware = {"cores": machine.cores(), "memory": machine.memory().total}
    run_ids = [run.id for run in recent if all(run.device.get(key) == value for key, value in hardware.items())]
    return [_read(run_id) for run_id in run_ids]


@lru_cache(maxsize=4 * MAX_RUNS)
def _read(run_id: str) -> Run:
    """Return a stored run; it never changes."""
    return runs.get(run_id)


def _earlier_time(run: Run) -> Measured | None:
    """Return the estimated and the measured time of a run; None without a full estimate, or if its job was resumed."""
    estimate = run.result.get("estimate") or {}
    if not estimate.get("middle") or estimate.get("resumed") or estimate.get("missing"):
        return None
    return Measured("evaluation", float(estimate["middle"]), float(run.result["seconds"]["total"]))


def _sources(past: Sequence[Measured], written: Sequence[bool]) -> list[str]:
    """Return sentences on the sources of an estimate.

    past     estimated and measured times of earlier runs
    written  for each task that generates: whether its answers were seen before
    """
    sentences = ["Some layers of each variant, timed on this machine, and how much is read and written."]
    if written:
        knowledge = (
            "is known from an earlier run" if all(written) else "is not known before: from short ones to the budget"
        )
        sentences.append(f"How long answers become {knowledge}.")
    if past:
        times = f"{len(past)} earlier evaluation{'' if len(past) == 1 else 's'}"
        sentences.append(f"Corrected by what {times} took here.")
    return sentences


# Memory.


@dataclass(frozen=True, slots=True)
class MemoryRange:
    """Memory of a job, bytes. low: the weights loaded at once, and Python. high: with a forward pass."""

    low: int
    high: int


def memory(spec: EvaluateSpec | DivergenceSpec) -> MemoryRange:
    """Return the memory of a job; a remote variant takes none. Raises CatalogError for an unknown variant."""
    addresses = [Address.parse(name) for name in spec.variants]
    variants = [(address.engine, models.variant(address.variant)) for address in addresses]
    local = [variant for engine, variant in variants if engine != "vllm" and variant.engines != ("remote",)]
    diverges = isinstance(spec, DivergenceSpec) or spec.divergence is not None
    largest = max(map(_loaded_bytes, local), default=0)
    weights = max(largest, _pair_bytes(local)) if diverges else largest
    return MemoryRange(WORKER_BYTES + weights, WORKER_BYTES + weights + FORWARD_BYTES)


def needs(spec: EvaluateSpec | DivergenceSpec) -> int:
    """Return the bytes of a job, a forward pass included (`Kind.needs` of both kinds of job)."""
    return memory(spec).high


def check(spec: EvaluateSpec | DivergenceSpec, device: str) -> None:
    """Check the free memory of a CPU (`Kind.check` of both kinds of job). Raises OutOfMemory."""
    if device != "cpu":  # the worker checks a GPU's memory
        return
    low, free = memory(spec).low, machine.memory().available
    if low > free:
        raise OutOfMemory(
            too_little_memory(low, free),
            hint="Unload models on the Compare page, measure smaller variants, or leave the divergence out.",
        )


def loaded_together_bytes(names: Sequence[str]) -> int:
    """Return the bytes of variants that are loaded at the same time. Raises CatalogError for an unknown variant."""
    variants = [models.variant(Address.parse(name).variant) for name in names]
    return (
        WORKER_BYTES
        + sum(_loaded_bytes(variant) for variant in variants if variant.engines != ("remote",))
        + FORWARD_BYTES
    )


def _loaded_bytes(variant: Variant) -> int:
    """Return the bytes of the weights in memory: transformers unpacks every scheme but bitsandbytes' on a CPU."""
    if variant.method in ("bitsandbytes", "cast"):
        return variant.bytes or 0
    return max(variant.bytes or 0, 2 * (variant.parameters or 0))


def _pair_bytes(local: Sequence[Variant]) -> int:
    """Return the bytes of the reference and the largest model beside it: another variant or the noise floor's type."""
    if not local:
        return 0
    reference, *others = map(_loaded_bytes, local)
    other_type = reference // FP32_OVER_BF16 if local[0].dtype == "float32" else reference * FP32_OVER_BF16
    return reference + max([other_type, *others])


# The size of an item.


@dataclass(frozen=True, slots=True)
class Size:
    """The size of an average item.

    prompt   characters, examples included; the sum over all requests of a multiple-choice item
    answer   tokens of the longest answer of a batch: (low, high); (0, 0) where none is generated
    seen     whether it comes from an earlier run with the same number of examples
    """

    prompt: float
    answer: Range
    seen: bool = False

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"answer": list(self.answer)}


def of_items(items: Iterable[Item], answer_tokens: int) -> Size:
    """Return the average size of evaluated items, which the run stores. `answer_tokens`: the budget."""
    answered = list(items)
    prompt = fmean(len(item.prompt) * len(item.loglikelihoods or (0,)) for item in answered)
    if answered[0].loglikelihoods is not None:
        return Size(prompt, (0.0, 0.0), seen=True)
    longest = max(len(item.answer) for item in answered) / CHARACTERS_PER_TOKEN[0]
    mean = fmean(len(item.answer) for item in answered) / CHARACTERS_PER_TOKEN[1]
    return Size(prompt, (min(mean, answer_tokens), min(longest, answer_tokens)), seen=True)


def budget(name: str, conditions: Conditions) -> int:
    """Return the maximal number of tokens of an answer."""
    task_arguments = _config(name).get("generation_kwargs") or {}
    tokens = conditions.generation.get("max_gen_toks") or task_arguments.get("max_gen_toks") or DEFAULT_ANSWER_TOKENS
    return int(tokens) if isinstance(tokens, int | float) else DEFAULT_ANSWER_TOKENS


def size(name: str, conditions: Conditions, seen: Mapping[str, Any] | None = None) -> Size | None:
    """Return the average size of a task's items; None if it is unknown. `seen`: the size that an earlier run stored."""
    if seen is not None:
        low, high = seen["answer"]
        max_tokens = budget(name, conditions)
        return Size(float(seen["prompt"]), (min(low, max_tokens), min(high, max_tokens)), seen=True)
    config = _config(name)
    documents = _documents(name, config)
    if not documents:
        return None
    few = conditions.few_shot if conditions.few_shot is not None else int(config.get("num_fewshot") or 0)
    examples = 0 if config.get("num_fewshot") == 0 else few
    prompt = fmean(document.characters * document.requests for document in documents) * (1 + examples)
    if config.get("output_type") != "generate_until":
        return Size(prompt, (0.0, 0.0))
    max_tokens = budget(name, conditions)
    return Size(prompt, (SHORT_ANSWER_SHARE * max_tokens, float(max_tokens)))


@dataclass(frozen=True, slots=True)
class _Document:
    """Characters of one request, and the number of requests: one for each choice."""

    characters: int
    requests: int = 1


@lru_cache(maxsize=64)
def _config(name: str) -> Mapping[str, Any]:
    """Return the task's YAML; {} where only lm-eval's index knows it."""
    path = tasks.yaml_path(name)
    return tasks.config(path) if path is not None else {}


def _documents(name: str, config: Mapping[str, Any]) -> tuple[_Document, ...]:
    """Return the first documents of the task's data; () if it is not on this disk."""
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
        return tuple(document for line in islice(file, MAX_DOCUMENTS) for document in _documents_of(json.loads(line)))


def _documents_of(row: Any) -> Iterator[_Document]:
    """Yield one document of a row; for a passage with questions one for each, which holds the turns before it."""
    if not isinstance(row, dict):
        return
    if turns := row.get("turns"):
        so_far = len(str(row.get("story", "")))
        for turn in turns:
            so_far += len(turn["question"]) + len(turn["answers"][0]) + len("\nQ: \n\nA: ")
            yield _Document(so_far)
        return
    choices = [str(choice) for choice in row.get("choices") or ()]
    rest = sum(len(text) for text in _strings([value for key, value in row.items() if key not in HIDDEN_FIELDS]))
    longest = max(map(len, choices), default=0)
    yield _Document(rest + longest, max(1, len(choices)))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from _strings(part)
    elif isinstance(value, list):
        for part in value:
            yield from _strings(part)
