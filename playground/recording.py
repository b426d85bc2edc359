"""What was measured as a run: built from what is there, committed before anybody says that it is saved."""

from __future__ import annotations

import logging
import platform
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from playground import __version__, catalog, machine, traces
from playground.bench_rows import BenchRow, Plan
from playground.catalog import names, stored
from playground.catalog.checkpoint import Checkpoint
from playground.compare import PaneResult
from playground.core import Loaded, Message, Prompt, Sampling, Variant
from playground.engines import address
from playground.errors import EngineUnavailable, PlaygroundError, StoreUnavailable
from playground.evals import subjects
from playground.forced import ForcedResult
from playground.methods.recipe import without_paths
from playground.store import runs
from playground.store.schema import Run, StoredVariant
from playground.verdict import Outcome, outcome

log = logging.getLogger(__name__)
PACKAGES = (*machine.PACKAGES, "xllamacpp")
TITLE_CHARS = 80  # of the prompt
STOPPED = "It was stopped."
OTHER_SETTINGS = "made with other settings than the reference"


@dataclass(frozen=True, slots=True)
class Pane:
    """One pane when its comparison is over.

    address  what was asked of the engines; label is what the pane is called
    source   the chat, or the text to continue, that its prompt was made of
    forced   the reference's answer in this variant; None where nobody tried
    """

    address: str
    label: str
    result: PaneResult
    sampling: Sampling
    source: tuple[Message, ...] | str
    forced: ForcedResult | None = None


@dataclass(frozen=True, slots=True)
class Kept:
    """Whether something is stored: the run's id, or why it is not; neither where there was nothing to store."""

    id: str = ""
    error: PlaygroundError | None = None


def keep(build: Callable[[], Run | None]) -> Kept:
    """Build a run and store it; committed when this returns its id. Nothing is raised: what was measured stays in front
    of whoever looks at it, whatever the disk or the database does.
    """
    try:
        run = build()
        if run is None:
            return Kept()
        runs.add(run)
    except (PlaygroundError, SQLAlchemyError, OSError) as error:
        log.warning("A result is not saved: %s", error)
        told = error if isinstance(error, PlaygroundError) else StoreUnavailable(_words(error), hint="See the log.")
        return Kept(error=StoreUnavailable(f"This result is not saved. {told.message}", hint=told.hint))
    return Kept(run.id)


def _words(error: Exception) -> str:
    return f"{error.strerror or error}." if isinstance(error, OSError) else "The database refused it."


def comparison(panes: Sequence[Pane], at_once: bool, divergence: bool) -> Run | None:
    """The panes of one comparison, the reference first. None where there is nothing to keep: it was stopped before any
    pane had a token, and nothing failed.
    """
    if not any(pane.result.tokens or pane.result.error for pane in panes):
        return None
    first = panes[0]
    prompt = _prompt(first)
    entries = []
    for pane in panes:
        own = _prompt(pane)
        entries.append(
            traces.pane(pane.result, pane.label)
            | {"prompt": own if own != prompt and own["ids"] else None}
            | {"sampling": asdict(pane.sampling) if pane.sampling != first.sampling else None}
        )
    model = first.result.variant.model if first.result.variant else _model(first.address)
    return _run(
        "comparison",
        title=_title(model, [pane.label for pane in panes], _asked(first.source)),
        model=model,
        device=_device(pane.result.loaded.device for pane in panes if pane.result.loaded),
        settings={"sampling": asdict(first.sampling), "at_once": at_once, "divergence": divergence},
        variants=[described(pane.address, pane.label, pane.result.variant, pane.result.loaded) for pane in panes],
        result={
            "prompt": prompt,
            "panes": entries,
            "verdict": verdict(panes),
            "forced": [_forced(pane.forced) for pane in panes] if any(pane.forced for pane in panes) else None,
        },
    )


def verdict(panes: Sequence[Pane]) -> list[dict[str, Any]]:
    """What the page says of each variant that answered, against the reference: sentences and their numbers."""
    reference = panes[0]
    if not reference.result.tokens:
        return []
    rows = []
    for number, pane in enumerate(panes[1:], 1):
        if pane.result.tokens:
            found = outcome(reference.result, pane.result)
            other = pane.sampling != reference.sampling
            rows.append({"pane": number, **_outcome(found, OTHER_SETTINGS if other else "")})
    return rows


def _outcome(found: Outcome, caveat: str) -> dict[str, Any]:
    caveats = [*found.caveats, *([caveat] if caveat else [])]
    words = (found.headline, found.detail, found.explanation, f"({', '.join(caveats)})")
    split = found.divergence
    return {
        "variant": found.variant_id,
        "label": found.label,
        "text": " ".join(word for word in words if word),
        "headline": found.headline,
        "detail": found.detail,
        "explanation": found.explanation,
        "caveats": caveats,
        "size_ratio": found.size_ratio,
        "memory_ratio": found.memory_ratio,
        "decode_ratio": found.decode_ratio,
        "decode_interval": list(found.decode_interval) if found.decode_interval else None,
        "identical": found.identical,
        "parts_at": {"index": split.index, "sentence": split.sentence(found.label)} if split else None,
    }


def bench(rows: Sequence[BenchRow], addresses: Sequence[str], plan: Plan, stopped: bool = False) -> Run | None:
    """A measurement of speed. None where it was stopped before its first row."""
    if not rows:
        return None
    found = [_found(name) for name in addresses]
    first = found[0]
    model = first.model if first else _model(addresses[0])
    tests = ", ".join(dict.fromkeys(row.test for row in rows if row.test != "load"))
    variants = []
    for name, variant in zip(addresses, found, strict=True):
        row = next((row for row in rows if row.address == name and not row.error), None)
        facts = described(name, variant.label if variant else name, variant, None, row.engine if row else "")
        variants.append(
            facts | {"kernel": row.kernel if row else "", "loaded_bytes": row.weight_bytes if row else None}
        )
    return _run(
        "bench",
        title=_title(model, [str(one["label"]) for one in variants], tests),
        model=model,
        device=_device(row.device for row in rows if row.device),
        settings={"addresses": list(addresses), **asdict(plan)},
        variants=variants,
        result={"rows": [row.as_dict() for row in rows], "stopped": stopped},
    )


def quantization(title: str, made: StoredVariant, original: Checkpoint, device: str) -> Run:
    """How a variant was made, for `variants.add`, which stores both or neither. Where its files lie is not in it."""
    card = {**made.card, "path": None, "recipe_path": None}
    form = original.form
    before = _weights(made.parent["id"], form.label, form.method, form.scheme, original.bytes, original.parameters)
    label = stored.label(made.method, made.scheme)
    after = _weights(made.id, label, made.method, made.scheme, made.bytes, made.parameters)
    return _run(
        "quantization",
        title=title,
        model=made.model,
        device=_device([device]),
        settings={"recipe": without_paths(made.recipe)},
        variants=[
            before | {"content_hash": made.parent["content_hash"], "dtype": form.dtype},
            after | {"content_hash": made.content_hash, "dtype": form.dtype},
        ],
        result={"row": card, "card": card, "layers": card["layers"]},
        job_id=made.job_id,
    )


def _weights(name: str, label: str, method: str, scheme: str, size: int, parameters: int) -> dict[str, Any]:
    bits = round(8 * size / parameters, 4)
    return {"id": name, "label": label, "method": method, "scheme": scheme, "bytes": size, "bits_per_weight": bits}


def described(
    name: str, label: str, variant: Variant | None, loaded: Loaded | None, ran_on: str = ""
) -> dict[str, Any]:
    """An entry of a run's `variants`. `content_hash` is None of weights that nobody loaded: they need not be here."""
    where = (loaded.engine if loaded else ran_on) or address.parse(name).engine or "transformers"
    if variant is None:
        unknown = dict.fromkeys(("method", "scheme", "bytes", "bits_per_weight", "content_hash", "dtype"))
        return {"id": name, "label": label, **unknown, "engine": where}
    digest = _hash(variant) if loaded or ran_on else None
    facts = subjects.Subject(name, where, variant, None, digest or "").facts(loaded, "")
    return facts | {"label": label, "content_hash": digest, "bytes_are_estimated": variant.bytes_are_estimated}


def versions() -> dict[str, str]:
    """Of everything that could have measured, as far as it is installed."""
    found = {name: version for name, version in machine.versions(PACKAGES).items() if version}
    return {"playground": __version__, "python": platform.python_version(), **found}


def _run(kind: str, *, title: str, model: str, **values: Any) -> Run:
    return Run(
        id=runs.new_id(),
        kind=kind,
        title=title,
        model=names.key(model),
        created_at=time.time(),
        versions=versions(),
        **values,
    )


def _title(model: str, labels: Iterable[str], about: str) -> str:
    """ "smollm2 · BF16, nf4 · What is gravity?" """
    short = Path(model).name if model.startswith(("/", "~", ".")) else model
    text = " ".join(about.split())
    text = text if len(text) <= TITLE_CHARS else f"{text[: TITLE_CHARS - 1]}…"
    return " · ".join(part for part in (short, ", ".join(labels), text) if part)


def _asked(source: tuple[Message, ...] | str) -> str:
    return source if isinstance(source, str) else source[-1]["content"] if source else ""


def _prompt(pane: Pane) -> dict[str, Any]:
    """As it was rendered; of a pane that got no further, as it was asked."""
    raw = isinstance(pane.source, str)
    found = pane.result.prompt or Prompt((), _asked(pane.source) if raw else "", "raw" if raw else "chat", "")
    chat = None if raw else [dict(turn) for turn in pane.source if isinstance(turn, Mapping)]
    return {"messages": chat, "text": found.text, "ids": list(found.ids), "template": found.template}


def _forced(found: ForcedResult | None) -> dict[str, Any] | None:
    if found is None:
        return None
    row = traces.forced(found)
    return row if found.complete or found.reason else {**row, "reason": STOPPED}


def _variant_name(name: str) -> str:
    return address.parse(name).variant


def _model(name: str) -> str:
    """Of a variant that nobody knows: what was asked for."""
    try:
        return catalog.split(_variant_name(name))[0]
    except PlaygroundError:
        return name


def _found(name: str) -> Variant | None:
    try:
        return catalog.variant(_variant_name(name))
    except PlaygroundError:
        return None  # its row has the error


def _hash(variant: Variant) -> str | None:
    try:
        return subjects.known_hash(variant)
    except (PlaygroundError, OSError) as error:
        log.info("%s has no content hash: %s", variant.id, error)
        return None


def _device(computed_on: Iterable[str]) -> dict[str, Any]:
    """Where it was measured, from what the engines say of themselves; without torch, as far as that is known."""
    places = list(dict.fromkeys(computed_on))
    here = [place for place in places if place != "remote"]
    if places and not here:
        return {"device": "remote", "name": "a remote endpoint", "cores": None, "memory": None, "bandwidth": None}
    try:
        return machine.described(here[0] if here else "cpu")
    except EngineUnavailable as error:
        log.warning("the device is not described: %s", error)
        return {"device": here[0], "name": here[0], "cores": machine.cores(), "memory": None, "bandwidth": None}
