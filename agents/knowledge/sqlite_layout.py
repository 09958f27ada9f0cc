"""The tables of knowledge in a SQLite file.

Tables:
    documents: id, collection, path, sha256, fingerprint, metadata (JSON).
    texts: id, sha256, heading, text. A distinct passage, stored and indexed once.
    passages: document_id, start, text_id, page, row. Where a text stands.
    texts_fts: The telling words of texts, by rowid.
    vectors: text_id, model, numbers (32-bit floats). A text's vector.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from typing import Final

from agents.sql.errors import StoreBroken
from agents.sql.sqlite import SqliteFile

_LAYOUT: Final = 2
_OLDER_TABLES: Final = ("texts_fts", "passages", "texts", "documents")
_TABLES: Final = (
    """CREATE TABLE documents(
        id INTEGER PRIMARY KEY,
        collection TEXT NOT NULL,
        path TEXT NOT NULL,
        sha256 TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        metadata TEXT NOT NULL,
        UNIQUE(collection, path))""",
    """CREATE TABLE texts(
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        sha256 TEXT NOT NULL,
        heading TEXT NOT NULL,
        text TEXT NOT NULL,
        UNIQUE(sha256, heading))""",
    """CREATE TABLE passages(
        document_id INTEGER NOT NULL REFERENCES documents ON DELETE CASCADE,
        start INTEGER NOT NULL,
        text_id INTEGER NOT NULL REFERENCES texts,
        page INTEGER,
        row INTEGER,
        PRIMARY KEY(document_id, start)) WITHOUT ROWID""",
    "CREATE INDEX passages_by_text ON passages(text_id)",
    """CREATE VIRTUAL TABLE texts_fts USING fts5(
        heading, text, tokenize='porter unicode61 remove_diacritics 2')""",
    """CREATE TRIGGER texts_removed AFTER DELETE ON texts BEGIN
        DELETE FROM texts_fts WHERE rowid = old.id; END""",
    """CREATE TABLE vectors(
        text_id INTEGER PRIMARY KEY REFERENCES texts ON DELETE CASCADE,
        model TEXT NOT NULL,
        numbers BLOB NOT NULL)""",
)


class SqliteLayout:
    """Makes the tables on first use.

    Tables of an older layout are made anew and empty: what they held is a copy of documents, which
    the next ingestion brings back.

    Args:
        file: The file.
    """

    def __init__(self, file: SqliteFile) -> None:
        self._file = file
        self._present = False
        self._lock = threading.Lock()

    def ensure(self) -> None:
        """Make what is missing.

        Raises:
            StoreBroken: The file was written by a newer version.
        """
        with self._lock:
            if not self._present:
                self._ensure()
                self._present = True

    def _ensure(self) -> None:
        with self._file.reading() as connection:
            if self._version(connection) == _LAYOUT:
                return
        with self._file.writing() as connection:
            version = self._version(connection)
            if version == _LAYOUT:
                return
            if version:
                self._drop(connection)
            for statement in _TABLES:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {_LAYOUT}")

    def _version(self, connection: sqlite3.Connection) -> int:
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        if version > _LAYOUT:
            raise StoreBroken(
                f"The store {self._file.path.name} was written by a newer version. "
                "Update Muster, or name another home folder."
            )
        return version

    def _drop(self, connection: sqlite3.Connection) -> None:
        logging.getLogger(__name__).warning(
            "knowledge of an older layout is dropped from %s; ingest the documents again",
            self._file.path.name,
        )
        for table in _OLDER_TABLES:
            connection.execute(f"DROP TABLE IF EXISTS {table}")
