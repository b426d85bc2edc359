"""Tasks written for this project, in lm-eval's format: small, offline, and not the benchmarks that they resemble.

`TaskManager(include_path=str(include_path()))` finds them. Importing this loads neither lm-eval nor `datasets`.
"""

from __future__ import annotations

from pathlib import Path

GROUP = "bundled"
TASKS = ("bundled_reading", "bundled_math", "bundled_facts", "bundled_cloze")


def include_path() -> Path:
    """Return the folder of the tasks' YAML: lm-eval's `include_path`."""
    return Path(__file__).parent
