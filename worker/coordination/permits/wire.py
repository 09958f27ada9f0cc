"""The connection to the ledger in Redis, and what is said over it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from redis.exceptions import NoScriptError

from worker.coordination.connection import Line
from worker.coordination.permits.desk import MAX_BATCH, Batch, Desk, Held, Waiter
from worker.coordination.permits.names import Grant, Name, quoted
from worker.coordination.permits.scripts import NAMES, script

Fields = list[Any]
Reply = dict[str, Any]

NOTHING: Mapping[str, Any] = {"gives": [], "holds": [], "asks": []}
"""A batch without gives and asks."""


class Wire:
    """Runs scripts, one after the other.

    Nothing is sent again down here: what a repetition means is the desk's to judge.

    Args:
        url: Address of Redis.
    """

    def __init__(self, url: str) -> None:
        self._line = Line(url)
        self._scripts = {name: script(name) for name in NAMES}
        self._hashes = {name: _sha1(text) for name, text in self._scripts.items()}

    async def call(self, name: str, said: Mapping[str, Any]) -> Reply:
        """Run a script, which is loaded first where the server does not know it.

        Raises:
            RedisError: Redis is away, or refuses.
            OSError: Redis is away, or does not answer in time.
        """
        text = json.dumps(said, separators=(",", ":"))
        try:
            (answer,) = await self._line.ask(("EVALSHA", self._hashes[name], 0, text))
        except NoScriptError:
            (answer,) = await self._line.ask(("EVAL", self._scripts[name], 0, text))
        reply: Reply = json.loads(answer)
        return reply

    async def close(self) -> None:
        """Close the connection."""
        await self._line.close()


def _sha1(text: str) -> str:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


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
