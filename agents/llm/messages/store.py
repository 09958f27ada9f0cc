"""A message store over any tables: what is hashed, linked and checked is decided here."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from agents.llm.errors import MessagesMissing
from agents.llm.messages.port import Conversation
from agents.llm.messages.tables import Link, MessageTables
from agents.llm.port import Message
from envelope.canonical import content_hash


class Messages:
    """A `MessageStore`. The database is asked in threads, so the event loop never waits for it.

    Args:
        tables: Where the rows are.
    """

    def __init__(self, tables: MessageTables) -> None:
        self._tables = tables

    async def put(self, messages: Sequence[Message], *, tenant: str) -> list[str]:
        """Keep messages; see `MessageStore.put`."""
        hashes = [_hash(message) for message in messages]
        await asyncio.to_thread(
            self._tables.add, tenant, dict(zip(hashes, messages, strict=True)), ()
        )
        return hashes

    async def get(self, hashes: Sequence[str], *, tenant: str) -> list[Message]:
        """Return messages; see `MessageStore.get`."""
        found = await asyncio.to_thread(self._tables.messages, tenant, hashes)
        missing = [sha256 for sha256 in hashes if sha256 not in found]
        if missing:
            raise MessagesMissing(
                f"{len(missing)} of {len(hashes)} messages are not in the store of this tenant, "
                f"such as {missing[0][:64]!r}. Put them there first."
            )
        return [found[sha256] for sha256 in hashes]

    async def extend(
        self, conversation: Conversation, messages: Sequence[Message], *, tenant: str
    ) -> Conversation:
        """Keep what was said next; see `MessageStore.extend`."""
        await asyncio.to_thread(self._check, conversation, tenant)
        hashes = [_hash(message) for message in messages]
        links = _links(conversation, hashes)
        await asyncio.to_thread(
            self._tables.add, tenant, dict(zip(hashes, messages, strict=True)), links
        )
        head = links[-1].sha256 if links else conversation.head
        return Conversation(head=head, length=conversation.length + len(links))

    async def read(self, conversation: Conversation, *, tenant: str) -> list[Message]:
        """Return what was said; see `MessageStore.read`."""
        if conversation.head is None:
            return []
        said = await asyncio.to_thread(self._tables.chain, tenant, conversation.head)
        if len(said) != conversation.length:
            raise _no_such(conversation)
        return said

    def close(self) -> None:
        """Let go of connections."""
        self._tables.close()

    def _check(self, conversation: Conversation, tenant: str) -> None:
        head, present = conversation.head, 0
        if head is not None:
            present = self._tables.position(tenant, head) or 0
        if present != conversation.length:
            raise _no_such(conversation)


def _links(conversation: Conversation, hashes: Sequence[str]) -> list[Link]:
    parent, links = conversation.head, list[Link]()
    for position, message in enumerate(hashes, conversation.length + 1):
        link = Link(content_hash([parent, message]), parent, message, position)
        links.append(link)
        parent = link.sha256
    return links


def _hash(message: Message) -> str:
    return content_hash([message.role, message.text])


def _no_such(conversation: Conversation) -> MessagesMissing:
    return MessagesMissing(
        f"No conversation of {conversation.length} messages ends in {conversation.head!r} in the "
        "store of this tenant. Hand over a Conversation as MessageStore.extend returned it."
    )
