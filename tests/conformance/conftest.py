"""A Postgres that the conformance tests share, and may stop and start."""

import os
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest
from psycopg import sql

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
