"""The message store in memory, in SQLite and in Postgres."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agents.llm import Message
from agents.llm.errors import MessagesMissing
from agents.llm.messages import Conversation, MessageStore, memory_messages, message_store
from envelope.errors import InvalidInput

NewStore = Callable[[], MessageStore]

HI, YES = Message(role="user", text="Hi  Wörld"), Message(role="assistant", text="Yes?")


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def new_store(request: pytest.FixtureRequest, tmp_path: Path) -> NewStore:
    """Opens the same store again and again; the one in memory can be opened once."""
    if request.param == "memory":
        only = memory_messages()
        return lambda: only
    url = request.getfixturevalue("database") if request.param == "postgres" else None
    return lambda: message_store(url, tmp_path)


@pytest.fixture
def store(new_store: NewStore) -> Any:
    made = new_store()
    yield made
    made.close()


def test_what_is_put_comes_back_in_order(store: MessageStore) -> None:
    async def test() -> None:
        hashes = await store.put([HI, YES, HI], tenant="a")
        assert hashes[0] == hashes[2] != hashes[1]
        assert await store.get(hashes[::-1], tenant="a") == [HI, YES, HI]
        assert await store.put([YES], tenant="a") == [hashes[1]]
        assert await store.get([], tenant="a") == []
        assert await store.put([], tenant="a") == []
        with pytest.raises(MessagesMissing, match="1 of 2"):
            await store.get([hashes[0], "0" * 64], tenant="a")

    asyncio.run(test())


def test_the_role_is_part_of_the_content(store: MessageStore) -> None:
    async def test() -> None:
        said = [Message(role=role, text="same") for role in ("user", "assistant")]  # type: ignore[arg-type]
        hashes = await store.put(said, tenant="a")
        assert await store.get(hashes, tenant="a") == said

    asyncio.run(test())


def test_a_conversation_grows_branches_and_is_found_again(new_store: NewStore) -> None:
    async def test() -> None:
        store, other = new_store(), new_store()
        begun = await store.extend(Conversation(), [HI, YES], tenant="a")
        assert begun.length == 2
        left = await store.extend(begun, [HI], tenant="a")
        right = await other.extend(begun, [YES, YES], tenant="a")
        assert await other.read(left, tenant="a") == [HI, YES, HI]
        assert await store.read(right, tenant="a") == [HI, YES, YES, YES]
        assert await store.read(begun, tenant="a") == [HI, YES]
        assert await store.read(Conversation(), tenant="a") == []
        assert await store.extend(begun, [], tenant="a") == begun
        assert await other.extend(begun, [HI], tenant="a") == left, (
            "a repeated step changes nothing"
        )
        store.close()
        other.close()

    asyncio.run(test())


def test_a_tenant_sees_its_own_alone(store: MessageStore) -> None:
    async def test() -> None:
        begun = await store.extend(Conversation(), [HI], tenant="a")
        hashes = await store.put([HI], tenant="a")
        for attempt in (
            store.read(begun, tenant="b"),
            store.extend(begun, [YES], tenant="b"),
            store.get(hashes, tenant="b"),
        ):
            with pytest.raises(MessagesMissing):
                await attempt
        assert await store.extend(Conversation(), [HI], tenant="b") == begun

    asyncio.run(test())


@pytest.mark.parametrize(
    "wrong",
    [
        {"head": "0" * 64, "length": 1},
        {"head": None, "length": 1},
        {"length": 3},
        {"length": 1},
    ],
)
def test_a_conversation_that_was_made_up_is_refused(
    store: MessageStore, wrong: dict[str, Any]
) -> None:
    async def test() -> None:
        begun = await store.extend(Conversation(), [HI, YES], tenant="a")
        made_up = begun.model_copy(update=wrong)
        with pytest.raises(MessagesMissing):
            await store.extend(made_up, [HI], tenant="a")
        if made_up.head:
            with pytest.raises(MessagesMissing):
                await store.read(made_up, tenant="a")

    asyncio.run(test())


@pytest.mark.parametrize("text", ["a\x00b", "\ud800"])
def test_what_no_database_takes_is_refused(store: MessageStore, text: str) -> None:
    async def test() -> None:
        strange = Message.model_construct(role="user", text=text)
        with pytest.raises(InvalidInput):
            await store.put([HI, strange], tenant="a")
        with pytest.raises(InvalidInput):
            await store.extend(Conversation(), [strange], tenant="a")

    asyncio.run(test())


def test_many_write_the_same_at_once(new_store: NewStore) -> None:
    async def test() -> None:
        stores = [new_store() for _ in range(4)]
        said = [Message(role="user", text=f"line {number}") for number in range(50)]
        made = await asyncio.gather(
            *(store.extend(Conversation(), said, tenant="a") for store in stores * 3)
        )
        assert len(set(made)) == 1
        assert await stores[0].read(made[0], tenant="a") == said
        for store in stores:
            store.close()

    asyncio.run(test())
