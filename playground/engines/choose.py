"""Which engines can run a variant here, and for each that cannot, why and what to do. Asks tables and folders only.

What an engine makes of a format it has kernels for is its own business: vLLM's answer differs between devices and
versions, so it is asked by starting it, and its sentence reaches the page.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from playground import machine, models
from playground.core import Variant
from playground.engines import base
from playground.engines.base import missing_vllm, zero_gpu
from playground.errors import CatalogError, EngineUnavailable

NO_SECOND_PROCESS = "a ZeroGPU Space has one process, and this engine is a second one"


@dataclass(frozen=True, slots=True)
class Option:
    """One engine for one variant: whether it can run it here, and if not, why and what to do about it."""

    engine: str
    title: str
    runs: bool
    why: str = ""
    do: str = ""


def options(variant: Variant) -> list[Option]:
    """Every engine of the table, those that the variant names first and in its order."""
    named = [base.row(name) for name in variant.engines]
    rest = [row for row in base.TABLE if row.name not in variant.engines]
    return [_option(row, variant) for row in [*named, *rest]]


def default(variant: Variant, wanted: str = "") -> str:
    """`wanted` when it can run the variant here, else the first that can, else the first that the variant names."""
    able = [option.engine for option in options(variant) if option.runs]
    if wanted in able:
        return wanted
    return able[0] if able else variant.engines[0]


def check(variant: Variant, engine: str) -> None:
    """Raise EngineUnavailable, with the reason and what to do, when `engine` cannot run the variant here."""
    for option in options(variant):
        if option.engine == engine and not option.runs:
            raise EngineUnavailable(
                f"{variant.label} cannot run in {option.title}: {option.why}.",
                hint=f"Run `{option.do}`." if option.do else "Choose another engine.",
            )


def common(variants: Sequence[Variant | None], chosen: Sequence[str] = ()) -> list[str]:
    """An engine for each variant of one run, so that speeds can be compared: the first one's wherever it can run them.

    `chosen` has what was asked for, "" where nothing was. Of an unknown variant (None) nothing can be said: "".
    """
    asked = list(chosen) or [""] * len(variants)
    found: list[str] = []
    for variant, engine in zip(variants, asked, strict=True):
        found.append(engine or (default(variant, found[0] if found else "") if variant else ""))
    return found


def together(names: Sequence[str]) -> list[str]:
    """The addresses of one run: where one names no engine, the engine is that of the first wherever it can run it."""
    addresses = [base.parse(name) for name in names]
    variants = [_look_up(found.variant) for found in addresses]
    engines = common(variants, [found.engine for found in addresses])
    return [
        str(found) if variant is None or engine == default(variant) else str(replace(found, engine=engine))
        for found, variant, engine in zip(addresses, variants, engines, strict=True)
    ]


def _look_up(name: str) -> Variant | None:
    """The variant, or None: whoever runs it finds the same error and says it where it belongs."""
    try:
        return models.variant(name)
    except CatalogError:
        return None


def _option(row: base.EngineRow, variant: Variant) -> Option:
    if row.name not in variant.engines:
        return Option(row.name, row.title, False, _WHY_NOT[row.name](variant))
    if zero_gpu() and row.on_device and not row.stepped:
        return Option(row.name, row.title, False, NO_SECOND_PROCESS)
    missing = [name for name, version in machine.versions(row.requires).items() if version is None]
    if missing:
        return Option(row.name, row.title, False, f"{', '.join(missing)} not installed", "make setup")
    if row.name == "vllm" and (trouble := missing_vllm()):
        return Option(row.name, row.title, False, trouble, "make vllm")
    probe = machine.known()
    if row.on_device and probe and probe.device not in row.devices:
        return Option(row.name, row.title, False, f"runs on {', '.join(row.devices)}; this device is {probe.device}")
    return Option(row.name, row.title, True)


def _needs_gguf(_: Variant) -> str:
    return "llama.cpp reads GGUF files only"


def _not_in_vllm(variant: Variant) -> str:
    if variant.quantize:
        return "vLLM does not quantize to this format while loading here"
    return "vLLM does not run this format"


def _not_in_transformers(variant: Variant) -> str:
    if variant.method == "remote":
        return "the model is not on this machine"
    if variant.unread:
        return variant.unread
    return "transformers would unpack these blocks: the reference, at its size and speed"


def _not_remote(_: Variant) -> str:
    return "no endpoint serves this variant; `python -m playground endpoints add` adds one"


_WHY_NOT: dict[str, Callable[[Variant], str]] = {
    "transformers": _not_in_transformers,
    "vllm": _not_in_vllm,
    "llamacpp": _needs_gguf,
    "remote": _not_remote,
}
