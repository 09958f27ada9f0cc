"""SQL of the documentation that reads the journal runs on a journal."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from tests.unit.markdown_pages import DOCS, blocks, name_of
from worker.journal.sql import SqlJournal

QUERIES = [
    (page, code)
    for page in sorted((DOCS / "operations").glob("*.md"))
    for language, code in blocks(page.read_text("utf-8"))
    if language == "sql"
]


@pytest.mark.parametrize(("page", "code"), QUERIES, ids=[name_of(page) for page, _ in QUERIES])
def test_queries_of_the_operations_guide_run(tmp_path: Path, page: Path, code: str) -> None:
    path = tmp_path / "journal.sqlite3"
    asyncio.run(made(f"sqlite:///{path}"))
    with sqlite3.connect(path) as connection:
        connection.execute(code)
    connection.close()


async def made(url: str) -> None:
    journal = SqlJournal(url)
    await journal.open()
    await journal.close()
