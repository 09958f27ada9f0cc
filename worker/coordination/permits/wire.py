"""The connection to the ledger in Redis, and what is said over it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from typing import Any

from worker.coordination.connection import connection
from worker.coordination.permits.desk import MAX_BATCH, Batch, Desk, Held, Waiter
from worker.coordination.permits.names import Grant, Name, quoted
from worker.coordination.permits.scripts import NAMES, script

_CONNECTIONS = 2

Fields = list[Any]
Reply = dict[str, Any]

NOTHING: Mapping[str, Any] = {"gives": [], "holds": [], "asks": []}
"""A batch without gives and asks."""


class Wire:
    """Runs scripts. Uses two connections at most: the desk's own calls, and reports.

    Nothing is sent again down here: what a repetition means is the desk's to judge.

    Args:
        url: Address of Redis.
    """

    def __init__(self, url: str) -> None:
        self._redis = connection(url, connections=_CONNECTIONS)
        self._scripts = {name: self._redis.register_script(script(name)) for name in NAMES}

    async def call(self, name: str, said: Mapping[str, Any]) -> Reply:
        """Run a script, which is loaded first where the server does not know it.

        Raises:
            RedisError: Redis is away, or refuses.
        """
        text = json.dumps(said, separators=(",", ":"))
        answer = await _cancellable(self._scripts[name](args=[text]))
        reply: Reply = json.loads(answer)
        return reply

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()


async def _cancellable(call: Awaitable[str]) -> str:
    """The client sends with `asyncio.wait_for`, which loses cancellations before Python 3.12."""
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    answer = await call
    if task and task.cancelling() > before:
        raise asyncio.CancelledError
    return answer


def gives_and_asks(batch: Batch) -> dict[str, list[Fields]]:
    """Say a batch as `batch.lua` wants it."""
    gives: list[Fields] = [[*give.name, give.ticket] for give in batch.gives]
    return {"gives": gives, "holds": [], "asks": [_ask(waiter) for waiter in batch.asks]}


def registration(desk: Desk, limits: Mapping[str, int] | None) -> Iterator[dict[str, Any]]:
    """Say all that a desk holds and waits for, in as many calls as it takes, one at least."""
    rows = [("holds", _hold(name, held)) for name, held in desk.held.items()]
    rows += [("asks", _ask(waiter)) for waiter in desk.waiting.values() if waiter.since]
    for start in range(0, max(len(rows), 1), MAX_BATCH):
        end = start + MAX_BATCH
        said: dict[str, Any] = {
            "gives": [],
            "holds": [],
            "asks": [],
            "registered": end >= len(rows),
        }
        for kind, fields in rows[start:end]:
            said[kind].append(fields)
        yield said if limits is None else {**said, "limits": limits}


def knowledge(desk: Desk) -> Iterator[dict[str, list[Fields]]]:
    """Say what the ledger should know of a desk, in as many calls as it takes, one at least."""
    known = [waiter for waiter in desk.waiting.values() if waiter.since]
    waiting: list[Fields] = [[*waiter.name, waiter.ticket] for waiter in known]
    held: list[Fields] = [[*name, permit.ticket] for name, permit in desk.held.items()]
    for start in range(0, max(len(waiting), len(held), 1), MAX_BATCH):
        chunk = slice(start, start + MAX_BATCH)
        yield {"waiting": waiting[chunk], "held": held[chunk]}


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
