"""The places where a journal can live."""

import os
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest
from psycopg import sql

from tests.conformance.journal.making import Backend
from tests.conformance.postgres_server import PostgresServer, postgres_binaries


@pytest.fixture(scope="session")
def own_postgres() -> Iterator[PostgresServer]:
    """A Postgres server that a test may stop, crash and start."""
    binaries = postgres_binaries()
    if binaries is None:
        if "CI" in os.environ:
            pytest.fail("CI must provide Postgres: initdb and pg_ctl were not found")
        pytest.skip("Postgres is not installed: initdb and pg_ctl were not found")
    # Not below pytest's own folder: that is closed to the user that the server may run as.
    with TemporaryDirectory(prefix="muster-pg-") as folder:
        server = PostgresServer(Path(folder), binaries)
        server.create()
        server.start()
        try:
            yield server
        finally:
            server.stop("immediate")


@pytest.fixture(scope="session")
def new_postgres_database(own_postgres: PostgresServer) -> Callable[[], str]:
    """Makes empty databases and returns their URLs."""
    numbers = count(1)

    def create() -> str:
        name = f"muster_{next(numbers)}"
        with psycopg.connect(own_postgres.url("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return own_postgres.url(name)

    return create


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
