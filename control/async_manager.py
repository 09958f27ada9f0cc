"""The campaign manager: where every trigger enters, whatever it came by."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from control.admission import admit
from control.async_run import AsyncRun
from control.event import Event
from control.in_process import InProcessRunner
from control.looking import Lookout
from control.receipt import Receipt
from envelope.errors import InvalidInput, JournalUnavailable, QueueUnavailable
from envelope.ports.journal_rows import Accepted, Hint, NewRun
from envelope.resources import Resources
from worker.backend import Backend
from worker.loading import load_modules
from worker.resources import resources_of
from worker.settings import Settings

EventLike = Event | Mapping[str, Any]

_AT_ONCE = 1000


class AsyncCampaignManager:
    """Accepts events: resolve, validate, commit, send.

    Args:
        backend: Where runs are kept and sent to. Without a queue it executes each event's run
            before `ingest_event` returns.
        resources: What agents ask for, where runs are executed here; by default what the settings
            say.
    """

    def __init__(self, backend: Backend, resources: Resources | None = None) -> None:
        self.backend = backend
        self.lookout = Lookout(backend.wakeups)
        self._resources = resources or resources_of(backend.settings)
        self._runner: InProcessRunner | None = None
        self._starting = asyncio.Lock()

    @classmethod
    async def in_process(
        cls, settings: Settings | None = None, resources: Resources | None = None
    ) -> Self:
        """Return a manager that executes runs in this process: no queue, no file, no server."""
        backend = await Backend.in_process(settings)
        load_modules(backend.settings.include)
        return cls(backend, resources)

    @classmethod
    async def from_settings(cls, settings: Settings | None = None) -> Self:
        """Return a manager over the configured journal and queue.

        Raises:
            ConfigurationError: A setting is wrong.
            ModuleNotLoaded: A module of MUSTER_INCLUDE cannot be imported.
            JournalUnavailable: The database is away.
        """
        settings = settings or Settings.load()
        load_modules(settings.include)
        return cls(await Backend.open(settings))

    async def ingest_event(self, event: EventLike) -> AsyncRun:
        """Accept one event and return the handle of its run.

        Raises:
            InvalidInput: The event or its payload is wrong; nothing was accepted.
            NotRegistered: There is no such flow; nothing was accepted.
            TooLarge: The payload exceeds MUSTER_PAYLOAD_MAX_BYTES; nothing was accepted.
            IdempotencyConflict: The key belongs to a run with another payload.
            JournalUnavailable: The database is away; nothing was accepted.
        """
        return (await self.ingest_many([event]))[0]

    async def ingest_many(self, events: Iterable[EventLike]) -> list[AsyncRun]:
        """Accept many events; the handles keep their order. Errors as `ingest_event`.

        All are validated before the first is accepted. Where a key conflicts, the others are
        accepted all the same and the first conflict is raised.
        """
        limit = self.backend.settings.payload_max_bytes
        news = [self._executable(admit(Event.of(event), limit)) for event in events]
        handles: list[AsyncRun] = []
        for start in range(0, len(news), _AT_ONCE):
            handles += await self._accept(news[start : start + _AT_ONCE])
        return handles

    def handle(self, run_id: str, receipt: Receipt | None = None) -> AsyncRun:
        """Return the handle of a run."""
        return AsyncRun(run_id, self.backend.journal, self.backend.wakeups, self.lookout, receipt)

    async def close(self) -> None:
        """Let go of everything."""
        if self._runner is not None:
            await self._runner.close()
        await self.backend.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def _executable(self, new: NewRun) -> NewRun:
        if self.backend.queue is None and new.delay_seconds:
            raise InvalidInput(
                "A delayed run needs a queue; this campaign manager executes runs at once. "
                "Use CampaignManager.from_settings()."
            )
        return new

    async def _accept(self, news: Sequence[NewRun]) -> list[AsyncRun]:
        """Committed concurrently, so that the journal writes them in few transactions."""
        answers = await asyncio.gather(
            *(self.backend.journal.accept(new) for new in news), return_exceptions=True
        )
        accepted = [
            (new, answer)
            for new, answer in zip(news, answers, strict=True)
            if isinstance(answer, Accepted)
        ]
        receipts = await self._send(accepted)
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return [self.handle(receipt.run_id, receipt) for receipt in receipts]

    async def _send(self, accepted: Sequence[tuple[NewRun, Accepted]]) -> list[Receipt]:
        due = [new for new, answer in accepted if answer.created and not new.delay_seconds]
        notice = await self._dispatch(due)
        sent = {new.run_id for new in due} if notice is None else set()
        return [
            Receipt(
                run_id=answer.run_id,
                flow=new.flow,
                version=new.version,
                created=answer.created,
                sent=answer.run_id in sent,
                notice=notice if answer.created else None,
            )
            for new, answer in accepted
        ]

    async def _dispatch(self, due: Sequence[NewRun]) -> str | None:
        """Send or execute; return why nothing was sent. The runs are accepted either way."""
        if not due:
            return None
        if self.backend.queue is None:
            await self._execute(due)
            return None
        try:
            await self.backend.queue.enqueue([_hint(new) for new in due])
            await self.backend.journal.mark_sent([new.run_id for new in due])
        except (QueueUnavailable, JournalUnavailable) as error:
            return str(error)
        return None

    async def _execute(self, due: Sequence[NewRun]) -> None:
        async with self._starting:
            if self._runner is None:
                self._runner = await InProcessRunner.start(self.backend, self._resources)
        await asyncio.gather(*(self._runner.execute(new.run_id) for new in due))


def _hint(new: NewRun) -> Hint:
    return Hint(run_id=new.run_id, flow=new.flow, priority=new.priority)
