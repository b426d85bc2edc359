"""The protocol of an engine, the table of engines, addresses, and the choice of an engine for a variant.

Which engines can run a variant here, and why the others cannot, is read from tables and folders; nothing is started.
Whether vLLM supports a format depends on device and version, so that is only known when it is started; its error is
shown on the page.
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
        """Start a process that the first load would wait for, if any. Raises EngineUnavailable, EngineDied."""
        ...

    def close(self) -> None:
        """End the engine and its processes within seconds. May be called twice.

        Running requests end with an error or an abort; later calls raise EngineUnavailable.
        """
        ...

    def health(self) -> Mapping[str, Any] | None:
        """Return the engine's state with `loaded`, the names of variants; None if no process runs. Starts nothing."""
        ...

    def load(
        self,
        variant: str,
        on_progress: OnProgress,
        is_cancelled: IsCancelled,
        keep: Sequence[str] = (),
    ) -> Loaded:
        """Load `variant` and warm it up; return at once if it is loaded. Variants in `keep` are not unloaded for it.

        Both callbacks are called in this thread. Raises CatalogError, UnsupportedModel, BrokenCheckpoint, OutOfMemory,
        EngineUnavailable, EngineDied, Cancelled.
        """
        ...

    def held(self, variant: str) -> Loaded | None:
        """Return the facts of a loaded variant, or None if `load` would have work to do. Does not block."""
        ...

    def unload_idle(self) -> str | None:
        """Unload one idle variant and return its name; None if there is none."""
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
        """Teacher-force a text through loaded variants; like `generate`, but untimed and with the lowest priority.

        Raises EngineUnavailable where `no_distribution` says why, and DifferentTokenizer.
        """
        ...

    def abort(self, request_id: str) -> None:
        """End a generation or a forced text within one step; its stream then closes with `Finish("abort")`.

        Does nothing if there is none with this id.
        """
        ...


# The table of engines. Doctor, the documentation and tests read it.


@dataclass(frozen=True, slots=True)
class EngineRow:
    """A row of the table of engines.

    requires   required distributions by their names in pip, in this environment
    stepped    one thread steps its generations in turn, so that none disturbs another's clock
    on_device  computes on this machine's device, and so takes turns with other engines there
    no_distribution  why it cannot return the full distribution of a position; "" if it can
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
        bad_at="Starts slowly, one process per variant, and reports no times per token.",
        no_distribution="vLLM returns only the top tokens; divergence needs the full distribution.",
    ),
    EngineRow(
        name="llamacpp",
        title="llama.cpp",
        devices=("cuda", "mps", "cpu"),
        requires=("xllamacpp",),
        good_at="Decodes GGUF blocks directly: the fastest engine on a laptop's processor.",
        bad_at="GGUF files only.",
        no_distribution="llama.cpp returns only the top tokens; divergence needs the full distribution.",
    ),
    EngineRow(
        name="remote",
        title="remote endpoint",
        devices=("cuda", "mps", "cpu"),
        requires=("httpcore",),
        good_at="Models that outgrow this machine, and services as their users see them.",
        bad_at="Timed at arrival here: the network is in every number.",
        on_device=False,
        no_distribution="A remote endpoint returns a few top tokens at most; divergence needs the full distribution.",
    ),
)
NAMES = ENGINES


def row(name: str) -> EngineRow:
    """Return the engine's row. Raises KeyError for an unknown name."""
    return {row.name: row for row in TABLE}[name]


def title(name: str) -> str:
    """Return the engine's title; the name itself if it is not in the table."""
    return next((row.title for row in TABLE if row.name == name), name)


def no_distribution(name: str) -> str:
    """Return why no divergence can be measured on the engine `name`; "" if it can."""
    return next((row.no_distribution for row in TABLE if row.name == name), "")


def importable(root: Path = ROOT, checkout: bool = CHECKOUT) -> Path:
    """Return a folder from which another environment's Python imports this program and nothing else.

    In site-packages it is beside our dependencies, which must not shadow those of vLLM's environment.
    """
    if checkout:
        return root
    folder = settings().cache / "code" / hashlib.sha256(bytes(root)).hexdigest()[:12]
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        (folder / "playground").symlink_to(root / "playground")
    return folder


def vllm_python() -> Path:
    """Return the interpreter that has vLLM: PLAYGROUND_VLLM_PYTHON, else that of `make vllm`."""
    return settings().vllm_python or ROOT / ".venv-vllm" / "bin" / "python"


def missing_vllm() -> str:
    """Return why vLLM cannot be started, or "". Only looks at folders."""
    python = vllm_python()
    if not python.exists():
        return "vLLM's own environment is not there"
    # bin/python is a link to the system's; the environment's packages lie beside it.
    if not any((python.parent.parent / "lib").glob("python3*/site-packages/vllm/__init__.py")):
        return f"the environment of {python} has no vLLM"
    return ""


def zero_gpu() -> bool:
    """Return whether this is a ZeroGPU Space: one process, and a GPU only inside functions that `spaces.GPU` wraps."""
    return os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")


# The choice of an engine.


@dataclass(frozen=True, slots=True)
class Option:
    """Whether an engine can run a variant here, and if not, why and what to do about it."""

    engine: str
    title: str
    runs: bool
    why: str = ""
    do: str = ""


def options(variant: Variant) -> list[Option]:
    """Return an option for every engine; first those of `variant.engines`, in that order."""
    named = [row(name) for name in variant.engines]
    rest = [row for row in TABLE if row.name not in variant.engines]
    return [_option(row, variant) for row in [*named, *rest]]


def default(variant: Variant, wanted: str = "") -> str:
    """Return `wanted` if it can run the variant here, else the first engine that can, else the variant's first."""
    able = [option.engine for option in options(variant) if option.runs]
    if wanted in able:
        return wanted
    return able[0] if able else variant.engines[0]


def check(variant: Variant, engine: str) -> None:
    """Raise EngineUnavailable, with the reason and what to do, if `engine` cannot run the variant here."""
    for option in options(variant):
        if option.engine == engine and not option.runs:
            raise EngineUnavailable(
                f"{variant.label} cannot run in {option.title}: {option.why}.",
                hint=f"In a terminal: {option.do}" if option.do else "Choose another engine.",
            )


def common(variants: Sequence[Variant | None], chosen: Sequence[str] = ()) -> list[str]:
    """Return an engine for each variant of a run: if possible the first one's, so that speeds can be compared.

    `chosen` has the requested engines, "" for none. The engine of an unknown variant (None) is "".
    """
    requested = list(chosen) or [""] * len(variants)
    engines: list[str] = []
    for variant, engine in zip(variants, requested, strict=True):
        engines.append(engine or (default(variant, engines[0] if engines else "") if variant else ""))
    return engines


def together(names: Sequence[str]) -> list[str]:
    """Return the addresses of a run; one without an engine gets that of the first address if it can run there."""
    addresses = [Address.parse(name) for name in names]
    variants = [_look_up(address.variant) for address in addresses]
    engines = common(variants, [address.engine for address in addresses])
    return [
        str(address) if variant is None or engine == default(variant) else str(replace(address, engine=engine))
        for address, variant, engine in zip(addresses, variants, engines, strict=True)
    ]


def _look_up(name: str) -> Variant | None:
    """Return the variant, or None on an error, which is raised again and reported when the variant is run."""
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
    return "transformers would unpack it to 16 bits, with the size and speed of the reference"


def _not_remote(_: Variant) -> str:
    return "no endpoint serves this variant; add one with Endpoints, on the Compare page"


_WHY_NOT: dict[str, Callable[[Variant], str]] = {
    "transformers": _not_in_transformers,
    "vllm": _not_in_vllm,
    "llamacpp": _needs_gguf,
    "remote": _not_remote,
}
