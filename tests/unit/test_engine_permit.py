"""A permit after a lapse of the lease: it may be somebody else's by then."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any

from envelope.ports.permits import PermitAsk
from worker.engine.hold import Hold
from worker.engine.permit import HeldPermit

ASK = PermitAsk(agent="lapsing", run_id="r", step="s", limit=1, tenant="t", priority=0)
LEASE = 60.0


class Asked:
    """Grants at once, or when the test says so; notes what was asked for and given back."""

    def __init__(self) -> None:
        self.asks = 0
        self.given = 0
        self.open = asyncio.Event()
        self.open.set()

    async def acquire(self, ask: PermitAsk) -> None:
        assert ask is ASK
        self.asks += 1
        await self.open.wait()

    def release(self, _agent: str, _run_id: str, _step: str) -> None:
        self.given += 1


def _parts() -> Any:
    parts = SimpleNamespace(hold=Hold(LEASE), permits=Asked())
    parts.hold.renewed(time.monotonic(), lapsed=False)
    return parts


def test_a_permit_is_asked_for_once_while_the_lease_holds() -> None:
    async def body() -> None:
        parts = _parts()
        async with HeldPermit(parts, ASK) as held:
            await held.assured()
            await held.assured()
        assert (parts.permits.asks, parts.permits.given) == (1, 1)

    asyncio.run(body())


def test_after_a_lapse_nothing_begins_before_the_permit_is_granted_anew() -> None:
    async def body() -> None:
        parts = _parts()
        async with HeldPermit(parts, ASK) as held:
            parts.hold.renewed(time.monotonic() - 2 * LEASE, lapsed=False)  # it is over by now
            assured = asyncio.create_task(held.assured())
            await asyncio.sleep(0)
            parts.permits.open.clear()
            parts.hold.renewed(time.monotonic(), lapsed=True)
            while parts.permits.asks == 1:
                await asyncio.sleep(0)
            assert not assured.done()
            parts.permits.open.set()
            await assured
        assert (parts.permits.asks, parts.permits.given) == (2, 1)

    asyncio.run(body())


def test_a_lapse_while_it_is_asked_for_anew_counts_too() -> None:
    async def body() -> None:
        parts = _parts()
        held = HeldPermit(parts, ASK)
        parts.permits.open.clear()
        parts.hold.renewed(time.monotonic(), lapsed=True)
        assured = asyncio.create_task(held.assured())
        while parts.permits.asks == 0:
            await asyncio.sleep(0)
        parts.hold.renewed(time.monotonic(), lapsed=True)
        parts.permits.open.set()
        await assured
        assert parts.permits.asks == 2

    asyncio.run(body())
