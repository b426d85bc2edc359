"""Plant faults one at a time and see whether the tests of their room notice: how much the tests hold.

    python scripts/plant_faults.py choose faults.json --seed 15
    python scripts/plant_faults.py find faults.json
    python scripts/plant_faults.py run faults.json results.jsonl --pytest="-n 1"
    python scripts/plant_faults.py show results.jsonl

A fault is a changed operator or number, a dropped call, or two swapped arguments, in one statement of one function. It
is stored by the function's name and the statement's text, so it is found again where the function has moved: the same
faults before and after say whether a change of the tests lost anything. scripts/plant_faults.json is seed 14.

The tests run in a copy of the tree, which has no `.git`. What fails runs again without the fault; what fails then too
is left out, and the others run once more. A fault that slips either asks for a test or changes nothing that anybody
could see: look at each.
"""

from __future__ import annotations

import argparse
import ast
import copy
import difflib
import json
import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PACKAGE = "playground"
ROOF = ("__init__", "__main__", "app", "cli", "doctor")  # the other modules beside the rooms are the ground
ELSEWHERE = {"report": ("runs", "push")}  # rooms that have no folder of tests
MARKERS = "not gpu and not network and not browser and not vllm and not slow"
TIMEOUT_S = 300
FEW = 16  # a whole number below it gets one more, any other is doubled
SIMILAR = 0.75  # of two statements that count as the same one
OTHER: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip
# Calls whose loss, or whose changed argument, no test could see: texts of a log, pauses, memory, tidying up.
SILENT = frozenset((
    "debug", "info", "warning", "error", "exception", "critical", "log", "getLogger", "simplefilter", "filterwarnings",
    "sleep", "wait", "wait_briefly", "notify", "notify_all", "join", "collect", "freeze", "set_num_threads", "close",
    "flush", "shutdown", "without_sklearn", "cast", "TypeVar",
))  # fmt: skip
SYMMETRIC = frozenset(("max", "min", "isclose", "print", "gcd", "add", "compare_digest"))
CHECKED = frozenset(("isinstance", "issubclass", "hasattr"))  # whose swapped arguments only raise a TypeError
UNSEEN_KEYWORDS = frozenset(("timeout", "timeout_s", "indent", "daemon", "maxsize", "stacklevel", "max_workers"))
UNSEEN_FIELDS = frozenset(("annotation", "returns", "type_params", "cases"))

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Fault:
    """One change of one statement.

    function  qualified name, `Class.method.inner`
    kind      operator, constant, call or argument
    detail    what is changed: `Lt to LtE`
    before    the statement, of a compound one only its head, as `ast.unparse` writes it
    """

    id: str
    file: str
    function: str
    kind: str
    detail: str
    before: str
    after: str


@dataclass(frozen=True)
class Change:
    """A change that is possible in a parsed file: `node` becomes `new`, in the statement `before`."""

    kind: str
    detail: str
    before: str
    after: str
    node: ast.AST
    new: ast.AST


# ---- which changes there are


def functions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, Function]]:
    """All functions with their qualified names, the inner ones too."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield prefix + node.name, node
            yield from functions(node, f"{prefix}{node.name}.")
        elif isinstance(node, ast.ClassDef):
            yield from functions(node, f"{prefix}{node.name}.")
        elif isinstance(node, ast.stmt):
            yield from functions(node, prefix)


def statements(node: ast.AST) -> Iterator[ast.stmt]:
    """Every statement inside, but those of functions and classes inside."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        if isinstance(child, ast.stmt):
            yield child
        if isinstance(child, ast.stmt | ast.excepthandler | ast.match_case):
            yield from statements(child)


def head(statement: ast.stmt) -> ast.stmt:
    """The statement without the statements inside it. The expressions are the same objects."""
    made = copy.copy(statement)
    if isinstance(made, ast.Try | ast.TryStar | ast.Match):
        return ast.Pass()
    for name in {"body", "orelse"} & set(made._fields):
        setattr(made, name, [ast.Pass()] if name == "body" else [])
    return made


def changes(function: Function) -> Iterator[Change]:
    """Every change of this function that might matter."""
    for statement in statements(function):
        if isinstance(statement, ast.Import | ast.ImportFrom | ast.Assert | ast.Raise):
            continue
        top = head(statement)
        before = ast.unparse(top)
        if isinstance(top, ast.Expr) and isinstance(top.value, ast.Call) and not _silent(top.value):
            yield Change("call", f"drop {_name(top.value)}", before, "pass", statement, ast.Pass())
        for node in _expressions(top):
            for kind, detail, new in _changed(node):
                yield Change(kind, detail, before, ast.unparse(replaced(top, node, new)), node, new)


def _expressions(node: ast.AST) -> Iterator[ast.expr]:
    """Nodes whose change could be seen: not in texts, annotations, or calls of the log."""
    for name, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            if name in UNSEEN_FIELDS or not isinstance(child, ast.AST) or isinstance(child, ast.JoinedStr):
                continue
            if isinstance(child, ast.Call) and _silent(child):
                continue
            if isinstance(child, ast.keyword) and child.arg in UNSEEN_KEYWORDS:
                continue
            if isinstance(node, ast.Call) and _name(node) == "round" and child in node.args[1:]:
                continue
            if isinstance(child, ast.expr):
                yield child
            yield from _expressions(child)


def _changed(node: ast.expr) -> Iterator[tuple[str, str, ast.expr]]:
    """What can be made of one expression: kind, detail, the new one."""
    match node:
        case ast.Compare(ops=[operator]) if type(operator) in OTHER:
            yield "operator", _to(operator), _with(node, ops=[OTHER[type(operator)]()])
        case ast.BinOp(op=operator) if type(operator) in OTHER and not _textual(node):
            yield "operator", _to(operator), _with(node, op=OTHER[type(operator)]())
        case ast.BoolOp(op=operator):
            yield "operator", _to(operator), _with(node, op=OTHER[type(operator)]())
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            number = value + 1 if isinstance(value, int) and abs(value) < FEW else value * 2 or 1.0
            yield "constant", f"{value} to {number}", ast.Constant(number)
        case ast.Call(args=[first, second, *rest]) if _name(node) not in SYMMETRIC | CHECKED:
            starred = isinstance(first, ast.Starred) or isinstance(second, ast.Starred)
            if not starred and ast.dump(first) != ast.dump(second):
                yield "argument", f"swap of {_name(node)}", _with(node, args=[second, first, *rest])


def _to(operator: ast.AST) -> str:
    return f"{type(operator).__name__} to {OTHER[type(operator)].__name__}"


def _with(node: ast.expr, **fields: object) -> ast.expr:
    new = copy.copy(node)
    for name, value in fields.items():
        setattr(new, name, value)
    return new


def _textual(node: ast.expr) -> bool:
    """Whether a `-` in it would only raise a TypeError: text, a list, a tuple."""
    if isinstance(node, ast.BinOp):
        return _textual(node.left) or _textual(node.right)
    lists = ast.JoinedStr | ast.List | ast.Tuple | ast.ListComp
    return isinstance(node, lists) or (isinstance(node, ast.Constant) and isinstance(node.value, str | bytes))


def _name(call: ast.Call) -> str:
    """The last part of what is called."""
    return ast.unparse(call.func).rpartition(".")[2]


def _silent(call: ast.Call) -> bool:
    return _name(call) in SILENT or ast.unparse(call.func).startswith(("log.", "logging.", "warnings."))


def replaced(top: ast.AST, old: ast.AST, new: ast.AST) -> ast.AST:
    """A copy of `top` with `new` in the place of `old`."""
    if top is old:
        return new
    made = copy.copy(top)
    for name, value in ast.iter_fields(top):
        if isinstance(value, list):
            setattr(made, name, [replaced(one, old, new) if isinstance(one, ast.AST) else one for one in value])
        elif isinstance(value, ast.AST):
            setattr(made, name, replaced(value, old, new))
    return made


# ---- choosing, and finding the place again


@cache
def parsed(root: Path) -> dict[Path, ast.Module]:
    """Every source file of the package, by its path from `root`."""
    paths = sorted((root / PACKAGE).rglob("*.py"))
    return {path.relative_to(root): ast.parse(path.read_text(encoding="utf-8")) for path in paths}


def room_of(path: Path) -> str:
    """The folder of tests that this source file belongs to."""
    top = path.parts[1]
    return ("roof" if path.stem in ROOF else "ground") if top.endswith(".py") else top


def choose(root: Path, seed: int, count: int) -> list[Fault]:
    """`count` faults, each room in its turn and no function twice. The kind is drawn before the fault, because there
    are far more numbers than calls."""
    draw = random.Random(seed)  # noqa: S311 - no secret
    possible: dict[str, list[Fault]] = {}
    for path, tree in parsed(root).items():
        for name, function in functions(tree):
            found = [
                Fault("", str(path), name, one.kind, one.detail, one.before, one.after) for one in changes(function)
            ]
            once = [one for one in found if found.count(one) == 1 and one.before != one.after]
            possible.setdefault(room_of(path), []).extend(once)
    chosen: list[Fault] = []
    for _ in range(count):
        for room in draw.sample(sorted(possible), len(possible)):
            taken = {(one.file, one.function) for one in chosen}
            fresh = [one for one in possible[room] if (one.file, one.function) not in taken]
            if fresh and len(chosen) < count:
                kind = draw.choice(sorted({one.kind for one in fresh}))
                fault = draw.choice([one for one in fresh if one.kind == kind])
                chosen.append(Fault(**asdict(fault) | {"id": f"{len(chosen) + 1:02d}-{room}"}))
    return chosen


def find(root: Path, fault: Fault) -> tuple[Path, Change, float] | None:
    """Where this fault lies in the tree at `root`, and how alike the statements are (1: word by word).

    First among functions of its qualified name, then of its last part, then among all.
    """
    known = [(path, name, function) for path, tree in parsed(root).items() for name, function in functions(tree)]
    last = fault.function.rpartition(".")[2]
    named = [one for one in known if one[1] == fault.function]
    for fits in (named, [one for one in known if one[1].rpartition(".")[2] == last], known):
        found = [
            (path, change, min(_alike(fault.before, change.before), _alike(fault.after, change.after)))
            for path, _, function in fits
            for change in changes(function)
            if change.kind == fault.kind and (change.detail == fault.detail or fault.kind in ("call", "argument"))
        ]
        best = max(found, key=lambda one: one[2], default=None)
        if best and best[2] >= SIMILAR:
            return best
    return None


def _alike(one: str, other: str) -> float:
    matcher = difflib.SequenceMatcher(None, one, other, autojunk=False)
    bound = min(matcher.real_quick_ratio(), matcher.quick_ratio())
    return matcher.ratio() if bound >= SIMILAR else bound


# ---- running


def run_tests(tree: Path, arguments: Sequence[str], cache_home: Path | None) -> tuple[int | None, list[str], str]:
    """How pytest ends (None: not in time), which tests failed, and the end of what it printed."""
    with tempfile.TemporaryDirectory(prefix="plant-home-", ignore_cleanup_errors=True) as home:
        if cache_home is not None:  # a copy: the fault may spoil it
            shutil.copytree(cache_home, Path(home) / "cache")
        # Not PLAYGROUND_HOME or PLAYGROUND_OFFLINE: many tests ask what happens without them.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PLAYGROUND_")}
        environment |= {"XDG_CACHE_HOME": f"{home}/cache", "XDG_DATA_HOME": f"{home}/data", "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadfile", "-rfE", "-m", MARKERS]
        with tempfile.TemporaryFile("w+") as output:
            process = subprocess.Popen(
                [*command, "-p", "no:cacheprovider", *arguments],
                cwd=tree, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
            code: int | None = None
            with suppress(subprocess.TimeoutExpired):
                code = process.wait(TIMEOUT_S)
            with suppress(ProcessLookupError):  # what the tests left running, too
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            output.seek(0)
            text = output.read()
    failed = re.findall(r"^(?:FAILED|ERROR) (\S+(?: \S+)*?)(?: - .*)?$", text, re.MULTILINE)
    return code, failed, text[-1500:]


def judge(
    tree: Path, fault: Fault, left_out: list[str], more: Sequence[str], cache_home: Path | None
) -> dict[str, Any]:
    """Plant one fault in the copy and take it out again. `left_out` grows by the tests that fail without it too."""
    place = find(tree, fault)
    if place is None:
        return {"result": "not found", "failed": [], "tail": f"No statement like `{fault.before}` is there."}
    path, change, match = place
    room, text, module = room_of(path), (tree / path).read_text(encoding="utf-8"), parsed(tree)[path]
    arguments = [f"tests/{one}" for one in ELSEWHERE.get(room, (room,))]
    while True:
        (tree / path).write_text(ast.unparse(replaced(module, change.node, change.new)), encoding="utf-8")
        try:
            skipped = [f"--deselect={name}" for name in left_out]
            code, failed, tail = run_tests(tree, [*arguments, "-x", *skipped, *more], cache_home)
            (tree / path).write_text(ast.unparse(module), encoding="utf-8")  # comments are gone in both
            again = [name for name in failed if "::" in name]
            unfit = run_tests(tree, [*again, *more], cache_home)[1] if again else []
        finally:
            (tree / path).write_text(text, encoding="utf-8")
        if not unfit:
            break
        left_out += unfit
    result = {0: "slipped", 4: "not run", 5: "not run"}.get(code if code is not None else -1, "caught")
    where = {"planted_in": str(path), "match": round(match, 3), "room": room, "left_out": list(left_out)}
    return where | {"result": result, "failed": failed or (["the timeout"] if code is None else []), "tail": tail}


def run(faults: Sequence[Fault], results: Path, more: Sequence[str], cache_home: Path | None) -> None:
    """Plant one fault after the other; what the results have already is not done again."""
    done = {row["id"] for row in read(results)}
    with tempfile.TemporaryDirectory(prefix="plant-", ignore_cleanup_errors=True) as folder:
        tree, left_out = Path(folder) / "tree", list[str]()
        ignored = shutil.ignore_patterns(".git", ".venv*", "__pycache__", ".*_cache", "node_modules")
        shutil.copytree(ROOT, tree, ignore=ignored, symlinks=True)
        # By content, so that what was compiled of a file is never taken for a planted one.
        compiling = ["-m", "compileall", "-q", "--invalidation-mode", "checked-hash", PACKAGE]
        subprocess.run([sys.executable, *compiling], cwd=tree, check=True)
        for fault in (one for one in faults if one.id not in done):
            began = time.monotonic()
            row = asdict(fault) | judge(tree, fault, left_out, more, cache_home)
            row["seconds"] = round(time.monotonic() - began, 1)
            with results.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
            print(fault.id, row["result"], row["seconds"], "s", row["failed"][:1], file=sys.stderr, flush=True)


def read(results: Path) -> list[dict[str, Any]]:
    lines = results.read_text(encoding="utf-8").splitlines() if results.exists() else []
    return [json.loads(line) for line in lines]


def show(rows: Sequence[dict[str, Any]]) -> None:
    """The results as a table, and their sum."""
    print("| fault | function | change | result | by |\n|---|---|---|---|---|")
    for row in rows:
        by = row["failed"][0] if row["failed"] else row["tail"] if row["result"] == "not found" else ""
        print(f"| {row['id']} | `{row['function']}` | {row['kind']}: {row['detail']} | {row['result']} | {by} |")
    print("\n" + ", ".join(f"{count} {result}" for result, count in Counter(row["result"] for row in rows).items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    chooser = commands.add_parser("choose", help="draw faults and store them")
    finder = commands.add_parser("find", help="say where each would be planted")
    runner = commands.add_parser("run", help="plant each and run the tests of its room")
    for one in (chooser, finder, runner):
        one.add_argument("faults", type=Path)
    chooser.add_argument("--seed", type=int, required=True)
    chooser.add_argument("--count", type=int, default=20)
    shower = commands.add_parser("show", help="results as a table")
    for one in (runner, shower):
        one.add_argument("results", type=Path)
    runner.add_argument("--cache", type=Path, help="a cache folder with the restored model; each run gets a copy")
    runner.add_argument("--pytest", type=shlex.split, default=[], help="more arguments of pytest, as one word")
    asked = parser.parse_args()
    if asked.command == "show":
        show(read(asked.results))
    elif asked.command == "choose":
        drawn = [asdict(one) for one in choose(ROOT, asked.seed, asked.count)]
        asked.faults.write_text(json.dumps(drawn, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    else:
        faults = [Fault(**one) for one in json.loads(asked.faults.read_text(encoding="utf-8"))]
        if asked.command == "run":
            run(faults, asked.results, asked.pytest, asked.cache)
            return
        for fault in faults:
            place = find(ROOT, fault)
            print(fault.id, fault.function, f"{place[0]} {place[2]:.3f}" if place else "is nowhere")


if __name__ == "__main__":
    main()
