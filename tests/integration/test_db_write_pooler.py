"""The stores behind PgBouncer in transaction mode, as behind Supabase's pooler on port 6543."""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from agents.db_write import StoredRecord
from agents.db_write.postgres_records import PostgresRecords
from agents.db_write.tables import declare_table
from agents.db_write.tables.postgres_tables import PostgresTables
from envelope import Record
from tests.services.child import Child
from tests.services.ports import free_port
from tests.services.presence import missing
from tests.services.waiting import wait_until

POOLED = declare_table("fpooled", {"id": "integer", "text": "text"}, key=["id"], table="pooled")


@pytest.fixture
def pooled(database: str) -> Iterator[str]:
    """The database's URL through a pool of two server connections."""
    binary = shutil.which("pgbouncer")
    if binary is None:
        missing("PgBouncer", "install the package pgbouncer")
    folder = Path(tempfile.mkdtemp(prefix="muster-pgbouncer-"))
    there, port = urlsplit(database), free_port()
    (folder / "users.txt").write_text('"postgres" ""\n')
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\n* = host=127.0.0.1 port={there.port}\n[pgbouncer]\n"
        f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = trust\n"
        f"auth_file = {folder}/users.txt\npool_mode = transaction\ndefault_pool_size = 2\n"
    )
    user: dict[str, int] = {}
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        user = {"user": nobody.pw_uid, "group": nobody.pw_gid}
        for path in (folder, *folder.iterdir()):
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
    log = folder / "log.txt"
    child = Child([binary, str(folder / "pgbouncer.ini")], log, cwd=folder, **user)
    url = f"postgresql://postgres@127.0.0.1:{port}{there.path}?pgbouncer=true"
    try:
        wait_until(lambda: child.ended or _answers(url.partition("?")[0]), 20, f"PgBouncer, {log}")
        assert not child.ended, log.read_text()
        yield url
    finally:
        child.kill()
        shutil.rmtree(folder, ignore_errors=True)


def _answers(url: str) -> bool:
    try:
        with psycopg.connect(url, connect_timeout=2):
            return True
    except psycopg.Error:
        return False


def test_many_clients_share_two_connections(pooled: str, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE TABLE pooled(id int PRIMARY KEY, text text)")
    problems: list[BaseException] = []

    def work(number: int) -> None:
        records, tables = PostgresRecords(pooled), PostgresTables(pooled)
        try:
            for turn in range(5):
                row = StoredRecord(
                    tenant="t",
                    key=f"k{number}",
                    run_id="r",
                    record=Record.of({"n": number, "turn": turn}, source="test"),
                )
                records.upsert("fpooled", [row])
                tables.upsert(POOLED, [{"id": number, "text": f"{turn}"}])
                assert records.read("fpooled", "t", f"k{number}") == row
                assert tables.select(POOLED, where={"id": number})[0]["text"] == f"{turn}"
        except BaseException as problem:
            problems.append(problem)
        finally:
            records.close()
            tables.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert problems == []
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT count(*) FROM pooled").fetchone() == (8,)


def test_nothing_is_left_in_the_shared_session(pooled: str) -> None:
    records = PostgresRecords(pooled)
    records.count("fpooled", "t")
    with psycopg.connect(pooled.partition("?")[0], autocommit=True) as other:
        assert other.execute("SHOW statement_timeout").fetchone() == ("0",)
        assert other.execute("SELECT count(*) FROM pg_prepared_statements").fetchone() == (0,)
    records.close()
