"""One heartbeat per process: the lease on everything that it owns."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import time

from agents.registry import AGENTS
from envelope.errors import JournalUnavailable
from envelope.ports.journal_writes import WorkerInfo
from orchestrators.registry import FLOWS
from worker.engine.engine import Engine


class Lease:
    """Renews the process's lease, and learns which of its runs shall be cancelled.

    It beats on the loop that executes the runs: a process whose loop is stuck is as good as dead,
    and others go on with its runs.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._now = asyncio.Event()
        self._judges_from = 0.0

    @property
    def may_judge(self) -> bool:
        """Whether this process may say that others are dead.

        One whose own lease had lapsed may have been cut off together with them, by a database that
        was away: they get one more lease to come back, or all their work would be done twice.
        """
        return not self._engine.parts.hold.over and time.monotonic() >= self._judges_from

    async def take(self) -> None:
        """Announce this process; from now on it may own runs.

        Raises:
            JournalUnavailable: The database is away.
        """
        await self._beat()

    async def beat_for_ever(self) -> None:
        """Beat every `heartbeat_seconds`, or at once when `soon` was called."""
        settings, log = self._engine.parts.settings, self._engine.parts.log
        while True:
            try:
                async with asyncio.timeout(settings.heartbeat_seconds):
                    await self._now.wait()
            except TimeoutError:
                pass  # the regular beat
            self._now.clear()
            try:
                await self._beat()
            except JournalUnavailable as error:
                log.warning("lease.not_renewed", error=str(error))

    def soon(self) -> None:
        """Beat at once: somebody asked for a cancellation."""
        self._now.set()

    async def give_up(self) -> None:
        """Forget this process, which owns nothing any more."""
        await self._engine.parts.journal.retire(self._engine.parts.worker_id)

    async def _beat(self) -> None:
        parts = self._engine.parts
        begun = time.monotonic()
        beat = await parts.journal.beat(self._info(), parts.settings.lease_seconds)
        await self._renewed(begun, beat.lapsed)
        for run_id, reason in beat.runs:
            self._engine.cancel(run_id, reason)
        for run_id, step in beat.steps:
            self._engine.steps.revoke(run_id, step)

    async def _renewed(self, begun: float, lapsed: bool) -> None:
        """Others may have taken what was ours: drop it before anything new begins."""
        parts = self._engine.parts
        if lapsed or parts.hold.over:
            parts.log.warning("lease.had_lapsed")
            self._judges_from = time.monotonic() + parts.settings.lease_seconds
            await self._engine.drop_lost()
        parts.hold.renewed(begun, lapsed=lapsed)

    def _info(self) -> WorkerInfo:
        details = {
            "runs": len(self._engine.running),
            "steps": self._engine.steps.executing,
            "flows": FLOWS.versions(),
            "agents": AGENTS.names(),
        }
        return WorkerInfo(
            worker_id=self._engine.parts.worker_id,
            hostname=socket.gethostname(),
            pid=os.getpid(),
            details=json.dumps(details),
        )
