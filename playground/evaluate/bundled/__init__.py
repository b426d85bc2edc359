"""Tasks written for this project, as lm-eval reads them: small, offline, and never the benchmarks whose form they have.

`TaskManager(include_path=str(include_path()))` finds them. Importing this loads neither lm-eval nor `datasets`.
"""

from __future__ import annotations

from pathlib import Path

GROUP = "bundled"
TASKS = ("bundled_reading", "bundled_math", "bundled_facts", "bundled_cloze")


def include_path() -> Path:
    """The folder of the tasks' YAML: lm-eval's `include_path`."""
    return Path(__file__).parent
