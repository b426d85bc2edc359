"""What the Speed page says and shows: its values as inert JSON, and the one sentence that answers the question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from playground import models as catalog
from playground.core import Variant
from playground.engines import base
from playground.engines.base import Address, parse
from playground.errors import InvalidRequest, PlaygroundError
from playground.speed import spec
from playground.speed.spec import BenchRow, Plan
from playground.web.values import inert, size

DEFAULT = Plan(prompt_tokens=256, output_tokens=64, runs=3)  # some minutes for two variants on a small CPU
MAX_ADDRESSES = 32
MAX_ADDRESS = 1200


@dataclass(frozen=True, slots=True)
class Labels:
    """How the page calls what it measures; what it does not know keeps its own name."""

    variants: Mapping[str, Variant] = field(default_factory=dict)

    def variant(self, address: str) -> str:
        name = parse(address).variant
        return self.variants[name].label if name in self.variants else name

    def is_reference(self, address: str) -> bool:
        name = parse(address).variant
        return name in self.variants and self.variants[name].is_reference


def engine_title(name: str) -> str:
    """ "transformers", "llama.cpp": short enough for a label."""
    return base.title(name).removesuffix(" host")


def form(model: str, found: Sequence[Variant], origin: str, error: PlaygroundError | None = None) -> str:
    """The value of the form: what there is to choose, and why not the rest."""
    rows = []
    for variant in found:
        options = [asdict(option) for option in base.options(variant)]
        rows.append(
            {
                "id": variant.id,
                "label": variant.label,
                "size": size(variant),
                "reference": variant.is_reference,
                "source": variant.source,
                "options": [
                    {**option, "address": str(Address(variant.id, str(option["engine"])))} for option in options
                ],
            }
        )
    models = catalog.models()
    return inert(
        {
            "model": model,
            "models": models if model in models else [model, *models],
            "origin": origin,
            "variants": rows,
            "plan": asdict(DEFAULT),
            "error": [error.message, error.hint] if error else None,
        }
    )


def asked(data: Mapping[str, Any]) -> tuple[list[str], Plan]:
    """What the form sent: addresses and the plan. Raises InvalidRequest; nothing of it is trusted."""
    raw = data.get("addresses")
    names = [name for name in raw if isinstance(name, str)] if isinstance(raw, list) else []
    addresses = list(dict.fromkeys(name.strip()[:MAX_ADDRESS] for name in names if name.strip()))
    if not addresses:
        raise InvalidRequest("Nothing is chosen.", hint="Tick a variant under an engine.")
    if len(addresses) > MAX_ADDRESSES:
        raise InvalidRequest(f"{len(addresses)} are chosen; {MAX_ADDRESSES} at once is the limit.")
    plan = Plan(
        prompt_tokens=_count(data, "prompt_tokens", "Prompt tokens"),
        output_tokens=_count(data, "output_tokens", "Output tokens"),
        depths=_counts(data, "depths", "Depths") or (0,),
        runs=_count(data, "runs", "Repetitions"),
        concurrency=_counts(data, "concurrency", "Requests at once"),
    )
    return addresses, plan


def _count(data: Mapping[str, Any], key: str, name: str) -> int:
    found = _counts(data, key, name)
    if len(found) != 1:
        raise InvalidRequest(f"{name} has to be one whole number.", hint=f"For instance {getattr(DEFAULT, key)}.")
    return found[0]


def _counts(data: Mapping[str, Any], key: str, name: str) -> tuple[int, ...]:
    text = str(data.get(key) or ("0" if data.get(key) == 0 else ""))[:200]
    try:
        return tuple(int(part) for part in text.replace(",", " ").split())
    except ValueError:
        raise InvalidRequest(
            f"{name} is “{text}”.", hint="It takes whole numbers, several with commas between."
        ) from None


def row(found: BenchRow, labels: Labels) -> dict[str, Any]:
    """A row as the page needs it: the documented fields and what to call them."""
    engine = found.engine or parse(found.address).engine
    return {
        **found.as_dict(),
        "label": labels.variant(found.address),
        "engine": engine,
        "title": engine_title(engine),
        "reference": labels.is_reference(found.address),
    }


def files(rows: Sequence[BenchRow]) -> dict[str, str]:
    """What can be downloaded: the same as the command line's --csv and --json."""
    listed = [found.as_dict() for found in rows]
    return {"csv": spec.as_csv(rows), "json": inert(listed)}


def headline(rows: Sequence[BenchRow], labels: Labels) -> tuple[str, str]:
    """The answer in one sentence, and its caveats; empty before two decode speeds, or one, are there."""
    decode = [found for found in rows if found.test.startswith("tg") and found.tok_s_mean and not found.depth]
    if not decode:
        decode = [found for found in rows if found.test.startswith("tg") and found.tok_s_mean]
    if not decode:
        return "", ""
    best = max(decode, key=lambda found: found.tok_s_mean or 0)
    speed = best.tok_s_mean or 0
    words = f"{_name(best, labels)} decodes {speed:.3g} tok/s"
    if len(decode) > 1:
        words = f"{_name(best, labels)} is the fastest here: {speed:.3g} tok/s"
    references = [found for found in decode if labels.is_reference(found.address) and found is not best]
    same = [found for found in references if found.engine == best.engine]
    other = next(iter(same or references), None)
    caveats = []
    if other is not None and other.tok_s_mean:
        words += f", {speed / other.tok_s_mean:.2f}× {_name(other, labels)}"
        if other.engine != best.engine:
            caveats.append("different engines")
    if best.mbu is not None:
        caveats.append(f"{best.mbu:.0%} of what this memory allows for its size")
    if any(found.clock == "client" for found in decode):
        caveats.append("a speed marked “client” is timed at arrival")
    if any(found.contended for found in decode):
        caveats.append("others used the device meanwhile")
    return f"{words}.", " · ".join(caveats)


def _name(found: BenchRow, labels: Labels) -> str:
    return f"{labels.variant(found.address)} in {engine_title(found.engine).removesuffix(' host')}"
