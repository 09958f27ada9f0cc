"""The journal in SQL: SQLite for one machine, Postgres for many."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

from sqlalchemy import Engine

from envelope.errors import JournalUnavailable
from envelope.ports.journal_rows import (
    Accepted,
    AgentLimit,
    Beat,
    Claim,
    Hint,
    Rescue,
    Run,
    Signalled,
    Step,
    StepClaim,
)
from envelope.ports.journal_writes import Commit, NewRun, QuarantinedMessage, StepCommit, WorkerInfo
from worker.journal.accepting import Accept
from worker.journal.apply import Work
from worker.journal.cancelling import AskChildren, CancelRun
from worker.journal.checking import (
    checked_commit,
    checked_limit,
    checked_message,
    checked_run,
    checked_signal,
    checked_step_commit,
    checked_text,
    checked_worker,
)
from worker.journal.claiming import TakeRun
from worker.journal.committing import WriteRun
from worker.journal.connect import reader_engine, writer_engine
from worker.journal.executing import TakeStep, WriteStep
from worker.journal.families import is_unasked, read_children, read_unasked
from worker.journal.leases import PurgeWorkers, RenewLease, Retire, has_expired
from worker.journal.limits import SetLimit
from worker.journal.listing import read_lost, read_unsent
from worker.journal.losing import BlameRun, RescueRuns, RescueSteps
from worker.journal.quarantined import Keep
from worker.journal.reader import Reader
from worker.journal.schema import upgrade
from worker.journal.sending import ForgetSent, MarkSent, Missing, SendMissing
from worker.journal.signalling import SendSignal
from worker.journal.sql_ledger import SqlLedger
from worker.journal.sql_reads import SqlReads
from worker.journal.store import Store
from worker.journal.stuck import end_stuck_sessions, session_name
from worker.journal.trouble import DATABASE_ERRORS, refused, unavailable
from worker.journal.urls import database_url
from worker.journal.wakeable import read_wakeable, read_wakeable_of
from worker.journal.watch import BatchWatch
from worker.journal.writer import Writer

T = TypeVar("T")

PATIENCE = 10.0
_CHUNK = 500


class SqlJournal(SqlReads, SqlLedger):
    """The durable journal. One writing thread commits for all runs of the process at once.

    Open one per process: a journal that was opened before a fork refuses to write in the child.
    Usable from several threads and event loops.

    Args:
        url: `postgresql://user:password@host/name` or `sqlite:///path/to/file.db`.
        patience: Seconds for which a write or read is tried again while the database is away.
        worker_id: The worker whose journal this is, so that others can end its transactions when
            its lease has lapsed; None where it is nobody's.
        watch: Sees what is written and how long it took; heartbeats excepted.

    Raises:
        InvalidInput: The URL names no database that a journal can live in.

    Example:
        journal = SqlJournal("sqlite:///muster.db")
        await journal.open()
        accepted = await journal.accept(new_run)
        await journal.close()
    """

    def __init__(
        self,
        url: str,
        *,
        patience: float = PATIENCE,
        worker_id: str | None = None,
        watch: BatchWatch | None = None,
    ) -> None:
        self._url = database_url(url)
        self._watch = watch
        self._patience = patience
        self._parts: tuple[Writer, Writer, Reader] | None = None
        self._known: set[str] = set()
        name = session_name(worker_id)
        self._engines = (
            writer_engine(self._url, name),
            writer_engine(self._url, name),
            reader_engine(self._url, name),
        )

    async def open(self) -> None:
        """Connect and bring the schema up to date; a second call changes nothing.

        Raises:
            JournalUnavailable: The database does not answer, or its schema is newer than the code.
        """
        if self._parts is None:
            await asyncio.to_thread(self._open)

    async def close(self) -> None:
        """Write what was submitted, then let go of everything."""
        if self._parts is not None:
            writer, beats, reader = self._parts
            await asyncio.to_thread(writer.close)
            await asyncio.to_thread(beats.close)
            await asyncio.to_thread(reader.close)
            self._parts = None
        for engine in self._engines:
            engine.dispose()

    async def accept(self, new: NewRun) -> Accepted:
        """Commit a run, or return the one that stands for its trigger."""
        return cast("Accepted", await self._write(Accept(checked_run(new))))

    async def claim(
        self,
        run_id: str,
        worker_id: str,
        *,
        from_owner: str | None = None,
        from_epoch: int | None = None,
        versions: Mapping[str, Sequence[int]] | None = None,
        again: bool = False,
    ) -> Claim | None:
        """Take a queued run, or a running one whose owner's lease lapsed."""
        checked_text("Claim", run_id, worker_id)
        return cast(
            "Claim | None",
            await self._write(TakeRun(run_id, worker_id, from_owner, from_epoch, versions, again)),
        )

    async def commit(self, commit: Commit) -> int:
        """Write durably and return the number of the run's last event."""
        return cast("int", await self._write(WriteRun(checked_commit(commit))))

    def submit(self, commit: Commit, then: Callable[[], None] | None = None) -> None:
        """Write with the next batch, in order, without waiting. A fenced write is only logged."""
        self._writer.submit(WriteRun(checked_commit(commit)), then)

    async def claim_step(
        self, run_id: str, step: str, executor: str, *, again: bool = False
    ) -> StepClaim | None:
        """Take a queued step."""
        checked_text("Step claim", run_id, step, executor)
        return cast("StepClaim | None", await self._write(TakeStep(run_id, step, executor, again)))

    async def commit_step(self, commit: StepCommit) -> str | None:
        """Write a queued step's outcome; return the run's owner."""
        return cast("str | None", await self._write(WriteStep(checked_step_commit(commit))))

    async def rescue_steps(
        self, steps: Sequence[tuple[str, str]], max_losses: int
    ) -> Sequence[Step]:
        """Put the steps whose executor's lease lapsed back to `queued`, or fail them."""
        return cast("Sequence[Step]", await self._write(RescueSteps(list(steps), max_losses)))

    async def unsent(
        self, topics_empty: frozenset[str], grace: float, limit: int
    ) -> Sequence[Hint]:
        """Return due runs whose message is missing, never-sent ones first, and mark them sent."""
        missing = Missing(topics_empty, grace)
        found = await self._reader.read(partial(read_unsent, missing=missing, limit=max(0, limit)))
        hints: list[Hint] = []
        for run_ids in _chunks(found):
            hints.extend(await self._write(SendMissing(run_ids, missing)))
        return hints

    async def mark_sent(self, run_ids: Sequence[str]) -> None:
        """Note that messages went out for those of these runs that are still queued."""
        for chunk in _chunks(run_ids):
            await self._write(MarkSent(chunk))

    async def forget_sent(self, run_ids: Sequence[str]) -> None:
        """Take that note back for those of these runs that nobody has claimed yet."""
        for chunk in _chunks(run_ids):
            await self._write(ForgetSent(chunk))

    async def beat(self, worker: WorkerInfo, lease_seconds: float) -> Beat:
        """Renew this process's lease; return what it shall stop.

        Over a connection of its own: a batch that waits for another process's locks, perhaps one
        that is paused, must not cost this process its lease.
        """
        known = worker.worker_id in self._known
        renewal = RenewLease(checked_worker(worker), lease_seconds, known)
        beat = await self._beats.perform(renewal)
        self._known.add(worker.worker_id)
        return cast("Beat", beat)

    async def retire(self, worker_id: str) -> None:
        """Forget a worker that ends in order."""
        await self._write(Retire(worker_id))
        self._known.discard(worker_id)

    async def rescue(self, max_losses: int) -> Sequence[Rescue]:
        """Queue every running run whose owner's lease lapsed, or end it as dead."""
        rescued: list[Rescue] = []
        lost = await self._reader.read(read_lost)
        if lost:
            await self._reader.read(end_stuck_sessions)
        for run_ids in _chunks(lost):
            rescued.extend(await self._write(RescueRuns(run_ids, max_losses)))
        if await self._reader.read(has_expired):
            await self._write(PurgeWorkers())
        return rescued

    async def blame(self, run_id: str, worker_id: str, max_losses: int) -> Rescue | None:
        """Count a loss that is the run's own doing."""
        return cast("Rescue | None", await self._write(BlameRun(run_id, worker_id, max_losses)))

    async def cancel(self, run_id: str, reason: str) -> Run | None:
        """End a run that is queued or waiting, or ask its owner to; its descendants likewise."""
        checked_text("Cancellation", run_id, reason)
        run = await self._write(CancelRun(run_id, reason))
        if await self._reader.read(partial(is_unasked, run_id=run_id)):
            await self._ask_families([run_id])
        return cast("Run | None", run)

    async def signal(self, run_id: str, name: str, data: str) -> Signalled:
        """Keep a signal for a run; wake the run if it waits for one of that name."""
        checked_signal(run_id, name, data)
        return cast("Signalled", await self._write(SendSignal(run_id, name, data)))

    async def wake(self, limit: int, run_ids: Sequence[str] | None = None) -> Sequence[Hint]:
        """Queue waiting runs for which something has come, 500 at most with one call."""
        most = min(max(0, limit), _CHUNK)
        if run_ids is None:
            await self._ask_families(await self._reader.read(partial(read_unasked, limit=most)))
            operation = await self._reader.read(partial(read_wakeable, limit=most))
        else:
            named = list(run_ids)
            query = partial(read_wakeable_of, run_ids=named, limit=most)
            operation = await self._reader.read(query)
        if not (operation.run_ids or operation.awaited):
            return []
        return cast("Sequence[Hint]", await self._write(operation))

    async def set_limit(self, limit: AgentLimit) -> None:
        """Set it; one with neither concurrency nor rate is forgotten."""
        await self._write(SetLimit(checked_limit(limit)))

    async def quarantine(self, message: QuarantinedMessage) -> None:
        """Keep a malformed message's description."""
        await self._write(Keep(checked_message(message)))

    async def _ask_families(self, parents: Sequence[str]) -> None:
        """Ask the descendants of these runs to stop, one generation after the other."""
        while parents:
            family = await self._reader.read(partial(read_children, parents=parents))
            *parts, last = [*_chunks(family)] or [[]]
            asked: list[str] = []
            for part in parts:
                asked += await self._write(AskChildren(part, []))
            parents = asked + list(await self._write(AskChildren(last, parents)))

    async def _write(self, work: Work) -> Any:
        return await self._writer.perform(work)

    @property
    def _writer(self) -> Writer:
        return self._opened()[0]

    @property
    def _beats(self) -> Writer:
        return self._opened()[1]

    @property
    def _reader(self) -> Reader:
        return self._opened()[2]

    def _opened(self) -> tuple[Writer, Writer, Reader]:
        if self._parts is None:
            raise JournalUnavailable("The journal is not open. Await open() before use.")
        return self._parts

    def _open(self) -> None:
        for_writes, for_beats, for_reads = self._engines
        try:
            self._make_folder()
            upgrade(for_writes)
        except (*DATABASE_ERRORS, OSError) as error:
            raise unavailable(self._url, error) from error
        reader = Reader(for_reads, self._patience)
        writer = self._started(for_writes, self._watch)
        self._parts = (writer, self._started(for_beats), reader)

    def _started(self, engine: Engine, watch: BatchWatch | None = None) -> Writer:
        writer = Writer(
            Store(engine),
            away=partial(unavailable, self._url),
            refused=partial(refused, self._url),
            patience=self._patience,
            watch=watch,
        )
        writer.start()
        return writer

    def _make_folder(self) -> None:
        if self._url.get_backend_name() == "sqlite" and self._url.database:
            Path(self._url.database).parent.mkdir(parents=True, exist_ok=True)


def _chunks(names: Sequence[T]) -> Iterator[Sequence[T]]:
    """Yield parts small enough that one transaction does not hold its locks for long."""
    for first in range(0, len(names), _CHUNK):
        yield names[first : first + _CHUNK]
