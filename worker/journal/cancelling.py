"""How a run and its descendants are cancelled from outside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from envelope.events import EventType
from envelope.ports.journal_rows import RunState
from worker.journal.book import Book, Needs
from worker.journal.finishing import ask_children, finish, queue_again
from worker.journal.operations import RunAnswer
from worker.journal.rows import RunRow


@dataclass(slots=True)
class CancelRun:
    """Ask a run to stop. The first reason stays."""

    run_id: str
    reason: str

    def need(self, needs: Needs) -> None:
        """Name the run."""
        needs.runs.add(self.run_id)

    def apply(self, book: Book) -> RunAnswer:
        """Return the run as it then is."""
        run = book.runs.get(self.run_id)
        if run is not None:
            ask(book, run, self.reason)
        return RunAnswer(self.run_id)


@dataclass(slots=True)
class AskChildren:
    """Pass a cancellation or a bad end on to children.

    Attributes:
        family: Parents with one child each.
        done: Parents all of whose children are asked with this.
    """

    family: Sequence[tuple[str, str]]
    done: Sequence[str]

    def need(self, needs: Needs) -> None:
        """Name the parents and the children."""
        needs.runs.update(self.done)
        for pair in self.family:
            needs.runs.update(pair)

    def apply(self, book: Book) -> Sequence[str]:
        """Return those of the children that have children to be asked in turn."""
        asked = [child for parent, child in self.family if _pass_on(book, parent, child)]
        for run_id in self.done:
            parent = book.runs.get(run_id)
            if parent is not None and parent.unasked:
                parent.unasked = False
                book.tie(parent)
        return [run_id for run_id in asked if book.runs[run_id].unasked]


def ask(book: Book, run: RunRow, reason: str) -> bool:
    """Ask a run to stop, once: end what has not begun, let the rest be compensated by a worker.

    Returns whether it was asked now.
    """
    if run.ended or run.cancel_reason is not None:
        return False
    run.cancel_reason = reason
    run.cancel_epoch = run.epoch
    book.tie(run)
    ask_children(book, run)
    if run.started_at is None:
        finish(book, run, RunState.CANCELLED)
        book.tell(run, EventType.RUN_CANCELLED, reason=reason)
        return True
    if run.state is not RunState.RUNNING:
        queue_again(book, run)
    book.tell(run, EventType.RUN_CANCELLING, reason=reason)
    return True


def inherited_reason(parent: RunRow) -> str | None:
    """Return why a child of this run is to stop; None where it may go on."""
    if parent.cancel_reason is not None:
        return parent.cancel_reason
    if parent.ended and parent.state is not RunState.SUCCEEDED:
        return f"Its parent run {parent.run_id} has ended as {parent.state.value}."
    return None


def _pass_on(book: Book, parent_id: str, child_id: str) -> bool:
    parent, child = book.runs.get(parent_id), book.runs.get(child_id)
    reason = inherited_reason(parent) if parent is not None else None
    return child is not None and reason is not None and ask(book, child, reason)
