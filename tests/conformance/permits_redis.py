"""What the tests of permits over a real Redis share: an empty Redis, and a bound on each case."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from redis import Redis

from envelope.ports.permits import Permits
from tests.conformance.permits_bench import AGENT, ask, executed, queue

_LONGEST_SECONDS = 100.0


@pytest.fixture
def emptied(redis_url: str) -> Iterator[Any]:
    """A client of the session's Redis, which holds nothing."""
    with Redis.from_url(redis_url, decode_responses=True) as client:
        client.flushall()
        yield client


def run(case: Callable[[], Awaitable[None]]) -> None:
    """Run a case; one that hangs fails."""
    asyncio.run(asyncio.wait_for(case(), _LONGEST_SECONDS))


async def notice_of_grant(
    redis: Any, holder: Permits, asker: Permits
) -> tuple[dict[str, asyncio.Task[None]], str]:
    """Let `a` of the holder pass to `b` of the asker, `w2`, who is not told.

    Return what asks for `b`, and the notice that would have said that it is granted.
    """
    with redis.pubsub() as subscription:
        subscription.subscribe("muster:wake:w2")
        assert subscription.get_message(timeout=5)["type"] == "subscribe"
        tasks = await queue(asker, ask("b"))
        holder.release(AGENT, "run", "a")
        await executed(holder)
        return tasks, subscription.get_message(timeout=5)["data"]
