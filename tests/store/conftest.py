"""Every test of the store runs against SQLite and against PostgreSQL, unless it says `on_sqlite` or `on_postgresql`."""

from __future__ import annotations

import pytest

from tests.fakes.postgres import BOTH


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`home` asks for `database`, so that a test need not."""
    named = [mark.args[0] for mark in metafunc.definition.iter_markers("parametrize")]
    if "database" in metafunc.fixturenames and "database" not in named:
        metafunc.parametrize("database", BOTH, indirect=True)
