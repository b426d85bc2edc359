"""Where engines live: the separate environment of vLLM, and the one process of a ZeroGPU Space."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

from playground.settings import settings

ROOT = Path(__file__).parents[2]
CHECKOUT = (ROOT / "pyproject.toml").is_file()
SETUP = "make setup" if CHECKOUT else "playground setup"


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
