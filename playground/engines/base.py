"""The protocol of an engine, the table of engines, addresses, and the choice of an engine for a variant.

Which engines can run a variant here, and why the others cannot, is read from tables and folders; nothing is started.
What an engine makes of a format that it has kernels for is its own business: vLLM's answer differs between devices and
versions, so it is asked by starting it, and its sentence reaches the page.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from playground import machine, models
from playground.core import Finish, ForcedTokens, Forcing, Generation, Loaded, Message, Progress, Prompt, Token, Variant
from playground.errors import CatalogError, EngineUnavailable
from playground.models.address import ENGINES, Address
from playground.settings import settings

OnProgress = Callable[[Progress], None]
IsCancelled = Callable[[], bool]
ROOT = Path(__file__).parents[2]
CHECKOUT = (ROOT / "pyproject.toml").is_file()
SETUP = "make setup" if CHECKOUT else "playground setup"
NO_SECOND_PROCESS = "a ZeroGPU Space has one process, and this engine is a second one"


class Engine(Protocol):
    """Runs variants. Any thread may call any method, and each may raise an `errors.PlaygroundError`.

    Whoever makes one closes it.
    """

    name: str

    def start(self) -> None:
        """Start what a first load would wait for, where there is such a thing. Raises EngineUnavailable, EngineDied."""
        ...

    def close(self) -> None:
        """End it and all that it has started, in some seconds. Safe to call twice.

        What runs then ends with an error or an abort; what is asked later raises EngineUnavailable.
        """
        ...

    def health(self) -> Mapping[str, Any] | None:
        """What is known at once, `loaded` (the names of variants) among it; None where nothing runs. Starts nothing."""
        ...

    def load(
        self,
        variant: str,
        on_progress: OnProgress,
        is_cancelled: IsCancelled,
        keep: Sequence[str] = (),
    ) -> Loaded:
        """Make `variant` ready, warm-up included; returns at once when it is. `keep` must not be unloaded for it.

        Both callbacks are called in this thread. Raises CatalogError, UnsupportedModel, BrokenCheckpoint, OutOfMemory,
        EngineUnavailable, EngineDied, Cancelled.
        """
        ...

    def held(self, variant: str) -> Loaded | None:
        """What a `load` would return at once, or None when it has work to do. Starts nothing and waits for nobody."""
        ...

    def unload_idle(self) -> str | None:
        """Free the memory of one variant that nobody uses; its name, None when there is none."""
        ...

    def prompt(self, variant: str, messages: Sequence[Message] | str) -> Prompt:
        """Render and tokenize with the tokenizer of `variant`: a chat, or raw text. Raises InvalidRequest."""
        ...

    def generate(self, generation: Generation) -> Iterator[Progress | Token | Finish]:
        """Stream one generation; the last item is a `Finish`. Closing the iterator ends it in the engine.

        Nothing is sent before the first item is taken. Raises UnknownVariant, InvalidRequest, ContextOverflow,
        OutOfMemory, EngineDied, EngineError, in the middle too: the tokens so far are good.
        """
        ...

    def force(self, forcing: Forcing) -> Iterator[Progress | ForcedTokens | Finish]:
        """Force a text through variants that are loaded; as `generate`, but nothing is timed and everyone goes first.

        Raises EngineUnavailable where `no_distribution` says why, and DifferentTokenizer.
        """
        ...

    def abort(self, request_id: str) -> None:
        """End a generation or a forced text within one step; its stream then closes with `Finish("abort")`.

        Nothing happens where there is none of this name.
        """
        ...


# The table of engines. Doctor, the documentation and tests read it.


@dataclass(frozen=True, slots=True)
class EngineRow:
    """One engine: what runs it, where, and what it is for.

    requires   distributions as pip names them, in this environment
    stepped    one thread steps its generations in turn, so that none disturbs another's clock
    on_device  computes on this machine's device, and so takes turns with the others there
    no_distribution  why the full distribution of a position cannot be had from it; empty where it can
    """

    name: str
    title: str
    devices: tuple[str, ...]
    requires: tuple[str, ...]
    good_at: str
    bad_at: str
    stepped: bool = False
    on_device: bool = True
    no_distribution: str = ""


TABLE: tuple[EngineRow, ...] = (
    EngineRow(
        name="transformers",
        title="transformers host",
        devices=("cuda", "mps", "cpu"),
        requires=("torch", "transformers", "tokenizers", "safetensors", "accelerate"),
        good_at="Every token with its own time, probability and alternatives; several variants in one process.",
        bad_at="One sequence at a time, and few fused kernels for quantized weights.",
        stepped=True,
    ),
    EngineRow(
        name="vllm",
        title="vLLM",
        devices=("cuda", "cpu"),
        requires=(),
        good_at="What servers run: many requests at once, kernels for most quantized formats.",
        bad_at="Starts slowly, one process per variant, and tells no times per token.",
        no_distribution="vLLM tells the most probable tokens only, and a divergence needs the whole distribution.",
    ),
    EngineRow(
        name="llamacpp",
        title="llama.cpp",
        devices=("cuda", "mps", "cpu"),
        requires=("xllamacpp",),
        good_at="Decodes GGUF blocks directly: the fastest engine on a laptop's processor.",
        bad_at="GGUF files only.",
        no_distribution="llama.cpp tells the most probable tokens only, and a divergence needs the whole distribution.",
    ),
    EngineRow(
        name="remote",
        title="remote endpoint",
        devices=("cuda", "mps", "cpu"),
        requires=("httpcore",),
        good_at="Models that outgrow this machine, and services as their users see them.",
        bad_at="Timed at arrival here: the network is in every number.",
        on_device=False,
        no_distribution="A remote endpoint tells a few probable tokens at most, and a divergence needs all of them.",
    ),
)
NAMES = ENGINES


def row(name: str) -> EngineRow:
    """The row of the engine called `name`; KeyError when there is none."""
    return {row.name: row for row in TABLE}[name]


def title(name: str) -> str:
    """What a person calls the engine; a name that is not in the table is its own title."""
    return next((row.title for row in TABLE if row.name == name), name)


def no_distribution(name: str) -> str:
    """Why no divergence can be measured on the engine `name`; empty where it can."""
    return next((row.no_distribution for row in TABLE if row.name == name), "")


def importable(root: Path = ROOT, checkout: bool = CHECKOUT) -> Path:
    """A folder from which an engine's Python, whichever it is, imports this program and nothing else.

    Once installed it lies beside all that we require, which must not hide what vLLM's environment pins.
    """
    if checkout:
        return root
    folder = settings().cache / "code" / hashlib.sha256(bytes(root)).hexdigest()[:12]
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        (folder / "playground").symlink_to(root / "playground")
    return folder


def vllm_python() -> Path:
    """The interpreter that has vLLM: PLAYGROUND_VLLM_PYTHON, else the one that `make vllm` makes."""
    return settings().vllm_python or ROOT / ".venv-vllm" / "bin" / "python"


def missing_vllm() -> str:
    """Why vLLM cannot be started, or "". Looks at folders, starts nothing."""
    python = vllm_python()
    if not python.exists():
        return "vLLM's own environment is not there"
    # bin/python is a link to the system's; the environment's packages lie beside it.
    if not any((python.parent.parent / "lib").glob("python3*/site-packages/vllm/__init__.py")):
        return f"the environment of {python} has no vLLM"
    return ""


def zero_gpu() -> bool:
    """Whether this is a ZeroGPU Space: one process, and a GPU only inside functions that `spaces.GPU` wraps."""
    return os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")


# The choice of an engine.


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
    named = [row(name) for name in variant.engines]
    rest = [row for row in TABLE if row.name not in variant.engines]
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
    requested = list(chosen) or [""] * len(variants)
    engines: list[str] = []
    for variant, engine in zip(variants, requested, strict=True):
        engines.append(engine or (default(variant, engines[0] if engines else "") if variant else ""))
    return engines


def together(names: Sequence[str]) -> list[str]:
    """The addresses of one run: where one names no engine, the engine is that of the first wherever it can run it."""
    addresses = [Address.parse(name) for name in names]
    variants = [_look_up(address.variant) for address in addresses]
    engines = common(variants, [address.engine for address in addresses])
    return [
        str(address) if variant is None or engine == default(variant) else str(replace(address, engine=engine))
        for address, variant, engine in zip(addresses, variants, engines, strict=True)
    ]


def _look_up(name: str) -> Variant | None:
    """The variant, or None: whoever runs it finds the same error and says it where it belongs."""
    try:
        return models.variant(name)
    except CatalogError:
        return None


def _option(row: EngineRow, variant: Variant) -> Option:
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
