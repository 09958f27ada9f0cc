"""Muster's engine in one process: runs are accepted, executed and committed right here.

Settings come from the environment. Permits, rates, locks and wake-ups go through the real Redis;
with BENCH_LIMITS=off they stay in the process, which is what limits are compared with.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from typing import Any

from benchmarks.flows import WAITING
from benchmarks.programs.serving import serve
from control.async_manager import AsyncCampaignManager
from control.async_run import AsyncRun
from worker.backend import Backend
from worker.coordination.permits.in_process import InProcessPermits
from worker.coordination.rates.in_process import InProcessRates
from worker.loading import load_modules
from worker.logs import configure
from worker.process import spare_collections
from worker.settings import Settings

LIMITS_VARIABLE = "BENCH_LIMITS"


class InlineEngine:
    """What the parent may ask for."""

    def __init__(self, manager: AsyncCampaignManager) -> None:
        self._manager = manager

    async def runs(self, flow: str, payload: Mapping[str, Any], count: int) -> float:
        """Execute so many runs at once and return the seconds until all are committed."""
        begun = time.perf_counter()
        await self._execute([_event(flow, payload)] * count)
        return time.perf_counter() - begun

    async def at_once(self) -> int:
        """Return how many agents have waited at the same time, at most."""
        return WAITING.most

    async def ready(self) -> None:
        """Do nothing: whoever gets the answer knows that all is imported and connected."""

    async def turns(self, tenants: list[str], seconds: float) -> list[str]:
        """Execute a run of one limited step for each tenant; return tenants as they got a turn."""
        payload = {"agent": "bench_turn", "seconds": seconds}
        events = [_event("bench_chain", payload, tenant=tenant) for tenant in tenants]
        handles = await self._execute(events)
        ended = [(await handle.result()).records[0].data["at"] for handle in handles]
        return [tenant for _, tenant in sorted(zip(ended, tenants, strict=True))]

    async def _execute(self, events: list[dict[str, Any]]) -> list[AsyncRun]:
        return await self._manager.ingest_many(events)


def _event(flow: str, payload: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"flow": flow, "payload": payload, "source": "benchmark", **more}


async def _main() -> None:
    settings = Settings.load()
    configure(settings)
    load_modules(settings.include)
    backend = await Backend.open(settings)
    backend.queue = None  # runs are executed by whoever accepts them
    if os.environ.get(LIMITS_VARIABLE) == "off":
        await backend.permits.close()
        await backend.rates.close()
        backend.permits, backend.rates = InProcessPermits(), InProcessRates()
    async with AsyncCampaignManager(backend) as manager:
        engine = InlineEngine(manager)
        spare_collections()  # as a worker does
        handlers = {"runs": engine.runs, "turns": engine.turns}
        await serve({**handlers, "ready": engine.ready, "at_once": engine.at_once})


if __name__ == "__main__":
    asyncio.run(_main())
