"""Finds what the broker lost and dead workers left, and sends it again. Runs in every worker."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from envelope.errors import JournalUnavailable, QueueUnavailable
from envelope.ports.journal_rows import Hint, RunState
from envelope.ports.queue import Queue
from orchestrators.registry import FLOWS
from worker.engine.engine import Engine
from worker.engine.lease import Lease
from worker.engine.notices import tell_watchers

ROUND_SECONDS = 1.0
_AT_ONCE = 500


class Reconciler:
    """Compares the journal, which is the truth, with what is under way.

    Several may work at once: the journal hands each run to one of them.
    """

    def __init__(self, engine: Engine, lease: Lease) -> None:
        self._engine = engine
        self._lease = lease
        self._parts = engine.parts

    async def work_for_ever(self) -> None:
        """Do a round every second."""
        while True:
            await asyncio.sleep(ROUND_SECONDS)
            try:
                await self.round()
            except JournalUnavailable as error:
                self._parts.log.warning("reconciler.journal_away", error=str(error))
            except QueueUnavailable as error:
                self._parts.log.warning("reconciler.queue_away", error=str(error))

    async def care_for_permits_for_ever(self) -> None:
        """Look after permits every second; apart from the rest, because Redis may be slow."""
        while True:
            await asyncio.sleep(ROUND_SECONDS)
            try:
                await self.care_for_permits()
            except JournalUnavailable as error:
                self._parts.log.warning("permits.journal_away", error=str(error))

    async def care_for_permits(self) -> None:
        """Learn the limits set at run time, and mend what was lost of the permits."""
        await self._parts.limits.refresh()
        if self._lease.may_judge:
            await self._parts.permits.look()

    async def round(self) -> None:
        """Look after everything that may have been missed, the most urgent first."""
        if self._lease.may_judge:
            await self._rescue()
        await self._wake()
        if self._parts.queue is not None:
            await self._send_unsent(self._parts.queue)
        await self._engine.waiting.look(may_judge=self._lease.may_judge)
        await self._engine.look()

    async def _rescue(self) -> None:
        rescued = await self._parts.journal.rescue(self._parts.settings.max_losses)
        for rescue in rescued:
            self._parts.log.warning(
                "run.lost",
                run=rescue.hint.run_id,
                losses=rescue.losses,
                state=str(rescue.state),
            )
            tell_watchers(self._parts.wakeups, rescue.hint.run_id, rescue.state)
        self._parts.telemetry.rescued(rescued)
        again = [rescue.hint for rescue in rescued if rescue.state is RunState.QUEUED]
        await self._send(again)

    async def _wake(self) -> None:
        """Send waiting runs for which something has come."""
        hints = await self._parts.journal.wake(_AT_ONCE)
        if not hints:
            return
        self._parts.log.info("run.woken", runs=len(hints))
        self._parts.telemetry.meters.rescued("run_woken", len(hints))
        if self._parts.queue is not None:
            await self._parts.queue.enqueue(hints)
            return
        for hint in hints:
            self._engine.execute_here(hint.run_id)

    async def _send_unsent(self, queue: Queue) -> None:
        settings = self._parts.settings
        depths = await queue.depth([f"runs.{flow}" for flow in FLOWS.names()])
        empty = frozenset(topic for topic, depth in depths.items() if not depth)
        await self._send(
            await self._parts.journal.unsent(empty, settings.reissue_seconds, _AT_ONCE)
        )

    async def _send(self, hints: Sequence[Hint]) -> None:
        queue = self._parts.queue
        if not hints or queue is None:
            return
        await queue.enqueue(hints)
        await self._parts.journal.mark_sent([hint.run_id for hint in hints])
        self._parts.log.info("run.sent_again", runs=len(hints))
        self._parts.telemetry.meters.rescued("run_sent_again", len(hints))
