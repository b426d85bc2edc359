"""Fixtures that more than one package needs."""

from __future__ import annotations

import atexit
import gc
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import mcp  # noqa: F401 - before playground.web hides it from pages without --mcp
import pytest
from hypothesis import settings as hypothesis_settings
from sqlalchemy import Engine

from playground.models import bundled
from playground.models import hub as hub_module
from playground.store import database as store_database
from playground.store import migrations
from tests.fakes import postgres as postgresql
from tests.fakes.hub import Hub, serve

# No test asserts a time: a busy machine takes longer for an example.
hypothesis_settings.register_profile("patient", deadline=None)
hypothesis_settings.load_profile("patient")

# As in the engine's process: OpenMP reads it when torch is loaded, and spinning threads starve a busy machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")
for name in ("COLUMNS", "LINES", "FORCE_COLOR", "TTY_COMPATIBLE"):  # the window of whoever runs the tests
    os.environ.pop(name, None)


@pytest.fixture(autouse=True, scope="module")
def frozen() -> None:
    """What earlier modules left is not looked at again by `gc.collect`, which loading a model calls: it takes a second
    of a process that has imported everything."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def home(tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home folder: nothing of the user's is read or written."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("PLAYGROUND_HOME", str(folder))
    return folder


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    """The bundled model's, with its chat template."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(bundled.restore(), local_files_only=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[postgresql.Server]:
    """A running PostgreSQL server for all tests that ask for one."""
    if (programs := postgresql.binaries()) is None:
        pytest.skip("PostgreSQL's server is not installed: make postgres")
    with postgresql.serve(programs) as server:
        yield server


@pytest.fixture
def database(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Which database the store is in: `postgres.on_both` runs a test once with each."""
    kind = str(getattr(request, "param", "sqlite"))
    if kind == "sqlite":
        monkeypatch.delenv("PLAYGROUND_DATABASE_URL", raising=False)
        yield kind
        return
    server: postgresql.Server = request.getfixturevalue("postgres")
    with server.database() as address:
        monkeypatch.setenv("PLAYGROUND_DATABASE_URL", address)
        yield kind
        if store_database._engine.cache_info().currsize:
            store_database.engine().dispose()  # its pool, before the server cuts it off
        store_database._engine.cache_clear()


@pytest.fixture(autouse=True)
def store_of_its_own(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test writes into the user's database, also where it needs the user's cache; and only the store's own tests
    wait for the migrations of a new one."""
    if "home" not in request.fixturenames:
        own, path = tmp_path / store_database.FILE, store_database.path
        monkeypatch.delenv("PLAYGROUND_DATABASE_URL", raising=False)
        monkeypatch.setattr(store_database, "path", lambda: path() if "PLAYGROUND_HOME" in os.environ else own)
    if "store" not in request.path.parent.parts:
        monkeypatch.setattr(migrations, "upgrade", _copied_or_upgraded)


_upgrade = migrations.upgrade


def _copied_or_upgraded(engine: Engine) -> None:
    place = Path(engine.url.database or "")
    if engine.dialect.name == "sqlite" and not place.exists():
        shutil.copy(_empty_database(), place)
    else:
        _upgrade(engine)


@cache
def _empty_database() -> Path:
    """One that every migration has made, once for all tests."""
    folder = tempfile.mkdtemp(prefix="store-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    file = Path(folder) / store_database.FILE
    _upgrade(store_database.create(f"sqlite:///{file}"))
    return file


@pytest.fixture
def hub(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A running fake hub that this process and its children use, with an empty cache and no token."""
    from huggingface_hub import constants

    for name in ("PLAYGROUND_OFFLINE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HF_TOKEN", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with serve() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        monkeypatch.setenv("HF_HUB_CACHE", str(home / "hub"))
        monkeypatch.setenv("HF_TOKEN_PATH", str(home / "token"))
        monkeypatch.setattr(constants, "ENDPOINT", running.url)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", running.url + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(home / "token"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(hub_module, "_listings", {})
        monkeypatch.setattr(hub_module, "_described", {})
        yield running


@pytest.fixture(autouse=True)
def hub_libraries_as_they_were() -> Iterator[None]:
    """They read HF_HUB_OFFLINE when they are imported: the test that happens to import them would decide for all."""
    before = os.environ.get("HF_HUB_OFFLINE", "") == "1"
    yield
    for name in ("huggingface_hub.constants", "datasets.config"):
        if name in sys.modules:
            sys.modules[name].HF_HUB_OFFLINE = before  # type: ignore[attr-defined]
