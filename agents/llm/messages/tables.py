"""What a database has to do for a message store, and the one that is a pair of dictionaries."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from agents.llm.port import Message


@dataclass(frozen=True, slots=True)
class Link:
    """A message's place in a conversation.

    Attributes:
        sha256: Hash of the two below.
        parent: The link before it; None for the first.
        message: Hash of the message.
        position: Its number, from 1.
    """

    sha256: str
    parent: str | None
    message: str
    position: int


class MessageTables(Protocol):
    """Rows of messages and links. Blocks; safe to use from many threads at once."""

    def add(self, tenant: str, messages: Mapping[str, Message], links: Sequence[Link]) -> None:
        """Write what is not there yet, in one transaction; messages go by their hash."""

    def messages(self, tenant: str, hashes: Sequence[str]) -> dict[str, Message]:
        """Return the messages of these hashes, as far as they are here."""

    def position(self, tenant: str, link: str) -> int | None:
        """Return a link's number; None where there is no such link."""

    def chain(self, tenant: str, head: str) -> list[Message]:
        """Return the messages up to a link, oldest first; none where there is no such link."""

    def close(self) -> None:
        """Let go of connections."""


class MemoryTables:
    """`MessageTables` of this process alone, for tests and the in-process context."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._messages: dict[tuple[str, str], Message] = {}
        self._links: dict[tuple[str, str], Link] = {}

    def add(self, tenant: str, messages: Mapping[str, Message], links: Sequence[Link]) -> None:
        """See `MessageTables.add`."""
        with self._lock:
            for sha256, message in messages.items():
                self._messages.setdefault((tenant, sha256), message)
            for link in links:
                self._links.setdefault((tenant, link.sha256), link)

    def messages(self, tenant: str, hashes: Sequence[str]) -> dict[str, Message]:
        """See `MessageTables.messages`."""
        with self._lock:
            return {
                sha256: self._messages[tenant, sha256]
                for sha256 in hashes
                if (tenant, sha256) in self._messages
            }

    def position(self, tenant: str, link: str) -> int | None:
        """See `MessageTables.position`."""
        with self._lock:
            found = self._links.get((tenant, link))
        return found.position if found else None

    def chain(self, tenant: str, head: str) -> list[Message]:
        """See `MessageTables.chain`."""
        said: list[Message] = []
        with self._lock:
            link = self._links.get((tenant, head))
            while link is not None:
                said.append(self._messages[tenant, link.message])
                link = self._links.get((tenant, link.parent)) if link.parent else None
        return said[::-1]

    def close(self) -> None:
        """Nothing is held."""
