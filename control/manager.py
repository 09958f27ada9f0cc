"""The campaign manager for synchronous code."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from contextlib import ExitStack
from typing import Any, Self

from control.approvals import Approvals, AsyncApprovals
from control.async_manager import AsyncCampaignManager, EventLike
from control.closing import Closing
from control.loop_thread import LoopThread
from control.run import Run
from envelope.resources import Resources
from worker.settings import Settings

Opening = Callable[[], Coroutine[Any, Any, AsyncCampaignManager]]


class CampaignManager(Closing):
    """The campaign manager for synchronous code.

    `CampaignManager()` has no queue: it executes each run in this process before `ingest_event`
    returns, with no server and no file. A run that has waited for a second for a signal or an
    approval goes on in the background instead, until the manager is closed: give it what it waits
    for and ask for its result. `CampaignManager.from_settings()` uses the configured journal and
    queue.

    Args:
        resources: What agents ask for with `ctx.resource`, where runs are executed here.
        opening: Opens the asynchronous manager to use instead.

    Raises:
        ConfigurationError: A setting is wrong.
        ModuleNotLoaded: A module of MUSTER_INCLUDE cannot be imported.

    Example:
        >>> with CampaignManager() as manager:
        ...     event = {"flow": "lead", "payload": {...}, "user": "u1", "thread": "t1"}
        ...     run = manager.ingest_event(event)
        ...     print(run.status(), run.result().records[0].data)
    """

    def __init__(
        self, *, resources: Resources | None = None, opening: Opening | None = None
    ) -> None:
        self._closing = ExitStack()
        self._thread = LoopThread()
        self._closing.callback(self._thread.close)
        opening = opening or (lambda: AsyncCampaignManager.in_process(resources=resources))
        try:
            self._manager = self._thread.call(opening())
        except BaseException:
            self._closing.close()
            raise
        self._closing.callback(lambda: self._thread.call(self._manager.close()))

    @classmethod
    def from_settings(cls, settings: Settings | None = None) -> Self:
        """Return a manager over the configured journal and queue; errors as the async one."""
        return cls(opening=lambda: AsyncCampaignManager.from_settings(settings))

    def ingest_event(self, event: EventLike) -> Run:
        """Accept one event; see `AsyncCampaignManager.ingest_event`."""
        return Run(self._thread.call(self._manager.ingest_event(event)), self._thread)

    def ingest_many(self, events: Iterable[EventLike]) -> list[Run]:
        """Accept many events; see `AsyncCampaignManager.ingest_many`."""
        accepted = self._thread.call(self._manager.ingest_many(list(events)))
        return [Run(run, self._thread) for run in accepted]

    @property
    def approvals(self) -> Approvals:
        """What waits for a person's consent, and the decisions."""
        return Approvals(AsyncApprovals(self._opened), self._thread)

    async def _opened(self) -> AsyncCampaignManager:
        return self._manager

    def close(self) -> None:
        """Let go of everything. Handles made here cannot be used any more."""
        self._closing.close()
