"""Fixtures that more than one package needs."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from playground.catalog import hub as hub_module
from playground.store import database as store_database
from tests.fakes import postgres as postgresql
from tests.fakes.hub import Hub, serve

# As in the engine's process: OpenMP reads it when torch is loaded, and spinning threads starve a busy machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture
def home(tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home folder: nothing of the user's is read or written."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("PLAYGROUND_HOME", str(folder))
    return folder


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


@pytest.fixture
def hub(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A running fake hub that this process and its children use, with an empty cache and no token."""
    from huggingface_hub import constants

    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
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
