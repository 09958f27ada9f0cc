"""Postgres URLs as Supabase and Vercel hand them out."""

from __future__ import annotations

import pytest

from agents.sql.errors import StoreBroken
from agents.sql.postgres import PostgresDatabase
from agents.sql.postgres_url import libpq_url

HOST = "aws-0-eu-central-1.pooler.supabase.com:6543"


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ("postgres://u:p@h/d", "postgresql://u:p@h/d"),
        ("postgresql+psycopg://u:p@h:5432/d", "postgresql://u:p@h:5432/d"),
        (
            f"postgres://postgres.ref:p%23w@{HOST}/postgres?pgbouncer=true&connection_limit=1",
            f"postgresql://postgres.ref:p%23w@{HOST}/postgres",
        ),
        (
            f"postgres://u:p@{HOST}/postgres?sslmode=require&supa=base-pooler.x",
            f"postgresql://u:p@{HOST}/postgres?sslmode=require",
        ),
        (
            "postgresql://u@h/d?sslmode=verify-full&sslrootcert=/etc/prod-ca.crt",
            "postgresql://u@h/d?sslmode=verify-full&sslrootcert=%2Fetc%2Fprod-ca.crt",
        ),
        ("postgresql://u@a:1,b:2/d", "postgresql://u@a:1,b:2/d"),
    ],
)
def test_what_libpq_does_not_know_is_dropped_and_the_rest_stays(given: str, made: str) -> None:
    assert libpq_url(given) == made


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:s3cret/pw@h/d",
        "postgresql://u:s3cret%zz@h/d",
        "postgresql://u:s3cret@h:port/d",
        "postgresql://u:s3cret@[h/d",
        "postgresql://u:s3cret@h/d?nonsense=s3cret",
        "mysql://u:s3cret@h/d",
    ],
)
def test_an_unreadable_url_is_refused_and_none_of_it_repeated(url: str) -> None:
    store = PostgresDatabase(url, "SELECT true", [])
    with pytest.raises(StoreBroken, match="percent-encoded") as caught, store.transaction():
        pass
    assert "s3cret" not in f"{caught.value}{caught.value.__cause__}"


def test_a_server_without_tls_is_not_spoken_to_where_tls_is_required(database: str) -> None:
    store = PostgresDatabase(f"{database}?sslmode=require", "SELECT true", [])
    with pytest.raises(Exception, match="SSL") as caught, store.transaction():
        pass
    assert getattr(caught.value, "code", "") == "STORE_UNAVAILABLE"
