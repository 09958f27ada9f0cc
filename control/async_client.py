"""The client: enqueues runs, finds them, waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from control.approvals import AsyncApprovals
from control.async_manager import AsyncCampaignManager
from control.async_run import AsyncRun
from control.closing import AsyncClosing
from control.dead_letters import Choice, DeadLetters, Replayed
from control.effects import AsyncEffects
from control.event import Event
from control.replay import replay_run
from control.run_lookup import find_run
from control.run_pages import every_run
from control.suppressions import AsyncSuppressions
from envelope.errors import InvalidInput
from envelope.ports.journal_rows import (
    FailureGroup,
    Run,
    RunFilter,
    RunState,
)
from worker.settings import Settings


class AsyncMuster(AsyncClosing):
    """Reaches runs over the configured journal and queue; connects when it is first used.

    Args:
        settings: The settings; None reads the environment and `.env`.
        manager: A campaign manager to use instead of one made from the settings.

    Raises:
        ConfigurationError: A setting is wrong.

    Example:
        >>> async with AsyncMuster() as muster:
        ...     run = await muster.enqueue("lead", {...}, user="u1", thread="t1")
        ...     envelope = await run.result(timeout=60)
    """

    def __init__(
        self, settings: Settings | None = None, *, manager: AsyncCampaignManager | None = None
    ) -> None:
        self._settings = settings
        self._manager = manager
        self._opening = asyncio.Lock()

    async def manager(self) -> AsyncCampaignManager:
        """Return the campaign manager; connects where that has not been done.

        Raises:
            JournalUnavailable: The database is away.
            ModuleNotLoaded: A module of MUSTER_INCLUDE cannot be imported.
        """
        async with self._opening:
            if self._manager is None:
                self._manager = await AsyncCampaignManager.from_settings(self._settings)
            return self._manager

    @property
    def approvals(self) -> AsyncApprovals:
        """What waits for a person's consent, and the decisions."""
        return AsyncApprovals(self.manager)

    @property
    def effects(self) -> AsyncEffects:
        """What was done to the outside world."""
        return AsyncEffects(self.manager)

    @property
    def suppressions(self) -> AsyncSuppressions:
        """Who shall not be reached."""
        return AsyncSuppressions(self.manager)

    async def enqueue(
        self,
        flow: str,
        payload: BaseModel | Mapping[str, Any],
        *,
        user: str | None = None,
        thread: str | None = None,
        key: str | None = None,
        tags: Mapping[str, str] | None = None,
        priority: int = 0,
        delay: float = 0.0,
        at: datetime | None = None,
        budget_tokens: int | None = None,
        budget_usd: float | None = None,
        allow_delivery: bool = False,
        tenant: str = "default",
        source: str = "api",
    ) -> AsyncRun:
        """Enqueue a run of `flow` and return its handle; the run is committed by then.

        Args:
            flow: Name of a registered flow.
            payload: Its input.
            user: The user to run for.
            thread: That user's thread.
            key: Idempotency key: the same key and payload name the same run.
            tags: Labels to find the run by.
            priority: 0 to 9, which goes first.
            delay: Seconds before the run may start.
            at: Moment before which it may not start, with time zone; excludes `delay`.
            budget_tokens: Tokens that the run and its children may use.
            budget_usd: US dollars that the run and its children may use.
            allow_delivery: Whether the run may act on the outside world.
            tenant: Whose run it is.
            source: What triggered the run.

        Raises:
            InvalidInput, NotRegistered, TooLarge, IdempotencyConflict, SingletonConflict,
                JournalUnavailable: See `AsyncCampaignManager.ingest_event`.
        """
        event = Event.of(
            {
                "flow": flow,
                "payload": payload,
                "user": user,
                "thread": thread,
                "key": key,
                "tags": dict(tags or {}),
                "priority": priority,
                "delay": delay,
                "at": at,
                "budget_tokens": budget_tokens,
                "budget_usd": budget_usd,
                "allow_delivery": allow_delivery,
                "tenant": tenant,
                "source": source,
            }
        )
        return await (await self.manager()).ingest_event(event)

    async def get(self, run_id: str) -> AsyncRun:
        """Return the handle of a run, named by its id or a unique beginning of it.

        Raises:
            UnknownRun: There is no such run.
            InvalidInput: Several runs begin like that.
        """
        manager = await self.manager()
        found = await find_run(manager.backend.journal, run_id)
        return manager.handle(found.run_id)

    async def runs(
        self,
        *,
        states: Sequence[RunState | str] = (),
        flow: str | None = None,
        tenant: str | None = None,
        tags: Mapping[str, str] | None = None,
        parent: str | None = None,
        before: str | None = None,
        limit: int = 50,
    ) -> Sequence[Run]:
        """Return runs, newest first; None and empty mean any. `before` continues a list.

        `parent` is the run whose children are wanted.

        Raises:
            InvalidInput: There is no such state.
        """
        journal = (await self.manager()).backend.journal
        return await journal.runs(
            RunFilter(
                states=frozenset(map(_state, states)),
                flow=flow,
                tenant=tenant,
                tags=dict(tags or {}),
                parent_id=parent,
                before=before,
                limit=limit,
            )
        )

    async def every_run(
        self, *, tags: Mapping[str, str], states: Sequence[RunState] = ()
    ) -> AsyncIterator[Run]:
        """Yield all runs that carry these tags, newest first."""
        journal = (await self.manager()).backend.journal
        async for run in every_run(journal, RunFilter(states=frozenset(states), tags=dict(tags))):
            yield run

    async def retry(
        self, run_id: str, *, from_step: str | None = None, keep: bool = True
    ) -> AsyncRun:
        """Repeat a run that has ended, however it did, as a new run.

        Args:
            run_id: The run, by its id or a unique part of it.
            from_step: Repeat this step and all after it; None repeats what did not succeed.
            keep: Take over the steps that succeeded, with their results; False repeats everything.

        Raises:
            UnknownRun: There is no such run.
            InvalidInput: It has not ended, has no such step, or fits its flow no more.
            NotRegistered: This version of its flow is not registered here any more.
        """
        manager = await self.manager()
        found = await find_run(manager.backend.journal, run_id)
        return await replay_run(manager, found, keep=keep, from_step=from_step)

    async def dead_letters(self, limit: int = 100) -> Sequence[FailureGroup]:
        """Return runs that ended badly and were not replayed, in groups by cause, newest first."""
        return await (await self.manager()).backend.journal.failure_groups(limit)

    async def replay(
        self,
        *run_ids: str,
        fingerprint: str | None = None,
        flow: str | None = None,
        everything: bool = False,
        from_step: str | None = None,
        keep: bool = True,
        dry_run: bool = False,
    ) -> list[Replayed]:
        """Replay dead letters one by one, oldest first, and say what became of each.

        Args:
            run_ids: Those to replay, by id or a unique part of it; or else:
            fingerprint: All of this cause.
            flow: All of this flow.
            everything: All.
            from_step: Repeat this step and all after it.
            keep: Take over the steps that succeeded.
            dry_run: Only say which would be replayed.

        Raises:
            InvalidInput: Nothing was chosen, or in two ways.
            UnknownRun: There is no such run.
        """
        choice = Choice(names=run_ids, fingerprint=fingerprint, flow=flow, everything=everything)
        letters = DeadLetters(await self.manager())
        replays = letters.replay(choice, keep=keep, from_step=from_step, dry_run=dry_run)
        return [replayed async for replayed in replays]

    async def close(self) -> None:
        """Let go of all connections."""
        if self._manager is not None:
            await self._manager.close()


def _state(name: RunState | str) -> RunState:
    try:
        return RunState(name)
    except ValueError:
        known = ", ".join(RunState)
        raise InvalidInput(f"There is no run state {name!r}. States: {known}.") from None
