"""How much room a long conversation takes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import pytest
from pydantic import BaseModel

from agents import agent
from agents.llm import Check, Generated, LanguageModel, Message, Prompt
from agents.llm.messages import Conversation, MessageStore, message_store
from envelope.canonical import canonical_json
from envelope.envelope import Envelope
from envelope.ports.context import AgentContext
from envelope.resources import Resources
from envelope.usage import Usage
from tests.rig.agent_step import AgentStep

M = TypeVar("M", bound=BaseModel)


class Said(BaseModel):
    text: str


class Next(BaseModel):
    conversation: Conversation
    say: str


class Parrot:
    """Answers with 300 characters and notes how much it was given."""

    name = "parrot"

    def __init__(self) -> None:
        self.given: list[int] = []

    async def generate(
        self, prompt: Prompt, output: type[M], *, check: Check | None = None, **_: Any
    ) -> Generated[M]:
        self.given.append(sum(len(message.text) for message in prompt.history))
        made = output.model_validate({"text": f"{len(self.given):04} " + "y" * 295})
        return Generated(made, self.name, Usage(), prompt.sha256(output))


@agent("llm-talker", inline=True)
async def talker(ctx: AgentContext, request: Next) -> Envelope:
    """Go on with a conversation."""
    store = ctx.resource(MessageStore)  # type: ignore[type-abstract] # a port
    model = ctx.resource(LanguageModel)  # type: ignore[type-abstract] # a port
    history = await store.read(request.conversation, tenant=ctx.tenant)
    prompt = Prompt(instructions="Talk.", task={"say": request.say}, history=history)
    made = await model.generate(prompt, Said)
    said = [
        Message(role="user", text=request.say),
        Message(role="assistant", text=made.output.text),
    ]
    longer = await store.extend(request.conversation, said, tenant=ctx.tenant)
    row = {"text": made.output.text, "conversation": longer.model_dump()}
    return Envelope.from_records([row], source="llm-talker")


class Talk:
    """A conversation that begins with 200,000 tokens, call after call."""

    def __init__(self, store: MessageStore) -> None:
        self.parrot = Parrot()
        self.journal_bytes: list[int] = []
        resources = Resources()
        resources.provide(MessageStore, lambda: store)  # type: ignore[type-abstract] # a port
        resources.provide(LanguageModel, lambda: self.parrot)  # type: ignore[type-abstract] # a port
        self._step = AgentStep(resources)
        self._conversation = asyncio.run(
            store.extend(Conversation(), long_beginning(), tenant="default")
        )

    def call(self, number: int) -> None:
        request = Next(conversation=self._conversation, say=f"{number:04} " + "x" * 295)
        envelope = self._step.run("llm-talker", request)
        self._conversation = Conversation.model_validate(envelope.records[0].data["conversation"])
        text = canonical_json(request.model_dump(mode="json")) + envelope.to_json()
        self.journal_bytes.append(len(text.encode()))


def long_beginning() -> Sequence[Message]:
    """800,000 bytes that do not compress."""
    dice = random.Random(7)
    return [
        Message(role="user" if number % 2 else "assistant", text=dice.randbytes(2_000).hex())
        for number in range(200)
    ]


CONTENT_BYTES = 800_000
SAID_BYTES = 600


def sqlite_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("messages.sqlite3*"))


def postgres_bytes(url: str) -> int:
    with psycopg.connect(url) as connection:
        row: Any = connection.execute(
            "SELECT pg_total_relation_size('muster_messages.messages')"
            " + pg_total_relation_size('muster_messages.links')"
        ).fetchone()
    return int(row[0])


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_hundred_calls_at_200k_tokens_take_room_once(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Journalled whole, each call would take 800 KB: 80 MB in all."""
    url = request.getfixturevalue("database") if kind == "postgres" else None
    store = message_store(url, tmp_path)
    talk = Talk(store)
    for number in range(100):
        talk.call(number)
    store.close()
    assert talk.parrot.given[0] == CONTENT_BYTES
    assert talk.parrot.given[-1] == CONTENT_BYTES + 99 * SAID_BYTES, "the model is given all of it"

    assert max(talk.journal_bytes) - min(talk.journal_bytes) < 50, "no call takes more than another"
    assert max(talk.journal_bytes) < 3_000
    stored = postgres_bytes(url) if url else sqlite_bytes(tmp_path)
    whole = CONTENT_BYTES + 100 * SAID_BYTES
    print(f"{kind}: {stored:,} bytes stored, {sum(talk.journal_bytes):,} journalled")
    assert stored < 2 * whole
    assert stored + sum(talk.journal_bytes) < 2_000_000 < 100 * CONTENT_BYTES / 30
