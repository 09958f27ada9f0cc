"""A clock that only moves when somebody waits."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.testing import FakeClock


def test_sleeping_moves_it_and_nothing_else_does() -> None:
    clock = FakeClock(datetime(2030, 1, 1, tzinfo=UTC))
    asyncio.run(clock.sleep(90))
    assert clock.now() == datetime(2030, 1, 1, 0, 1, 30, tzinfo=UTC)
    clock.advance(30)
    assert clock.now() == datetime(2030, 1, 1, 0, 2, tzinfo=UTC)
    assert clock.sleeps == [90]


@given(st.lists(st.lists(st.integers(0, 100), min_size=1, max_size=4), min_size=1, max_size=5))
def test_those_who_wait_at_once_wake_at_their_own_moments(naps: list[list[int]]) -> None:
    """Each sleeper takes its naps in a row; all begin together."""

    async def scenario() -> None:
        clock = FakeClock()
        start = clock.now()

        async def sleeper(own: list[int]) -> None:
            total = 0
            for nap in own:
                await clock.sleep(nap)
                total += nap
                assert (clock.now() - start).total_seconds() == total

        await asyncio.gather(*(sleeper(own) for own in naps))
        assert (clock.now() - start).total_seconds() == max(map(sum, naps))

    asyncio.run(scenario())


def test_a_cancelled_sleeper_holds_nobody_up() -> None:
    async def scenario() -> None:
        clock = FakeClock()
        long = asyncio.ensure_future(clock.sleep(1_000))
        short = asyncio.ensure_future(clock.sleep(1))
        await short
        long.cancel()
        with pytest.raises(asyncio.CancelledError):
            await long
        await clock.sleep(5)
        assert (clock.now() - FakeClock().now()).total_seconds() == 6

    asyncio.run(scenario())
