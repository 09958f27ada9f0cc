"""Progress of a thread: numbered, resumable, for any number of readers."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from redis import Redis

from control.primitives import ProgressEvent, aio, close, configure, emit_progress, subscribe
from envelope.errors import InvalidInput, QueueUnavailable, TooLarge
from tests.services.waiting import wait_until
from worker.settings import Settings


@pytest.fixture(autouse=True)
def redis(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url, decode_responses=True) as client:
        client.flushall()
        configure(Settings.load(redis_url=redis_url))
        yield client
        close()


def emit(*numbers: int, thread: str = "t") -> None:
    for number in numbers:
        told = emit_progress(thread, {"step": f"s{number}", "progress": 0, "data": {"n": number}})
        assert told == number


def numbers(events: Any) -> list[int]:
    return [event.number for event in events]


def test_events_are_numbered_and_come_as_they_were_emitted() -> None:
    assert emit_progress("t", {"step": "write", "progress": 0}) == 1
    assert emit_progress("t", {"step": "écrire", "progress": 1, "data": {"ключ": [1, None]}}) == 2
    first, second = subscribe("t", silence=0)
    assert isinstance(first, ProgressEvent)
    assert (first.step, first.progress, first.data) == ("write", 0.0, {})
    assert (second.step, second.progress, second.data) == ("écrire", 1.0, {"ключ": [1, None]})
    assert first.at <= second.at


def test_a_reader_goes_on_where_it_stopped() -> None:
    emit(1, 2, 3)
    seen = []
    for event in subscribe("t"):
        seen.append(event.number)
        if event.number == 2:
            break
    emit(4)
    assert numbers(subscribe("t", after=seen[-1], silence=0)) == [3, 4]
    assert numbers(subscribe("t", after=4, silence=0)) == []
    assert numbers(subscribe("nobody", silence=0)) == []


def test_threads_that_look_alike_are_different() -> None:
    for number, thread in enumerate(("a:b", "a%3Ab", "*", "a"), 1):
        for _ in range(number):
            emit_progress(thread, {"step": "s", "progress": 0.5})
        assert numbers(subscribe(thread, silence=0)) == list(range(1, number + 1))


def test_readers_of_all_kinds_follow_emitters_of_all_kinds() -> None:
    total = 60

    def read(_: int) -> list[int]:
        found = []
        for event in subscribe("t"):
            found.append(event.number)
            if event.number == total:
                return found
        return found

    async def read_too() -> list[int]:
        found = []
        async for event in aio.subscribe("t"):
            found.append(event.number)
            if event.number == total:
                break
        return found

    async def main() -> list[list[int]]:
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(8) as threads:
            readers = [loop.run_in_executor(threads, read, n) for n in range(3)]
            readers += [asyncio.create_task(read_too()) for _ in range(3)]
            event = {"step": "s", "progress": 0.5}
            emitting = [
                loop.run_in_executor(threads, emit_progress, "t", event) for _ in range(total // 2)
            ]
            emitting += [
                asyncio.create_task(aio.emit_progress("t", event)) for _ in range(total // 2)
            ]
            told = await asyncio.gather(*emitting)
            assert sorted(told) == list(range(1, total + 1))
            return list(await asyncio.gather(*readers))

    assert asyncio.run(main()) == [list(range(1, total + 1))] * 6


def test_a_reader_that_waits_has_the_next_event_at_once() -> None:
    found: list[int] = []
    reader = threading.Thread(target=lambda: found.extend(_first("t")))
    reader.start()
    emit(1)
    wait_until(lambda: found == [1], 5, "the event arrives")
    reader.join()


def _first(thread: str) -> list[int]:
    for event in subscribe(thread):
        return [event.number]
    return []


def test_silence_ends_a_subscription() -> None:
    emit(1)
    assert numbers(subscribe("t", silence=0.2)) == [1]

    async def main() -> list[int]:
        return [event.number async for event in aio.subscribe("t", silence=0.2)]

    assert asyncio.run(main()) == [1]


def test_a_cancelled_reader_lets_go_of_its_connection(redis: Redis) -> None:
    async def main() -> None:
        async def read() -> None:
            async for _ in aio.subscribe("t"):
                pass

        before = len(redis.client_list())
        tasks = [asyncio.create_task(read()) for _ in range(20)]
        while len(redis.client_list()) < before + 20:
            await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        async with asyncio.timeout(10):
            while len(redis.client_list()) > before + 1:
                await asyncio.sleep(0.01)

    asyncio.run(main())


def test_a_reader_begins_anew_where_redis_forgot(redis: Redis) -> None:
    emit(1, 2, 3)
    events = subscribe("t")
    assert [next(events).number for _ in range(3)] == [1, 2, 3]
    redis.flushall()
    emit(1)
    assert next(events).number == 1
    events.close()  # type: ignore[attr-defined]


def test_a_thread_is_kept_for_a_day_and_ten_thousand_events(redis: Redis) -> None:
    emit(1)
    assert 86_000 < redis.ttl("muster:progress:t") <= 86_400
    for start in range(2, 12_002, 500):
        with redis.pipeline(transaction=False) as pipeline:
            for number in range(start, start + 500):
                fields = {"step": "s", "progress": "0.5", "data": "{}", "at": "1"}
                pipeline.xadd("muster:progress:t", fields, id=f"{number}-0")
            pipeline.execute()
    assert emit_progress("t", {"step": "s", "progress": 1}) == 12_002
    assert 10_000 <= redis.xlen("muster:progress:t") < 10_200
    kept = numbers(subscribe("t", silence=0))
    assert kept == list(range(kept[0], 12_003)), "in order across pages"


@pytest.mark.parametrize(
    "wrong",
    [
        {"step": "s"},
        {"progress": 0.5},
        {"step": "", "progress": 0.5},
        {"step": 5, "progress": 0.5},
        {"step": "s", "progress": 1.5},
        {"step": "s", "progress": -0.01},
        {"step": "s", "progress": math.nan},
        {"step": "s", "progress": math.inf},
        {"step": "s", "progress": True},
        {"step": "s", "progress": "0.5"},
        {"step": "s", "progress": 0.5, "data": "x"},
        {"step": "s", "progress": 0.5, "data": {"x": math.nan}},
        {"step": "s", "progress": 0.5, "data": {"x": object()}},
        {"step": "s", "progress": 0.5, "date": {}},
        {"step": "\ud800", "progress": 0.5},
        5,
    ],
)
def test_what_is_no_progress_is_refused(redis: Redis, wrong: Any) -> None:
    with pytest.raises(InvalidInput):
        emit_progress("t", wrong)
    with pytest.raises(InvalidInput):
        asyncio.run(aio.emit_progress("t", wrong))
    assert not redis.exists("muster:progress:t")


def test_bulk_and_senseless_arguments_are_refused() -> None:
    with pytest.raises(TooLarge):
        emit_progress("t", {"step": "s", "progress": 0, "data": {"x": "y" * 70_000}})
    for thread in ("", "\ud800", 5, "t" * 2_000):
        with pytest.raises(InvalidInput):
            emit_progress(thread, {"step": "s", "progress": 0})  # type: ignore[arg-type]
    for wrong in ({"after": -1}, {"after": 1.5}, {"silence": -1}, {"silence": math.nan}):
        with pytest.raises(InvalidInput):
            next(subscribe("t", **wrong))  # type: ignore[arg-type]


def test_redis_away_is_a_typed_error() -> None:
    configure(Settings.load(redis_url="redis://127.0.0.1:1/0"))
    with pytest.raises(QueueUnavailable):
        emit_progress("t", {"step": "s", "progress": 0})
    with pytest.raises(QueueUnavailable):
        next(subscribe("t"))
