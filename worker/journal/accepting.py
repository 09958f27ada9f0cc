"""How a run enters the journal."""

from __future__ import annotations

from dataclasses import dataclass

from envelope.errors import IdempotencyConflict, InvalidInput, UnknownRun
from envelope.events import EventType
from envelope.ports.journal_rows import Accepted, RunState
from envelope.ports.journal_writes import NewRun
from worker.journal.book import Book, KeyHolder, Needs
from worker.journal.cancelling import ask, inherited_reason
from worker.journal.replaying import steps_to_keep, take_over
from worker.journal.rows import RunRow, new_run_row
from worker.journal.sending import mark_sent
from worker.journal.singletons import JOIN, ahead_of, take_or_wait


@dataclass(slots=True)
class Accept:
    """Enter a run, unless its id or its tenant, flow and key already name one."""

    new: NewRun

    def need(self, needs: Needs) -> None:
        """Name the run's id, its keys, its parent and the run that it repeats."""
        new = self.new
        needs.runs.add(new.run_id)
        if new.key is not None:
            needs.keys.add((new.tenant, new.flow, new.key))
        if new.singleton is not None:
            needs.singletons.add(new.singleton)
        if new.parent_id is not None:
            needs.runs.add(new.parent_id)
        if new.replay is not None:
            needs.runs.add(new.replay.run_id)
            needs.replays.add(new.replay.run_id)

    def apply(self, book: Book) -> Accepted:
        """Return the run that stands for this trigger."""
        same = self._holder(book)
        if same is not None:
            return self._same(same)
        parent = self._parent(book)
        kept = steps_to_keep(book, self.new.replay) if self.new.replay else []
        ahead = ahead_of(book, self.new)
        if ahead is not None and self.new.on_conflict == JOIN:
            return Accepted(run_id=ahead, created=False)
        run = new_run_row(self.new, book.now)
        book.add(run)
        if self.new.replay is not None:
            take_over(book, run, self.new.replay, kept)
        take_or_wait(book, run, ahead)
        if self.new.sent and run.state is RunState.QUEUED and run.available_at <= book.now:
            mark_sent(book, [run])
        self._tell(book, run, ahead)
        if parent is not None:
            _join_family(book, parent, run)
        return Accepted(run_id=run.run_id, created=True, behind=ahead)

    def _holder(self, book: Book) -> KeyHolder | None:
        if (run := book.runs.get(self.new.run_id)) is not None:
            return KeyHolder(run.run_id, run.payload_sha256)
        if self.new.key is None:
            return None
        return book.keys.get((self.new.tenant, self.new.flow, self.new.key))

    def _same(self, holder: KeyHolder) -> Accepted:
        if holder.payload_sha256 == self.new.payload_sha256:
            return Accepted(run_id=holder.run_id, created=False)
        if self.new.key is None:
            raise InvalidInput(f"Run id {self.new.run_id!r} is taken by another run. Use a new id.")
        raise IdempotencyConflict(self.new.key, holder.run_id)

    def _parent(self, book: Book) -> RunRow | None:
        if self.new.parent_id is None:
            return None
        parent = book.runs.get(self.new.parent_id)
        if parent is None:
            raise UnknownRun(f"There is no run {self.new.parent_id!r} to be the parent of another.")
        return parent

    def _tell(self, book: Book, run: RunRow, ahead: str | None) -> None:
        repeated = {"replay_of": run.replay_of} if run.replay_of else {}
        book.tell(run, EventType.RUN_QUEUED, source=run.source, **repeated)
        if run.state is RunState.WAITING:
            book.tell(run, EventType.RUN_WAITING, singleton=run.singleton, behind=ahead)


def _join_family(book: Book, parent: RunRow, run: RunRow) -> None:
    """A child that comes after its parent was asked to stop is itself asked at once."""
    parent.children += 1
    book.tie(parent)
    reason = inherited_reason(parent)
    if reason is not None:
        ask(book, run, reason)
