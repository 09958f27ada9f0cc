"""The examples of the how-to page about databases run as they stand, on both databases."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path
from typing import Any

import psycopg
import pytest

from agents.coordinator import coordinator
from agents.db_write.tables import TableStore, table_write
from agents.db_write.tables.opening import table_store
from agents.db_write.tables.sqlite_tables import SqliteTables
from agents.sql.errors import StoreBroken

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "write-to-a-database.md"
_PYTHON = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
_SQL = re.compile(r"^```sql\n(.*?)^```", re.MULTILINE | re.DOTALL)
_TEXT = re.compile(r"^```text\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_the_examples_run(
    kind: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    page = PAGE.read_text()
    url = f"sqlite:///{tmp_path}/own.sqlite3"
    statement = _SQL.findall(page)[0]
    if kind == "postgres":
        url = request.getfixturevalue("database")
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(statement.encode())
    else:
        with sqlite3.connect(tmp_path / "own.sqlite3") as file:
            file.execute(statement)
        file.close()
    assert callable(table_write)
    assert callable(coordinator)
    names: dict[str, Any] = {"tables_url": url, "home": tmp_path, "__name__": "keep_companies"}
    for example in _PYTHON.findall(page):
        exec(compile(example, PAGE.name, "exec", dont_inherit=True), names)  # noqa: S102 - our own page
    names["resources"].close()
    shown = _TEXT.findall(page)
    said = capsys.readouterr().out.splitlines()
    printed = [line for line in said if "[warning" not in line]
    assert printed == (shown[0] + shown[-1]).splitlines()


def test_a_url_says_where_the_tables_are(tmp_path: Path) -> None:
    embedded: TableStore = table_store(None, tmp_path)
    assert isinstance(embedded, SqliteTables)
    embedded.close()
    with pytest.raises(StoreBroken, match="live at"):
        table_store("mysql://u:s3cret@h/d", tmp_path)
