"""Messages in Postgres.

Tables, in a schema of their own, so that they never meet the journal's in a shared database:
    muster_messages.messages: tenant, sha256, role, text. Each content once.
    muster_messages.links: tenant, sha256, parent, message, position. A message's place in a
        conversation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from agents.llm.messages.tables import Link
from agents.llm.port import Message
from agents.sql.postgres import PostgresDatabase

_PRESENT: Final = "SELECT to_regclass('muster_messages.links') IS NOT NULL"
_SCHEMA: Final = (
    "CREATE SCHEMA IF NOT EXISTS muster_messages",
    """CREATE TABLE muster_messages.messages(
        tenant text NOT NULL,
        sha256 text NOT NULL,
        role text NOT NULL,
        text text NOT NULL,
        PRIMARY KEY(tenant, sha256))""",
    """CREATE TABLE muster_messages.links(
        tenant text NOT NULL,
        sha256 text NOT NULL,
        parent text,
        message text NOT NULL,
        position integer NOT NULL,
        PRIMARY KEY(tenant, sha256),
        FOREIGN KEY(tenant, message) REFERENCES muster_messages.messages(tenant, sha256))""",
)
_CHAIN: Final = """
    WITH RECURSIVE chain AS (
        SELECT parent, message, position FROM muster_messages.links
        WHERE tenant = %(tenant)s AND sha256 = %(head)s
        UNION ALL
        SELECT links.parent, links.message, links.position FROM muster_messages.links, chain
        WHERE links.tenant = %(tenant)s AND links.sha256 = chain.parent)
    SELECT said.role, said.text FROM chain, muster_messages.messages said
    WHERE said.tenant = %(tenant)s AND said.sha256 = chain.message ORDER BY chain.position"""


class PostgresTables:
    """`MessageTables` in Postgres.

    Args:
        url: The database.
    """

    def __init__(self, url: str) -> None:
        self._database = PostgresDatabase(url, _PRESENT, _SCHEMA)

    def add(self, tenant: str, messages: Mapping[str, Message], links: Sequence[Link]) -> None:
        """See `MessageTables.add`."""
        # In the order of their hashes: two writers of the same messages must not deadlock.
        said = sorted(messages.items())
        placed = sorted(links, key=lambda link: link.sha256)
        with self._database.transaction() as connection, connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO muster_messages.messages(tenant, sha256, role, text)"
                " VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
                [(tenant, sha256, message.role, message.text) for sha256, message in said],
            )
            cursor.executemany(
                "INSERT INTO muster_messages.links(tenant, sha256, parent, message, position)"
                " VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
                [(tenant, one.sha256, one.parent, one.message, one.position) for one in placed],
            )

    def messages(self, tenant: str, hashes: Sequence[str]) -> dict[str, Message]:
        """See `MessageTables.messages`."""
        with self._database.transaction() as connection:
            rows: list[Any] = connection.execute(
                "SELECT sha256, role, text FROM muster_messages.messages"
                " WHERE tenant = %s AND sha256 = ANY(%s)",
                [tenant, list(hashes)],
            ).fetchall()
        return {sha256: Message(role=role, text=text) for sha256, role, text in rows}

    def position(self, tenant: str, link: str) -> int | None:
        """See `MessageTables.position`."""
        with self._database.transaction() as connection:
            row: Any = connection.execute(
                "SELECT position FROM muster_messages.links WHERE tenant = %s AND sha256 = %s",
                [tenant, link],
            ).fetchone()
        return int(row[0]) if row else None

    def chain(self, tenant: str, head: str) -> list[Message]:
        """See `MessageTables.chain`."""
        with self._database.transaction() as connection:
            rows: list[Any] = connection.execute(
                _CHAIN, {"tenant": tenant, "head": head}
            ).fetchall()
        return [Message(role=role, text=text) for role, text in rows]

    def close(self) -> None:
        """Close the connections."""
        self._database.close()
