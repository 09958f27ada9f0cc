"""The client for synchronous code: the async one on a loop in a background thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from control.approvals import Approvals
from control.async_client import AsyncMuster
from control.closing import Closing
from control.dead_letters import Replayed
from control.effects import Effects
from control.loop_thread import LoopThread
from control.run import Run
from control.suppressions import Suppressions
from envelope.ports.journal_rows import FailureGroup, RunState
from envelope.ports.journal_rows import Run as RunRow
from worker.settings import Settings


class Muster(Closing):
    """Enqueues runs, finds them, waits for them. Safe to use from several threads.

    Args:
        settings: The settings; None reads the environment and `.env`.

    Raises:
        ConfigurationError: A setting is wrong.

    Example:
        >>> run = Muster().enqueue("lead", {...}, user="u1", thread="t1", key="acme")
        >>> envelope = run.result(timeout=60)
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self._client = AsyncMuster(settings or Settings.load())
        self._closing = ExitStack()
        self._thread = LoopThread()
        self._closing.callback(self._thread.close)
        self._closing.callback(lambda: self._thread.call(self._client.close()))

    @property
    def approvals(self) -> Approvals:
        """What waits for a person's consent, and the decisions."""
        return Approvals(self._client.approvals, self._thread)

    @property
    def effects(self) -> Effects:
        """What was done to the outside world."""
        return Effects(self._client.effects, self._thread)

    @property
    def suppressions(self) -> Suppressions:
        """Who shall not be reached."""
        return Suppressions(self._client.suppressions, self._thread)

    def enqueue(
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
    ) -> Run:
        """Enqueue a run of `flow` and return its handle; see `AsyncMuster.enqueue`."""
        accepted = self._client.enqueue(
            flow,
            payload,
            user=user,
            thread=thread,
            key=key,
            tags=tags,
            priority=priority,
            delay=delay,
            at=at,
            budget_tokens=budget_tokens,
            budget_usd=budget_usd,
            allow_delivery=allow_delivery,
            tenant=tenant,
            source=source,
        )
        return Run(self._thread.call(accepted), self._thread)

    def get(self, run_id: str) -> Run:
        """Return the handle of a run, named by its id or a unique part of it."""
        return Run(self._thread.call(self._client.get(run_id)), self._thread)

    def runs(
        self,
        *,
        states: Sequence[RunState | str] = (),
        flow: str | None = None,
        tenant: str | None = None,
        tags: Mapping[str, str] | None = None,
        parent: str | None = None,
        before: str | None = None,
        limit: int = 50,
    ) -> Sequence[RunRow]:
        """Return runs, newest first; see `AsyncMuster.runs`."""
        listing = self._client.runs(
            states=states,
            flow=flow,
            tenant=tenant,
            tags=tags,
            parent=parent,
            before=before,
            limit=limit,
        )
        return self._thread.call(listing)

    def retry(self, run_id: str, *, from_step: str | None = None, keep: bool = True) -> Run:
        """Repeat a run that has ended as a new run; see `AsyncMuster.retry`."""
        made = self._client.retry(run_id, from_step=from_step, keep=keep)
        return Run(self._thread.call(made), self._thread)

    def dead_letters(self, limit: int = 100) -> Sequence[FailureGroup]:
        """Return runs that ended badly, in groups by cause; see `AsyncMuster.dead_letters`."""
        return self._thread.call(self._client.dead_letters(limit))

    def replay(
        self,
        *run_ids: str,
        fingerprint: str | None = None,
        flow: str | None = None,
        everything: bool = False,
        from_step: str | None = None,
        keep: bool = True,
        dry_run: bool = False,
    ) -> list[Replayed]:
        """Replay dead letters and say what became of each; see `AsyncMuster.replay`."""
        replays = self._client.replay(
            *run_ids,
            fingerprint=fingerprint,
            flow=flow,
            everything=everything,
            from_step=from_step,
            keep=keep,
            dry_run=dry_run,
        )
        return self._thread.call(replays)

    def close(self) -> None:
        """Let go of all connections. Handles made here cannot be used any more."""
        self._closing.close()
