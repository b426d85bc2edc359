"""What the rest of the program knows of an engine, whichever it is."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from playground.core import Finish, ForcedTokens, Forcing, Generation, Loaded, Message, Progress, Prompt, Token
from playground.settings import settings

OnProgress = Callable[[Progress], None]
IsCancelled = Callable[[], bool]
ROOT = Path(__file__).parents[2]
CHECKOUT = (ROOT / "pyproject.toml").is_file()
SETUP = "make setup" if CHECKOUT else "playground setup"


class Engine(Protocol):
    """Runs variants. Every method may raise an `errors.PlaygroundError`; all of them may be called from any thread."""

    name: str

    def load(
        self,
        variant: str,
        on_progress: OnProgress,
        is_cancelled: IsCancelled,
        keep: Sequence[str] = (),
    ) -> Loaded:
        """Make `variant` ready, warm-up included; returns at once when it is. `keep` must not be unloaded for it."""
        ...

    def prompt(self, variant: str, messages: Sequence[Message] | str) -> Prompt:
        """Render and tokenize with the tokenizer of `variant`: a chat, or raw text."""
        ...

    def generate(self, generation: Generation) -> Iterator[Progress | Token | Finish]:
        """Stream one generation; the last item is a `Finish`. Closing the iterator ends it in the engine."""
        ...

    def force(self, forcing: Forcing) -> Iterator[Progress | ForcedTokens | Finish]:
        """Force a text through variants that are loaded; as `generate`, but nothing is timed and everyone goes first.

        Raises EngineUnavailable where `table.no_distribution` says why, and DifferentTokenizer.
        """
        ...

    def abort(self, request_id: str) -> None:
        """End a generation or a forced text within one step; its stream then closes with `Finish("abort")`."""
        ...


class OnDevice(Engine, Protocol):
    """An engine that computes on this device: its loads take a turn there, as its generations do."""

    def held(self, variant: str) -> Loaded | None:
        """What a `load` would return at once, or None when it has work to do. Starts nothing and waits for nobody."""
        ...

    def unload_idle(self) -> str | None:
        """Free the memory of one variant that nobody uses; its name, None when there is none."""
        ...


# The engines table: one row per engine of this version. Doctor, documentation and tests read it.


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


def row(name: str) -> EngineRow:
    """The row of the engine called `name`; KeyError when there is none."""
    return {found.name: found for found in TABLE}[name]


def title(name: str) -> str:
    """What a person calls the engine; a name that is not in the table is its own title."""
    return next((found.title for found in TABLE if found.name == name), name)


def no_distribution(name: str) -> str:
    """Why no divergence can be measured on the engine `name`; empty where it can."""
    return next((found.no_distribution for found in TABLE if found.name == name), "")


# `variant@engine`: which variant, on which engine. Without an engine it is the first that can run the variant
# here.


NAMES = tuple(row.name for row in TABLE)


@dataclass(frozen=True, slots=True)
class Address:
    """`engine` "" leaves the choice to `choose.default`."""

    variant: str
    engine: str = ""

    def __str__(self) -> str:
        return f"{self.variant}@{self.engine}" if self.engine else self.variant


def parse(text: str) -> Address:
    """Read an address. Only a known engine's name after the last "@" is one: `owner/repo@main` has a revision.

    A revision that is called like an engine is written in full (`owner/repo@refs/heads/vllm`).
    """
    variant, at, engine = text.strip().rpartition("@")
    if at and variant and engine in NAMES:
        return Address(variant, engine)
    return Address(text.strip())


# Where engines live: the separate environment of vLLM, and the one process of a ZeroGPU Space.


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
