"""Permits that all processes share through Redis. Keys: see ledger.lua."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Collection, Mapping, Sequence
from typing import Any, TypeVar

from redis.exceptions import RedisError

from envelope.errors import QueueUnavailable, Unavailable
from envelope.ports.permits import AgentPermits, Living, PermitAsk
from worker.coordination.connection import Presence
from worker.coordination.permits import report, wire
from worker.coordination.permits.desk import Desk
from worker.coordination.permits.names import quoted, read_notice
from worker.coordination.permits.wire import NOTHING, Reply, Wire

_AGAIN_SECONDS = 0.25
_FAREWELL_SECONDS = 5.0
_EXPECTED = (RedisError, OSError, Unavailable)

T = TypeVar("T")


class RedisPermits:
    """This process's desk at the ledger in Redis; belongs to one event loop.

    What is asked and given back in one turn of the loop travels in one script call. One call is
    under way at a time and each says what the desk wants now, so that after an outage the next
    one repeats what may have been lost.

    Everything that Redis forgets begins a new era: a flush, and a restart, which may bring back
    old data. A desk that meets one registers what it holds and waits for. The first to meet it
    names who else has to; until they have, or the grace is over, nothing is granted.

    Args:
        url: Address of Redis.
        worker_id: This process as the journal knows it; unused by a desk that only reports.
        living: Returns the ids of the processes that live by the journal.
        log: A structured logger.
        grace_seconds: How long the living are waited for after a flush; the length of a lease.
    """

    def __init__(
        self,
        url: str,
        worker_id: str,
        *,
        living: Living,
        log: Any,
        grace_seconds: float = 10.0,
    ) -> None:
        self._worker = worker_id
        self._living = living
        self._log = log
        self._grace = grace_seconds
        self._desk = Desk(self._kick)
        self._wire = Wire(url)
        self._turn = asyncio.Lock()
        self._sending: asyncio.Task[None] | None = None
        self._era = ""
        self._calls = 0
        self._limits: dict[str, int] | None = None
        self._limits_written = False
        self._presence = Presence(log, "permits")

    async def acquire(self, ask: PermitAsk) -> None:
        """Return when this process holds the step's permit.

        Raises:
            InvalidInput: The priority is not one of 0 to 9.
            Unavailable: The permits of this process were closed.
        """
        await self._desk.acquire(ask)

    def release(self, agent: str, run_id: str, step: str) -> None:
        """Give a permit back with the next batch; without effect where it is not held here."""
        self._desk.release(agent, run_id, step)

    def told(self, notice: str) -> None:
        """Take a notice that the ledger published; any other, or one of an old era, is ignored."""
        grant = read_notice(notice, self._era)
        if grant is not None:
            self._desk.granted([grant])

    async def look(self) -> None:
        """Compare with the ledger, mend what was lost, and take back what dead workers had."""
        workers = await self._patiently(self._compare())
        others = set(workers or ()) - {self._worker}
        if others:
            await self._patiently(self._take_back(others))

    async def set_limits(self, limits: Mapping[str, int]) -> None:
        """Make these the limits set at run time; free of cost when nothing changed."""
        wanted = {quoted(agent): limit for agent, limit in limits.items()}
        if wanted == self._limits and self._limits_written:
            return
        self._limits, self._limits_written = wanted, False
        await self._patiently(self._write_limits())

    async def report(self) -> Sequence[AgentPermits]:
        """Return all agents that have been asked for, by name.

        Raises:
            QueueUnavailable: Redis is away.
        """
        try:
            return report.agents(await self._wire.call("report", {}))
        except (RedisError, OSError) as error:
            raise QueueUnavailable(
                f"Redis did not say who holds permits ({type(error).__name__}). "
                "Check MUSTER_REDIS_URL."
            ) from error

    async def close(self) -> None:
        """Give everything back and let go of connections."""
        self._desk.close()
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.wait({self._sending})
        if self._era:
            await self._patiently(asyncio.wait_for(self._leave(), _FAREWELL_SECONDS))
        await self._wire.close()

    def _kick(self) -> None:
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send(), name="muster-permits")

    async def _send(self) -> None:
        while self._desk.has_work:
            await asyncio.sleep(0)  # what this turn of the loop still asks for travels along
            if not await self._patiently(self._exchange()):
                await asyncio.sleep(_AGAIN_SECONDS)

    async def _exchange(self) -> bool:
        batch = self._desk.batch()
        reply = await self._say("batch", wire.gives_and_asks(batch))
        self._desk.confirm(batch, int(reply["now"]))
        self._desk.granted(wire.grants(reply["granted"]))
        return True

    async def _compare(self) -> Collection[str]:
        """Return the workers that the ledger knows of."""
        workers: list[str] = []
        for said in wire.knowledge(self._desk):
            reply = await self._say("look", said)
            self._desk.granted(wire.grants(reply["granted"]))
            for agent, permit, ticket in reply["vanished"]:
                self._desk.vanished((agent, permit), ticket)
            for agent, permit, ticket in reply["lost"]:
                self._desk.lost((agent, permit), ticket)
            workers = reply["workers"]
        return workers

    async def _take_back(self, seen: set[str]) -> None:
        """Only who was seen before the living were counted can be missing among them by death."""
        dead = seen - set(await self._living())
        if not dead:
            return
        reply = await self._say("sweep", {"dead": sorted(dead)})
        self._desk.granted(wire.grants(reply["granted"]))
        self._log.info("permits.taken_back", workers=sorted(dead), permits=reply["forgotten"])

    async def _write_limits(self) -> None:
        limits = self._limits
        reply = await self._say("batch", {**NOTHING, "limits": limits})
        self._limits_written = self._limits is limits
        self._desk.granted(wire.grants(reply["granted"]))

    async def _leave(self) -> None:
        while self._desk.has_work:
            await self._exchange()
        await self._say("batch", {**NOTHING, "leaving": True})

    async def _say(self, script: str, said: Mapping[str, Any]) -> Reply:
        """Run a script; where the era is another, register in it first."""
        async with self._turn:
            while True:
                reply = await self._call(script, self._era, said)
                if reply["ok"]:
                    return reply
                await self._register(reply["era"] or await self._open())

    async def _open(self) -> str:
        """Open an era and return it, or the one that another process opened meanwhile."""
        expected = sorted({*await self._living(), self._worker})
        grace = round(self._grace * 1_000_000)
        said = {"id": secrets.token_hex(8), "expected": expected, "grace": grace}
        reply = await self._wire.call("open", {"worker": self._worker, **said})
        if reply["opened"]:
            self._log.info("permits.new_era", expected=expected)
        return str(reply["era"])

    async def _register(self, era: str) -> None:
        """Tell the ledger all that this desk has of it. The era may change again meanwhile."""
        limits = self._limits
        for said in wire.registration(self._desk, limits):
            reply = await self._call("batch", era, said)
            if not reply["ok"]:
                return
            self._desk.granted(wire.grants(reply["granted"]))
        self._era = era
        self._limits_written = self._limits is limits

    async def _call(self, script: str, era: str, said: Mapping[str, Any]) -> Reply:
        """Run a script. Calls are numbered, so that one which arrives late is recognised."""
        self._calls = max(self._calls + 1, time.time_ns() // 1000)
        head = {"worker": self._worker, "call": self._calls, "era": era}
        return await self._wire.call(script, {**head, **said})

    async def _patiently(self, work: Awaitable[T]) -> T | None:
        """Await; None where a service is away, which is logged once: the next attempt repeats it.

        Whatever else goes wrong must not end the attempts either: somebody waits for a permit.
        """
        try:
            done = await work
        except Exception as error:  # noqa: BLE001  # see above
            self._note_absence(error)
            return None
        self._presence.back()
        return done

    def _note_absence(self, error: Exception) -> None:
        if not isinstance(error, _EXPECTED):
            self._log.error("permits.failed", exc_info=error)
        self._presence.away(error)
