"""The connection to the ledger in Redis, and what is said over it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from worker.coordination.permits.desk import Batch, Held, Waiter
from worker.coordination.permits.names import Grant, Name, quoted
from worker.coordination.permits.scripts import NAMES, script

_CONNECT_SECONDS = 2.0
_ANSWER_SECONDS = 5.0
_CONNECTIONS = 2

Fields = list[Any]
Reply = dict[str, Any]


class Wire:
    """Runs scripts. Uses two connections at most: the desk's own calls, and reports.

    Nothing is sent again down here: what a repetition means is the desk's to judge.

    Args:
        url: Address of Redis.
    """

    def __init__(self, url: str) -> None:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=_CONNECTIONS,
            timeout=_ANSWER_SECONDS,
            decode_responses=True,
            socket_connect_timeout=_CONNECT_SECONDS,
            socket_timeout=_ANSWER_SECONDS,
            socket_keepalive=True,
            retry=Retry(NoBackoff(), 0),
        )
        self._redis = Redis.from_pool(pool)
        self._scripts = {name: self._redis.register_script(script(name)) for name in NAMES}

    async def call(self, name: str, said: Mapping[str, Any]) -> Reply:
        """Run a script, which is loaded first where the server does not know it.

        Raises:
            RedisError: Redis is away, or refuses.
        """
        text = json.dumps(said, separators=(",", ":"))
        reply: Reply = json.loads(await self._scripts[name](args=[text]))
        return reply

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()


def gives_and_asks(batch: Batch) -> dict[str, list[Fields]]:
    """Say a batch as `batch.lua` wants it."""
    gives: list[Fields] = [[*give.name, give.ticket] for give in batch.gives]
    return {"gives": gives, "holds": [], "asks": [_ask(waiter) for waiter in batch.asks]}


def registration(held: Iterable[tuple[Name, Held]], waiting: Iterable[Waiter]) -> list[Fields]:
    """Say what is held and waited for: `["holds" or "asks", its fields]` each."""
    holds: list[Fields] = [["holds", _hold(name, known)] for name, known in held]
    return holds + [["asks", _ask(waiter)] for waiter in waiting]


def grants(rows: Sequence[Fields]) -> list[Grant]:
    """Read what a script granted."""
    return [
        Grant((agent, permit), int(ticket), int(since)) for agent, permit, ticket, since in rows
    ]


def _ask(waiter: Waiter) -> Fields:
    ask = waiter.ask
    again = str(waiter.since) if waiter.since else False
    tenant = quoted(ask.tenant)
    return [*waiter.name, waiter.ticket, tenant, ask.priority, ask.limit, again]


def _hold(name: Name, held: Held) -> Fields:
    ask = held.ask
    return [*name, held.ticket, quoted(ask.tenant), str(held.since), ask.limit]
