"""SECURITY.md names a test for every threat and every fault, and every test that it names is there."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "SECURITY.md").read_text()
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def rows(title: str) -> list[str]:
    part = PAGE.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]
    return [line for line in part.splitlines() if line.startswith("|")][2:]


@cache
def functions(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text())
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_every_threat_and_every_fault_has_a_test() -> None:
    threats, faults = rows("Threats"), rows("Faults")
    assert len(threats) >= 11 and len(faults) >= 13
    without = [line[:60] for line in threats + faults if not NAMED.search(line.split("|")[-2])]
    assert not without, f"no test is named for {without}"


def test_every_named_test_exists() -> None:
    named = NAMED.findall(PAGE)
    assert len(named) > 50
    gone = [f"{path}::{name}" for path, name in named if not (ROOT / path).is_file() or name not in functions(path)]
    assert not gone, f"there is no {gone}"
