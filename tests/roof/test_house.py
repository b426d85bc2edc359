"""Set-up that holds: what is imported is required, what is required is pinned, make remembers, nothing names a host."""

from __future__ import annotations

import ast
import importlib.metadata
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from playground.models import bundled

ROOT = Path(__file__).parents[2]


def requirements(name: str) -> dict[str, Requirement]:
    lines = (line.split("#")[0].strip() for line in (ROOT / name).read_text().splitlines())
    return {canonicalize_name(found.name): found for found in map(Requirement, filter(None, lines))}


@cache
def distributions() -> dict[str, list[str]]:
    return dict(importlib.metadata.packages_distributions())


def not_required(files: Iterable[Path], required: Iterable[str]) -> dict[str, str]:
    """Third-party package → a file that imports it, for packages of no required distribution."""
    found: dict[str, str] = {}
    for path in files:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            found |= {name.split(".")[0]: path.name for name in names}
    ours = {"playground", "tests", "scripts", "app", "conftest", *(path.stem for path in files)}
    third_party = {name: path for name, path in found.items() if name not in sys.stdlib_module_names | ours}
    return {
        name: path
        for name, path in third_party.items()
        if not {canonicalize_name(one) for one in distributions().get(name, [name])} & set(required)
    }


def test_what_the_program_imports_is_required() -> None:
    files = [*(ROOT / "playground").rglob("*.py"), ROOT / "app.py"]
    assert not_required(files, requirements("requirements.txt")) == {}


def test_what_the_tests_import_is_required() -> None:
    files = [*(ROOT / "tests").rglob("*.py"), *(ROOT / "scripts").glob("*.py")]
    assert not_required(files, {*requirements("requirements.txt"), *requirements("requirements-dev.txt")}) == {}


def test_an_unlisted_import_is_found(tmp_path: Path) -> None:
    (tmp_path / "new.py").write_text("def f():\n    import pandas.api\n")
    assert not_required([tmp_path / "new.py"], ["numpy"]) == {"pandas": "new.py"}


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_every_range_has_a_pin_inside_it(name: str) -> None:
    pins = requirements("constraints.txt")
    for dist, wanted in requirements(name).items():
        assert dist in pins, f"{dist} is not pinned"
        (pin,) = pins[dist].specifier
        assert pin.operator == "=="
        assert wanted.specifier.contains(pin.version, prereleases=True), f"{wanted} against {pins[dist]}"


def test_pins_are_exact_and_name_no_place() -> None:
    for pin in requirements("constraints.txt").values():
        assert pin.url is None
        assert [one.operator for one in pin.specifier] == ["=="], pin
        assert "+" not in str(pin.specifier), f"{pin}: a local version exists on one index only"


def test_what_is_installed_is_what_is_pinned() -> None:
    wrong = {}
    for name, pin in requirements("constraints.txt").items():
        if pin.marker is None or pin.marker.evaluate():
            try:
                installed = importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                continue  # a dependency of another platform's wheels, CUDA's for instance
            if not pin.specifier.contains(installed, prereleases=True):
                wrong[name] = installed
    assert not wrong


REGISTRIES = ("pypi.", "files.pythonhosted.", "test.pypi.", "download.pytorch.", "registry.npmjs.", "deb.debian.")
ABSOLUTE = re.compile(r"(?<![\w.~-])/(?:work|root|opt)/")


def test_no_tracked_file_names_a_registry_or_a_machine_path() -> None:
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    found = []
    for name in filter(None, tracked.split("\0")):
        path = ROOT / name
        if path == Path(__file__) or not path.is_file():
            continue
        text = path.read_bytes().decode(errors="replace")
        hosts = [host for host in REGISTRIES if re.search(re.escape(host) + r"(org|com)\b", text)]
        found += [f"{name}: {one}" for one in (*hosts, *ABSOLUTE.findall(text))]
    assert not found


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with the Makefile and a venv whose Python only writes down what it is asked."""
    for name in ("Makefile", "requirements.txt", "requirements-dev.txt", "constraints.txt"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    stub = tmp_path / ".venv/bin/python"
    stub.parent.mkdir(parents=True)
    stub.write_text('#!/bin/sh\necho "$@" | head -1 >> asked\n[ ! -e fail ]\n')
    stub.chmod(0o755)
    (tmp_path / ".venv/.made").touch()
    return tmp_path


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(["make", *arguments], cwd=folder, capture_output=True, text=True, env=environment, timeout=60)


def asked(folder: Path) -> list[str]:
    """The commands since the last call."""
    log = folder / "asked"
    lines = log.read_text().splitlines() if log.exists() else []
    log.unlink(missing_ok=True)
    return lines


def test_make_installs_once_and_again_when_a_pin_changes(project: Path) -> None:
    assert make(project, "dev").returncode == 0
    first = asked(project)
    assert [line for line in first if "install -r" in line and "-c constraints.txt" not in line] == []
    assert make(project, "dev").returncode == 0
    assert asked(project) == []
    (project / "constraints.txt").write_text((project / "constraints.txt").read_text() + "zzz==1\n")
    assert make(project, "dev").returncode == 0
    assert len(asked(project)) == len(first)
    assert len(list((project / ".venv").glob(".installed*"))) == 2


def test_a_failed_install_is_tried_again(project: Path) -> None:
    (project / "fail").touch()
    assert make(project, "dev").returncode != 0
    asked(project)
    (project / "fail").unlink()
    assert make(project, "dev").returncode == 0
    assert any("pip install" in line for line in asked(project))


def test_an_old_python_is_refused(project: Path) -> None:
    (project / ".venv/.made").unlink()
    old = project / "python3"
    old.write_text('#!/bin/sh\n[ "$1" = -V ] && echo Python 3.9.2 && exit\nexit 1\n')
    old.chmod(0o755)
    done = make(project, "setup", f"PYTHON={old}")
    assert done.returncode != 0
    assert "3.11" in done.stderr and "3.9.2" in done.stderr
    missing = make(project, "setup", "PYTHON=no-such-python")
    assert missing.returncode != 0 and "no-such-python" in missing.stderr


def test_the_bundled_model_has_one_version() -> None:
    said = ["git", "grep", "-lE", f"{bundled.PACKAGE}==[0-9]"]
    files = subprocess.run(said, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert [ROOT / name for name in files] == [Path(bundled.__file__)]


def test_make_and_the_image_restore_the_bundled_model(project: Path) -> None:
    assert make(project, "setup").returncode == 0
    assert asked(project)[-1] == "-m playground setup"
    assert "\nRUN python -m playground setup\n" in (ROOT / "Dockerfile").read_text()
