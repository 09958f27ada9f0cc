"""The campaign manager: where every trigger enters, whatever it came by."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

from control.admission import Repetition, admit
from control.async_run import AsyncRun
from control.closing import AsyncClosing
from control.dispatch import Dispatcher, hint_of
from control.event import Event
from control.looking import Lookout
from control.receipt import Receipt
from control.replacing import replace_older
from control.steering import Steering
from envelope.errors import InvalidInput
from envelope.ports.journal_rows import Accepted
from envelope.ports.journal_writes import NewRun
from envelope.resources import Resources
from worker.backend import Backend
from worker.engine.first_sending import WholeWork
from worker.loading import load_modules
from worker.resources import resources_of
from worker.settings import Settings

EventLike = Event | Mapping[str, Any]

_AT_ONCE = 1000


class AsyncCampaignManager(AsyncClosing):
    """Accepts events: resolve, validate, commit, send.

    Args:
        backend: Where runs are kept and sent to. Without a queue it executes each event's run
            before `ingest_event` returns: to its end, or to where it has waited for a second for a
            signal or an approval. From there it goes on in the background while the manager is
            open.
        resources: What agents ask for, where runs are executed here; by default what the settings
            say.
    """

    def __init__(self, backend: Backend, resources: Resources | None = None) -> None:
        self.backend = backend
        self.lookout = Lookout(backend.wakeups, backend.journal)
        self._dispatcher = Dispatcher(backend, resources or resources_of(backend.settings))
        self._steering = Steering(backend, self._dispatcher)
        self._accepting = WholeWork()

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
            SingletonConflict: An active run has the flow's singleton key and the flow says
                `on_conflict="reject"`; nothing was accepted.
            JournalUnavailable: The database is away; nothing was accepted.
        """
        return (await self.ingest_many([event]))[0]

    async def ingest_repetition(self, event: EventLike, repetition: Repetition) -> AsyncRun:
        """Accept an event that repeats a run; errors as `ingest_event`.

        Raises:
            InvalidInput: The run has not ended, or has not the step it shall be repeated from.
        """
        return (await self._accept([self._new(event, repetition)]))[0]

    async def ingest_many(self, events: Iterable[EventLike]) -> list[AsyncRun]:
        """Accept many events; the handles keep their order. Errors as `ingest_event`.

        All are validated before the first is accepted. Where a key conflicts, the others are
        accepted all the same and the first conflict is raised.
        """
        news = [self._new(event) for event in events]
        handles: list[AsyncRun] = []
        for start in range(0, len(news), _AT_ONCE):
            handles += await self._accept(news[start : start + _AT_ONCE])
        return handles

    def handle(self, run_id: str, receipt: Receipt | None = None) -> AsyncRun:
        """Return the handle of a run."""
        return AsyncRun(run_id, self.backend.journal, self._steering, self.lookout, receipt)

    async def tell_of_decision(self, run_id: str) -> None:
        """Get a run under way whose approval was decided."""
        await self._steering.tell_of_decision(run_id)

    async def close(self) -> None:
        """Let go of everything."""
        await self._accepting.done()
        await self._dispatcher.close()
        await self.backend.close()

    def _new(self, event: EventLike, repetition: Repetition | None = None) -> NewRun:
        limit, trace = self.backend.settings.payload_max_bytes, self.backend.telemetry.trace_id()
        return self._executable(admit(Event.of(event), limit, repetition, trace))

    def _executable(self, new: NewRun) -> NewRun:
        if self.backend.queue is None and new.delay_seconds:
            raise InvalidInput(
                "A delayed run needs a queue; this campaign manager executes runs at once. "
                "Use CampaignManager.from_settings()."
            )
        return replace(new, sent=self.backend.queue is not None)

    async def _accept(self, news: Sequence[NewRun]) -> list[AsyncRun]:
        """Accept and send. Who gives up waiting leaves nothing half done: what is noted is sent."""
        if self.backend.queue is None:
            return await self._accept_and_send(news)
        return await self._accepting.of(self._accept_and_send(news))

    async def _accept_and_send(self, news: Sequence[NewRun]) -> list[AsyncRun]:
        """Committed concurrently, so that the journal writes them in few transactions."""
        answers = await asyncio.gather(*(self._commit(new) for new in news), return_exceptions=True)
        accepted = [
            (new, answer)
            for new, answer in zip(news, answers, strict=True)
            if isinstance(answer, Accepted)
        ]
        receipts = await self._send([await self._ahead(*pair) for pair in accepted])
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return [self.handle(receipt.run_id, receipt) for receipt in receipts]

    async def _commit(self, new: NewRun) -> Accepted:
        with self.backend.telemetry.triggered(new):
            return await self.backend.journal.accept(new)

    async def _ahead(self, new: NewRun, answer: Accepted) -> tuple[NewRun, Receipt]:
        """Bring about the end of what the run waits for, where its flow says `replace`.

        A trigger that is repeated does so again: the first one may have died in between.
        """
        receipt = _receipt(new, answer)
        if new.on_conflict == "replace" and (receipt.behind or not receipt.created):
            receipt = await replace_older(self.backend.journal, self._steering, receipt)
        return new, receipt

    async def _send(self, accepted: Sequence[tuple[NewRun, Receipt]]) -> list[Receipt]:
        due = [new for new, receipt in accepted if _is_due(new, receipt)]
        notice = await self._dispatcher.send_accepted([hint_of(new) for new in due])
        sent = {new.run_id for new in due} if notice is None else set()
        return [
            replace(
                receipt,
                sent=receipt.run_id in sent,
                notice=receipt.notice or (notice if receipt.created else None),
            )
            for _, receipt in accepted
        ]


def _is_due(new: NewRun, receipt: Receipt) -> bool:
    return receipt.created and receipt.behind is None and not new.delay_seconds


def _receipt(new: NewRun, answer: Accepted) -> Receipt:
    return Receipt(
        run_id=answer.run_id,
        flow=new.flow,
        version=new.version,
        created=answer.created,
        sent=False,
        singleton=new.singleton,
        behind=answer.behind,
    )
