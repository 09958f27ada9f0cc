"""How a run enters the journal."""

from __future__ import annotations

from dataclasses import dataclass

from envelope.errors import IdempotencyConflict, InvalidInput
from envelope.events import EventType
from envelope.ports.journal_rows import Accepted, NewRun
from worker.journal.book import Book, KeyHolder, Needs
from worker.journal.rows import new_run_row


@dataclass(slots=True)
class Accept:
    """Enter a run, unless its id or its tenant, flow and key already name one."""

    new: NewRun

    def need(self, needs: Needs) -> None:
        """Name the run's id and its idempotency key."""
        needs.runs.add(self.new.run_id)
        if self.new.key is not None:
            needs.keys.add((self.new.tenant, self.new.flow, self.new.key))

    def apply(self, book: Book) -> Accepted:
        """Return the run that stands for this trigger."""
        holder = self._holder(book)
        if holder is not None:
            return self._same(holder)
        run = new_run_row(self.new, book.now)
        book.add(run)
        book.tell(run, EventType.RUN_QUEUED, source=run.source)
        return Accepted(run_id=run.run_id, created=True)

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
