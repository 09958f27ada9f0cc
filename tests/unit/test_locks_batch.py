"""Requests of one loop turn travel together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from worker.coordination.locks.batch import Batch


def test_one_call_for_a_turn_and_the_next_for_what_came_meanwhile() -> None:
    calls: list[list[int]] = []

    async def send(requests: Sequence[int]) -> list[int]:
        calls.append(list(requests))
        await asyncio.sleep(0.01)
        return [request * 10 for request in requests]

    async def run() -> None:
        batch = Batch(send)
        first = [batch.put(number) for number in range(3)]
        await asyncio.sleep(0.001)
        second = [batch.put(number) for number in (3, 4)]
        assert await asyncio.gather(*first, *second) == [0, 10, 20, 30, 40]
        many = [batch.put(number) for number in range(450)]
        await asyncio.gather(*many)
        await batch.close()

    asyncio.run(run())
    assert [len(call) for call in calls] == [3, 2, 200, 200, 50]


def test_a_failed_call_fails_its_own_requests_only() -> None:
    async def send(requests: Sequence[int]) -> list[int]:
        if 1 in requests:
            raise ConnectionError("away")
        return list(requests)

    async def run() -> None:
        batch = Batch(send)
        failing = [batch.put(1), batch.put(2)]
        for future in failing:
            with pytest.raises(ConnectionError):
                await future
        gone = batch.put(1)
        gone.cancel()
        await batch.close()
        assert await batch.put(3) == 3

    asyncio.run(run())
