"""One suite for what processes share: on Redis, and in this process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest
from redis import Redis

from envelope.answers import Answers
from envelope.errors import InvalidInput, QueueUnavailable
from envelope.ports.shared import SharedStore
from orchestrators.flow import CircuitPolicy, CircuitState
from orchestrators.flow.circuit import Circuit
from tests.services.ports import free_port
from tests.services.redis_server import PrivateRedis
from worker.coordination.shared.in_process import InProcessShared
from worker.coordination.shared.redis_shared import RedisShared

LONG = 60.0
SHORT = 0.05

Make = Callable[[], Any]


@pytest.fixture(params=["in_process", "redis"])
def make(request: pytest.FixtureRequest) -> Make:
    """Makes the store as one process sees it; what it makes shares its values."""
    if request.param == "in_process":
        one = InProcessShared()
        return lambda: one
    url = request.getfixturevalue("redis_url")
    return lambda: RedisShared(url)


@pytest.fixture
def key() -> str:
    return f"shäred:{uuid4()}"


@asynccontextmanager
async def opened(make: Make, number: int = 1) -> AsyncIterator[list[SharedStore]]:
    stores = [make() for _ in range(number)]
    try:
        yield stores
    finally:
        for store in stores:
            await store.aclose()


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(60):
            await test()

    asyncio.run(limited())


async def until(holds: Callable[[], Awaitable[Any]]) -> None:
    async with asyncio.timeout(10):
        while not await holds():
            await asyncio.sleep(0.005)


def test_a_value_is_kept_for_its_time(make: Make, key: str) -> None:
    async def test() -> None:
        async with opened(make) as (store,):
            assert await store.get(key) is None
            await store.put(key, "one", LONG)
            assert await store.get(key) == "one"
            await store.put(key, "zwei ☃", SHORT)
            assert await store.get(key) in {"zwei ☃", None}

            async def gone() -> bool:
                return await store.get(key) is None

            await until(gone)

    run(test)


def test_only_one_adds(make: Make, key: str) -> None:
    async def test() -> None:
        async with opened(make, 4) as stores:
            adding = [store.add(key, str(n), LONG) for n, store in enumerate(stores * 5)]
            added = await asyncio.gather(*adding)
            assert added.count(True) == 1
            assert await stores[0].get(key) == str(added.index(True))

    run(test)


def test_counts_are_exact_and_end_a_while_after_the_first(make: Make, key: str) -> None:
    async def test() -> None:
        async with opened(make, 4) as stores:
            counting = [store.count(key, LONG) for store in stores * 10]
            assert sorted(await asyncio.gather(*counting)) == list(range(1, 41))
            short = f"{key}:short"
            began = time.monotonic()
            counted = [await stores[0].count(short, 0.3)]
            while time.monotonic() - began < 2 and counted[-1] == len(counted):
                await asyncio.sleep(0.05)
                counted.append(await stores[0].count(short, 0.3))
            assert counted[-1] == 1, "later counts do not prolong it"

    run(test)


def test_a_key_is_discarded_by_whoever_knows_its_value(make: Make, key: str) -> None:
    async def test() -> None:
        async with opened(make) as (store,):
            await store.put(key, "mine", LONG)
            assert not await store.discard(key, "yours")
            assert await store.get(key) == "mine"
            assert await store.discard(key, "mine")
            assert not await store.discard(key, "mine")
            await store.count(key, LONG)
            assert await store.discard(key)
            assert not await store.discard(key)
            assert await store.count(key, LONG) == 1

    run(test)


def test_names_of_any_kind_are_keys_of_their_own(make: Make, key: str) -> None:
    async def test() -> None:
        names = [f"{key}{odd}" for odd in ("", "*", ":a", "%3Aa", "ä\n", " ", "A")]
        async with opened(make) as (store,):
            for name in names:
                await store.put(name, name, LONG)
            for name in names:
                assert await store.get(name) == name

    run(test)


@pytest.mark.parametrize("ttl", [0, -1.0, float("nan"), float("inf")])
def test_senseless_times_and_keys_are_refused(make: Make, key: str, ttl: float) -> None:
    async def test() -> None:
        async with opened(make) as (store,):
            for refused in (
                store.put(key, "x", ttl),
                store.add(key, "x", ttl),
                store.count(key, ttl),
                store.get(""),
                store.put("", "x", LONG),
                store.discard("", "x"),
            ):
                with pytest.raises(InvalidInput):
                    await refused
            assert await store.get(key) is None

    run(test)


POLICY = CircuitPolicy(failures=3, window_seconds=60, open_seconds=0.2, trials=2)


async def tripped(circuit: Circuit) -> None:
    for number in range(1, POLICY.failures + 1):
        assert await circuit.failed(await circuit.ask()) is (number == POLICY.failures)
    assert await circuit.look() is CircuitState.OPEN


async def half_open(circuit: Circuit) -> None:
    async def ready() -> bool:
        return await circuit.look() is CircuitState.HALF_OPEN

    await until(ready)


def test_a_breaker_opens_for_everybody_tries_and_closes(make: Make, key: str) -> None:
    async def test() -> None:
        async with opened(make, 2) as stores:
            here, there = (Circuit(store, key, POLICY) for store in stores)
            assert await here.look() is CircuitState.CLOSED
            await tripped(here)
            assert (await there.ask()).state is CircuitState.OPEN
            await half_open(there)
            asked = [await circuit.ask() for circuit in (here, there, here, there)]
            states = [one.state for one in asked]
            assert states == [CircuitState.HALF_OPEN] * 2 + [CircuitState.OPEN] * 2
            await there.succeeded(asked[1])
            assert await here.look() is CircuitState.CLOSED
            assert not await here.failed(await here.ask()), "failures are counted anew"

    run(test)


def test_a_trial_that_fails_opens_it_again_and_a_late_one_closes_nothing(
    make: Make, key: str
) -> None:
    async def test() -> None:
        async with opened(make) as (store,):
            circuit = Circuit(store, key, POLICY)
            await tripped(circuit)
            await half_open(circuit)
            first, second = await circuit.ask(), await circuit.ask()
            assert await circuit.failed(first)
            assert await circuit.look() is CircuitState.OPEN
            await circuit.succeeded(second)
            assert await circuit.look() is CircuitState.OPEN, "its trip is over"
            await half_open(circuit)

    run(test)


def test_trials_that_never_end_are_forgotten(make: Make, key: str) -> None:
    async def test() -> None:
        async with opened(make) as (store,):
            circuit = Circuit(store, key, POLICY)
            await tripped(circuit)
            await half_open(circuit)
            assert [(await circuit.ask()).trip is None for _ in range(3)] == [False, False, True]

            async def again() -> bool:
                return (await circuit.ask()).trip is not None

            await until(again)

    run(test)


def test_of_many_processes_one_makes_an_answer(make: Make, key: str) -> None:
    async def test() -> None:
        made: list[int] = []

        async def ask(number: int, store: SharedStore) -> str:
            """As the cache node does."""
            answers, token = Answers(10, LONG, LONG), str(number)
            found = await answers.look(store, key, token)
            if found is not None:
                return found
            made.append(number)
            await asyncio.sleep(0.05)
            await answers.keep(store, key, token, f"made by {number}")
            answers.land(key, token)
            return f"made by {number}"

        async with opened(make, 6) as stores:
            told = await asyncio.gather(*(ask(n, store) for n, store in enumerate(stores)))
        assert len(made) == 1
        assert set(told) == {f"made by {made[0]}"}

    run(test)


def test_an_answer_that_nobody_comes_back_with_is_made_by_another(make: Make, key: str) -> None:
    async def test() -> None:
        async with opened(make) as (store,):
            dead = Answers(10, LONG, 0.1)
            assert await dead.look(store, key, "dead") is None
            heir = Answers(10, LONG, LONG)
            assert await heir.look(store, key, "heir") is None
            failed = Answers(10, LONG, LONG)
            await heir.give_up(store, key, "heir")
            assert await failed.look(store, key, "next") is None

    run(test)


def test_after_a_flush_a_breaker_is_closed_and_a_cache_is_cold(redis_url: str) -> None:
    async def test() -> None:
        async with opened(lambda: RedisShared(redis_url)) as (store,):
            circuit, answers = Circuit(store, "flushed", POLICY), Answers(10, LONG, LONG)
            assert await answers.look(store, "flushed", "one") is None
            await answers.keep(store, "flushed", "one", "answer")
            answers.land("flushed", "one")
            await tripped(circuit)
            await half_open(circuit)
            trial = await circuit.ask()
            with Redis.from_url(redis_url) as client:
                client.flushall()
                client.script_flush()
            assert await circuit.look() is CircuitState.CLOSED
            await circuit.succeeded(trial)
            assert not await circuit.failed(trial)
            assert (await circuit.ask()).state is CircuitState.CLOSED
            answers.clear()
            assert await answers.look(store, "flushed", "two") is None

    run(test)


def test_all_keys_expire_and_bear_our_name(redis_url: str) -> None:
    async def test() -> None:
        with Redis.from_url(redis_url, decode_responses=True) as client:
            client.flushall()
            async with opened(lambda: RedisShared(redis_url)) as (store,):
                circuit, answers = Circuit(store, "a:b*", POLICY), Answers(10, LONG, LONG)
                await tripped(circuit)
                await half_open(circuit)
                await circuit.ask()
                await circuit.failed(await circuit.ask())
                await answers.look(store, "cache:x", "one")
                await answers.keep(store, "cache:y", "one", "answer")
            keys = list(client.scan_iter())
            assert len(keys) >= 4
            for name in keys:
                assert name.startswith("muster:shared:")
                assert 0 < client.pttl(name) <= LONG * 1_000

    run(test)


def test_redis_away_is_told_soon_and_without_the_password() -> None:
    async def test() -> None:
        store = RedisShared(f"redis://:CANARY@127.0.0.1:{free_port()}/0")
        began = time.monotonic()
        for asked in (store.get("k"), store.put("k", "v", 1), store.add("k", "v", 1)):
            with pytest.raises(QueueUnavailable) as caught:
                await asked
            assert "CANARY" not in str(caught.value)
        with pytest.raises(QueueUnavailable):
            await store.count("k", 1)
        with pytest.raises(QueueUnavailable):
            await store.discard("k", "v")
        assert time.monotonic() - began < 10
        await store.aclose()

    run(test)


def test_a_stalled_redis_holds_nobody_for_long() -> None:
    server = PrivateRedis().start()

    async def test() -> None:
        async with opened(lambda: RedisShared(server.url)) as (store,):
            await store.put("k", "v", LONG)
            server.pause()
            began = time.monotonic()
            try:
                with pytest.raises(QueueUnavailable):
                    await store.get("k")
                assert time.monotonic() - began < 5
            finally:
                server.resume()
            assert await store.get("k") == "v"

    try:
        run(test)
    finally:
        server.close()
