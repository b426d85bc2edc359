"""Checkpoint formats that transformers loads already quantized, and what each needs on this machine.

The conditions are those of `validate_environment` in transformers' quantizers; a test asks the quantizers themselves.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from packaging.specifiers import SpecifierSet

State = Literal["runs", "unpacks", "missing"]
Capability = tuple[int, int] | None
Versions = Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class Format:
    """One row. `needs`: distribution → versions. `kernel`: why the packed weights cannot be multiplied here.

    `kernel(device, capability, versions)` answers "" where they can, else what is missing and, after a "|", what to
    install; the weights then load as BF16.
    """

    name: str
    title: str
    needs: Mapping[str, str]
    devices: tuple[str, ...] = ("cuda", "mps", "cpu")
    kernel: Callable[[str, Capability, Versions], str] = lambda *_: ""


@dataclass(frozen=True, slots=True)
class Support:
    """Whether this machine can load a format. `unpacks`: right for quality, but at the size and speed of BF16."""

    state: State
    why: str = ""
    do: str = ""


def satisfied(installed: str | None, wanted: str) -> bool:
    return installed is not None and SpecifierSet(wanted).contains(installed, prereleases=True)


def _fp8(device: str, capability: Capability, _: Versions) -> str:
    if device != "cuda":
        return "FP8 products need an NVIDIA GPU of compute capability 8.9 or newer"
    if capability is None or capability < (8, 9):
        return "FP8 products need compute capability 8.9, for example an RTX 4090 or an H100"
    return ""


def _mxfp4(device: str, capability: Capability, versions: Versions) -> str:
    if device == "mps" or (device == "cuda" and (capability is None or capability < (7, 5))):
        return "MXFP4 products need a CPU, or an NVIDIA GPU of compute capability 7.5 or newer"
    wanted = {"triton": ">=3.4.0" if device == "cuda" else ">=3.5.0", "kernels": ">=0.16.0,<0.17.0"}
    missing = [f"{name}{spec}" for name, spec in wanted.items() if not satisfied(versions.get(name), spec)]
    return f"{' and '.join(missing)} not installed|{_install(missing)}" if missing else ""


def _compressed_tensors(*_: object) -> str:
    return "transformers unpacks these weights in the first forward pass"


def _gguf(*_: object) -> str:
    return "this engine multiplies no GGUF blocks"


def _install(wanted: list[str]) -> str:
    return f"pip install {' '.join(map(shlex.quote, wanted))}"


FORMATS: tuple[Format, ...] = (
    Format("compressed-tensors", "compressed-tensors", {"compressed-tensors": ">=0.15.0"}, kernel=_compressed_tensors),
    Format("gptq", "GPTQ", {"optimum": ">=1.24.0", "gptqmodel": ">=1.4.3"}),
    Format("awq", "AWQ", {"gptqmodel": "", "accelerate": ">=1.1.0"}),
    Format("auto-round", "AutoRound", {"auto-round": ">=0.5.0"}),
    Format("fp8", "FP8", {"accelerate": ">=1.1.0"}, kernel=_fp8),
    Format("mxfp4", "MXFP4", {"accelerate": ">=1.1.0"}, kernel=_mxfp4),
    Format("bitsandbytes", "bitsandbytes", {"accelerate": ">=1.1.0", "bitsandbytes": ">=0.46.1"}),
    Format("gguf", "GGUF", {"gguf": ">=0.10.0"}, kernel=_gguf),
)
PACKAGES = tuple(sorted({name for row in FORMATS for name in row.needs} | {"triton", "kernels"}))


def support(row: Format, device: str, capability: Capability, versions: Versions) -> Support:
    """What loading a checkpoint of this format comes to on `device`, given the installed `versions`."""
    if device not in row.devices:
        return Support("missing", f"runs on {', '.join(row.devices)}; this device is {device}")
    missing = [f"{name}{wanted}" for name, wanted in row.needs.items() if not satisfied(versions.get(name), wanted)]
    if missing:
        return Support("missing", f"{' and '.join(missing)} not installed", _install(missing))
    reason, _, do = row.kernel(device, capability, versions).partition("|")
    if reason:
        return Support("unpacks", reason, do)
    return Support("runs")
