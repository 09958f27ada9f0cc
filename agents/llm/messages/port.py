"""The port: messages go in and hashes come out; a conversation is the hash of its last link."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Protocol

from pydantic import Field, NonNegativeInt

from agents.llm.port import Message
from envelope.model import Contract

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Conversation(Contract):
    """A conversation whose messages are in a `MessageStore`: small enough for any step's input.

    Each message is a link that hashes the message together with the link before it, as commits do,
    so the last hash stands for all of them. Ten thousand messages take as much room as one.

    Attributes:
        head: Hash of the last link; None where nothing was said yet.
        length: How many messages there are.
    """

    head: Sha256 | None = None
    length: NonNegativeInt = 0


class MessageStore(Protocol):
    """Keeps each message of a tenant once, under the hash of its content.

    Nothing is ever changed, so a step that runs twice writes what is there already.
    """

    async def put(self, messages: Sequence[Message], *, tenant: str) -> list[str]:
        """Keep `messages` and return their hashes, in order.

        Raises:
            InvalidInput: A text holds NUL or a lone surrogate.
            StoreUnavailable: The database is away: worth another attempt.
        """

    async def get(self, hashes: Sequence[str], *, tenant: str) -> list[Message]:
        """Return the messages of these hashes, in order.

        Raises:
            MessagesMissing: One of them is not here, or is another tenant's.
            StoreUnavailable: As for `put`.
        """

    async def extend(
        self, conversation: Conversation, messages: Sequence[Message], *, tenant: str
    ) -> Conversation:
        """Keep `messages` as what follows `conversation`, and return the longer conversation.

        Two who extend the same conversation get two that share their beginning.

        Raises:
            MessagesMissing: The conversation is not here, or is another tenant's.
            InvalidInput: As for `put`.
            StoreUnavailable: As for `put`.
        """

    async def read(self, conversation: Conversation, *, tenant: str) -> list[Message]:
        """Return all messages of a conversation, oldest first.

        Raises:
            MessagesMissing: As for `extend`.
            StoreUnavailable: As for `put`.
        """

    def close(self) -> None:
        """Let go of connections."""
