"""The report of `doctor`: this machine, what runs on it, and for the rest the reason and the remedy."""

from __future__ import annotations

import importlib.util
import platform
import sqlite3
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from playground import machine
from playground.engines import base
from playground.engines.base import SETUP, missing_vllm
from playground.errors import PlaygroundError
from playground.formatting import size
from playground.methods import TABLE as METHODS
from playground.methods import Method
from playground.models import bundled, checkpoint
from playground.settings import settings
from playground.store import database

_SQLITE_FIXED = {(3, 50): 7, (3, 44): 6}  # branch → first release with the fix; everything from 3.51.3 has it


def report() -> dict[str, Any]:
    """The documented JSON of `doctor`. Measures the memory bandwidth, which takes a few seconds."""
    device, trouble = _device()
    kind = device["device"] if device else None
    versions = machine.versions()
    model = _bundled()
    engines = [_engine(row, kind) for row in base.TABLE]
    return {
        "ok": any(row["runs"] for row in engines) and not model["do"],
        "machine": _machine(),
        "device": device,
        "device_error": trouble,
        "versions": {"python": platform.python_version(), **versions},
        "sqlite": _sqlite(sqlite3.sqlite_version_info[:3]),
        "database": _database(),
        "bundled_model": model,
        "engines": engines,
        "methods": [_method(row, kind) for row in METHODS],
        "formats": [_format(row, device) for row in checkpoint.FORMATS] if device else [],
        "folders": {name: str(getattr(settings(), name)) for name in ("data", "cache", "logs")},
    }


def _machine() -> dict[str, Any]:
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": machine.cpu_name(),
        "cpu_flags": list(machine.cpu_flags()),
        "cores": machine.cores(),
        "memory": asdict(machine.memory()),
    }


def _device() -> tuple[dict[str, Any] | None, dict[str, str] | None]:
    try:
        return asdict(machine.probe(again=True)), None
    except PlaygroundError as error:
        return None, {"why": error.message, "do": error.hint}


def has_wal_reset_bug(version: tuple[int, int, int]) -> bool:
    """Whether a SQLite version may corrupt a WAL database when a checkpoint races a write: 3.7.0 to 3.51.2, except in
    two branches with a backport of the fix.
    """
    patched = _SQLITE_FIXED.get(version[:2])
    return (3, 7, 0) <= version <= (3, 51, 2) and not (patched is not None and version[2] >= patched)


def _sqlite(version: tuple[int, int, int]) -> dict[str, Any]:
    bad = has_wal_reset_bug(version)
    return {
        "version": ".".join(map(str, version)),
        "ok": not bad,
        "why": "has the WAL-reset bug, fixed in 3.51.3, 3.50.7 and 3.44.6" if bad else "",
        "do": "use a Python that is built with a newer SQLite" if bad else "",
    }


def _database() -> dict[str, Any]:
    """The location of the database without its password, and the server's version if it can be reached."""
    if not database.exists():
        return {"where": database.display_url(), "version": "", "ok": True, "why": "", "do": ""}
    try:
        version = database.version()
    except PlaygroundError as error:
        return {"where": database.display_url(), "version": "", "ok": False, "why": error.message, "do": error.hint}
    return {"where": database.display_url(), "version": version, "ok": True, "why": "", "do": ""}


def _bundled() -> dict[str, Any]:
    source = bundled.gguf()
    if source is None:
        return {"installed": False, "restored": False, "path": None, "do": bundled.INSTALL}
    restored = bundled.already_restored()
    return {"installed": True, "restored": restored, "path": str(bundled.folder()), "do": "" if restored else SETUP}


def _engine(row: base.EngineRow, device: str | None) -> dict[str, Any]:
    missing = [name for name, version in machine.versions(row.requires).items() if version is None]
    why, do = "", ""
    if missing:
        why, do = f"{', '.join(missing)} not installed", SETUP
    elif device is None:
        why, do = "torch does not work here", SETUP
    elif device not in row.devices:
        why = f"runs on {', '.join(row.devices)}; this device is {device}"
    elif row.name == "vllm" and (reason := missing_vllm()):
        why, do = reason, "make vllm"
    return {"name": row.name, "title": row.title, "runs": not why, "why": why, "do": do}


def _method(row: Method, device: str | None) -> dict[str, Any]:
    missing = [name for name in row.requires if importlib.util.find_spec(name) is None]
    why, do = "", ""
    if missing:
        why, do = f"{', '.join(missing)} not installed", SETUP
    elif device is None:
        why, do = "torch does not work here", SETUP
    elif device not in row.devices:
        why = f"its result runs on {', '.join(row.devices)}; this device is {device}"
    return {"name": row.name, "title": row.title, "schemes": list(row.schemes), "runs": not why, "why": why, "do": do}


def _format(row: checkpoint.Format, device: dict[str, Any]) -> dict[str, Any]:
    major, _, minor = (device["capability"] or "").partition(".")
    capability = (int(major), int(minor)) if major else None
    versions = machine.versions(checkpoint.PACKAGES)
    return {
        "name": row.name,
        "title": row.title,
        **asdict(checkpoint.support(row, device["device"], capability, versions)),
    }


def render(report: dict[str, Any], console: Console) -> None:
    """Print the report."""
    facts, device = report["machine"], report["device"]
    memory = facts["memory"]
    limit = " (limit of this container)" if memory["limit"] == "cgroup" else ""
    lines = {
        "Machine": f"{facts['system']}, {facts['cpu']}, {facts['cores']} cores {' '.join(facts['cpu_flags'])}".rstrip(),
        "Memory": f"{size(memory['available'])} of {size(memory['total'])} free{limit}",
    }
    if device:
        lines["Device"] = f"{device['device']}: {device['name']}, {device['threads']} CPU threads"
        if device["device"] != "cpu":
            lines["Device memory"] = f"{size(device['memory_free'])} of {size(device['memory_total'])} free"
        measured = device["bandwidth"]
        lines["Bandwidth"] = (
            f"{measured / 1e9:.1f} GB/s, measured" if measured else "not measured: too little free memory"
        )
    else:
        lines["Device"] = f"unknown: {report['device_error']['why']} {report['device_error']['do']}".strip()
    sqlite = report["sqlite"]
    lines["SQLite"] = sqlite["version"] + ("" if sqlite["ok"] else f": {sqlite['why']}; {sqlite['do']}")
    store = report["database"]
    lines["Database"] = f"{store['where']} {store['version']}".rstrip() + (
        "" if store["ok"] else f": {store['why']} {store['do']}"
    )
    model = report["bundled_model"]
    state = "restored" if model["restored"] else "not restored yet" if model["installed"] else "not installed"
    lines["Bundled model"] = f"{state}, {model['path']}" if not model["do"] else f"{state}: run `{model['do']}`"
    lines["Folders"] = ", ".join(f"{name} {path}" for name, path in report["folders"].items())
    lines["Versions"] = ", ".join(f"{name} {version or 'missing'}" for name, version in report["versions"].items())

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in lines.items():
        grid.add_row(name, Text(value))
    console.print(grid)
    for title, rows in (("Engines", report["engines"]), ("Methods", report["methods"])):
        console.print(_rows(title, [{**row, "state": "runs" if row["runs"] else "missing"} for row in rows]))
    if report["formats"]:
        console.print(_rows("Checkpoints that are already quantized", report["formats"]))


_STYLES = {"runs": "green", "unpacks": "yellow", "missing": "red"}
_WORDS = {"runs": "runs", "unpacks": "as BF16", "missing": "cannot run"}


def _rows(title: str, rows: list[dict[str, Any]]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 2), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for row in rows:
        sentences = [f"{row['why']}."] if row["why"] else [", ".join(row.get("schemes", ()))]
        if row["do"]:
            sentences.append(f"Run `{row['do']}`.")
        table.add_row(row["title"], Text(_WORDS[row["state"]], style=_STYLES[row["state"]]), Text(" ".join(sentences)))
    return table
