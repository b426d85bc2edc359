"""Heavy packages stay where they belong, and nothing turns foreign bytes into code."""

from __future__ import annotations

import ast
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from playground.jobs.kinds import KINDS

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "playground").rglob("*.py"))
TREE = [*SOURCES, *sorted((ROOT / "scripts").glob("*.py")), *sorted((ROOT / "tests").rglob("*.py")), ROOT / "app.py"]
HOST = ROOT / "playground/engines/host"


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """Every module that a file imports, at any depth, with its line."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            assert node.module
            if node.module == "playground":
                yield from ((f"playground.{alias.name}", node.lineno) for alias in node.names)
            else:
                yield node.module, node.lineno


def eager_imports(path: Path) -> Iterator[tuple[str, int]]:
    """What importing a file imports: not inside functions, not under TYPE_CHECKING."""
    waiting: list[ast.AST] = [ast.parse(path.read_text())]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += node.orelse
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, node.lineno
        waiting += ast.iter_child_nodes(node)


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_heavy_packages_stay_where_they_belong(path: Path) -> None:
    if not path.is_relative_to(HOST):
        heavy = [f"line {n}: {m}" for m, n in eager_imports(path) if m.split(".")[0] in ("torch", "transformers")]
        assert not heavy, f"{name_of(path)} imports at module level: {', '.join(heavy)}"
    if path != ROOT / "playground/report/vega.py":  # it holds the GIL: in a process of its own
        assert not [f"line {n}" for m, n in imports(path) if m == "vl_convert"], f"{name_of(path)} imports vl_convert"
    if not path.is_relative_to(ROOT / "playground/web"):
        page = [f"line {n}" for m, n in imports(path) if m.split(".")[0] == "gradio"]
        assert not page, f"{name_of(path)} imports gradio: {', '.join(page)}"


def unsafe(tree: ast.AST) -> Iterator[str]:
    """Calls that turn someone else's bytes or text into code."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "jinja2":
            bare = {alias.name for alias in node.names} & {"Template", "Environment"}
            yield from (f"line {node.lineno}: jinja2.{name} is no sandbox" for name in bare)
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        if called in (
            "pickle.load",
            "pickle.loads",
            "torch.load",
            "os.system",
            "jinja2.Template",
            "jinja2.Environment",
        ):
            yield f"line {node.lineno}: {called}"
        for keyword in node.keywords:
            if keyword.arg in ("trust_remote_code", "shell") and ast.unparse(keyword.value) not in ("False", "None"):
                yield f"line {node.lineno}: {keyword.arg}={ast.unparse(keyword.value)}"


@pytest.mark.parametrize("path", TREE, ids=name_of)
def test_nothing_runs_foreign_code(path: Path) -> None:
    assert not list(unsafe(ast.parse(path.read_text())))


@pytest.mark.parametrize(
    "line",
    [
        "pickle.load(f)",
        "torch.load(p)",
        "f(trust_remote_code=True)",
        "subprocess.run(c, shell=True)",
        "from jinja2 import Template",
        "jinja2.Template(t)",
    ],
)
def test_the_check_sees_each_of_them(line: str) -> None:
    assert list(unsafe(ast.parse(line)))


PAGE = [
    *("playground.app", "playground.web", "playground.models", "playground.cli", "playground.doctor"),
    *("playground.engines", *KINDS.values()),  # the page reads the specs of jobs
]


def below(package: str) -> list[str]:
    """The modules of a package, found without importing them."""
    folder = ROOT / package.replace(".", "/")
    inside = pkgutil.iter_modules([str(folder)]) if folder.is_dir() else ()
    return [package, *(f"{package}.{found.name}" for found in inside if found.name != "__main__")]


@pytest.mark.parametrize("package", PAGE)
def test_the_page_process_loads_no_torch(package: str) -> None:
    code = (
        f"import importlib, sys\nfor name in {below(package)!r}: importlib.import_module(name)\n"
        "sys.exit(', '.join({'torch', 'transformers'} & {name.split('.')[0] for name in sys.modules}) or 0)"
    )
    child = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert child.returncode == 0, f"import {package} loads {child.stderr}"
