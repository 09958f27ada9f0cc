"""The servers that all other tests rely on are real and belong to the tests."""

import psycopg
from redis import Redis


def test_redis_is_real(redis_url: str) -> None:
    with Redis.from_url(redis_url) as client:
        client.set("muster", "here")
        assert client.get("muster") == b"here"


def test_each_test_has_a_database_of_its_own(database: str, postgres_url: str) -> None:
    assert database != postgres_url
    with psycopg.connect(database) as connection:
        connection.execute("CREATE TABLE runs (id int)")
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        assert tables.fetchall() == [("runs",)]


def test_another_test_sees_no_table(database: str) -> None:
    with psycopg.connect(database) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        assert tables.fetchall() == []
