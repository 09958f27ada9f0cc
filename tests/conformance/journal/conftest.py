"""The places where a journal can live."""

from pathlib import Path

import pytest

from tests.conformance.journal.making import Backend


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    """Every place where a journal can live, empty."""
    return _backend(request.param, request, tmp_path)


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    """Every database that a journal can live in, empty."""
    return _backend(request.param, request, tmp_path)


def _backend(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    if name == "sqlite":
        return Backend(name, f"sqlite:///{tmp_path / 'journal.db'}")
    if name == "postgres":
        return Backend(name, request.getfixturevalue("new_postgres_database")())
    return Backend(name)
