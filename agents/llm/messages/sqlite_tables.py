"""Messages in a SQLite file.

Tables:
    messages: tenant, sha256, role, text. Each content once.
    links: tenant, sha256, parent, message, position. A message's place in a conversation.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from agents.llm.messages.tables import Link
from agents.llm.port import Message
from agents.sql.sqlite import SqliteFile

_SCHEMA: Final = (
    """CREATE TABLE IF NOT EXISTS messages(
        tenant TEXT NOT NULL,
        sha256 TEXT NOT NULL,
        role TEXT NOT NULL,
        text TEXT NOT NULL,
        PRIMARY KEY(tenant, sha256))""",
    """CREATE TABLE IF NOT EXISTS links(
        tenant TEXT NOT NULL,
        sha256 TEXT NOT NULL,
        parent TEXT,
        message TEXT NOT NULL,
        position INTEGER NOT NULL,
        PRIMARY KEY(tenant, sha256),
        FOREIGN KEY(tenant, message) REFERENCES messages(tenant, sha256)) WITHOUT ROWID""",
)
_CHAIN: Final = """
    WITH RECURSIVE chain(parent, message, position) AS (
        SELECT parent, message, position FROM links WHERE tenant = :tenant AND sha256 = :head
        UNION ALL
        SELECT links.parent, links.message, links.position FROM links, chain
        WHERE links.tenant = :tenant AND links.sha256 = chain.parent)
    SELECT messages.role, messages.text FROM chain, messages
    WHERE messages.tenant = :tenant AND messages.sha256 = chain.message ORDER BY chain.position"""


class SqliteTables:
    """`MessageTables` in a SQLite file, which several processes may share.

    Args:
        path: The file; it and its folder are made on first use. Not the journal's file.
    """

    def __init__(self, path: Path | str) -> None:
        self._file = SqliteFile(path, _SCHEMA)

    def add(self, tenant: str, messages: Mapping[str, Message], links: Sequence[Link]) -> None:
        """See `MessageTables.add`."""
        with self._file.writing() as connection:
            connection.executemany(
                "INSERT OR IGNORE INTO messages(tenant, sha256, role, text) VALUES (?, ?, ?, ?)",
                [(tenant, sha256, said.role, said.text) for sha256, said in messages.items()],
            )
            connection.executemany(
                "INSERT OR IGNORE INTO links(tenant, sha256, parent, message, position)"
                " VALUES (?, ?, ?, ?, ?)",
                [(tenant, one.sha256, one.parent, one.message, one.position) for one in links],
            )

    def messages(self, tenant: str, hashes: Sequence[str]) -> dict[str, Message]:
        """See `MessageTables.messages`."""
        with self._file.reading() as connection:
            rows = connection.execute(
                "SELECT sha256, role, text FROM messages"
                " WHERE tenant = ? AND sha256 IN (SELECT value FROM json_each(?))",
                [tenant, json.dumps(list(hashes))],
            ).fetchall()
        return {sha256: Message(role=role, text=text) for sha256, role, text in rows}

    def position(self, tenant: str, link: str) -> int | None:
        """See `MessageTables.position`."""
        with self._file.reading() as connection:
            row = connection.execute(
                "SELECT position FROM links WHERE tenant = ? AND sha256 = ?", [tenant, link]
            ).fetchone()
        return row[0] if row else None

    def chain(self, tenant: str, head: str) -> list[Message]:
        """See `MessageTables.chain`."""
        with self._file.reading() as connection:
            rows = connection.execute(_CHAIN, {"tenant": tenant, "head": head}).fetchall()
        return [Message(role=role, text=text) for role, text in rows]

    def close(self) -> None:
        """Close the file."""
        self._file.close()
