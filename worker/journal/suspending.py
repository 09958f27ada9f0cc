"""How a run's owner drops it until something comes."""

from __future__ import annotations

from envelope.errors import InvalidInput
from envelope.ports.journal_rows import RunState, Waits
from envelope.ports.journal_writes import RunEnd
from worker.journal.book import Book, Needs
from worker.journal.rows import RunRow
from worker.journal.waking import Reason, reason_to_wake, wake


def check_waits(run_id: str, end: RunEnd) -> None:
    """Refuse an end whose state and `waits` do not fit together.

    Raises:
        InvalidInput: The run would wait for nothing, for a singleton key, or without waiting.
    """
    waits = end.waits
    if end.state is not RunState.WAITING:
        if waits is not None:
            raise InvalidInput(f"Run {run_id}: only a waiting run has something to wait for.")
        return
    if waits is None or not (waits.until is not None or waits.signals or waits.children):
        raise InvalidInput(
            f"Run {run_id}: a run that waits for nothing would wait for ever. Give it a time, a "
            "signal or a child to wait for."
        )
    if waits.singleton is not None:
        raise InvalidInput(f"Run {run_id}: a run that has begun waits for no singleton key.")


def need_waits(needs: Needs, run_id: str, waits: Waits) -> None:
    """Name what decides whether something awaited is there already."""
    needs.runs.update(waits.children)
    needs.waits.update((child, run_id) for child in waits.children)
    if waits.signals:
        needs.signals.add(run_id)


def suspend(book: Book, run: RunRow, waits: Waits) -> None:
    """Let the run wait, or queue it at once where something awaited is there already."""
    run.state = RunState.WAITING
    run.owner = None
    run.waits = Waits(
        until=waits.until, signals=dict(waits.signals), children=tuple(waits.children)
    )
    book.tie(run)
    book.touch(run)
    reason = _reason(book, run, waits)
    if reason is not None:
        wake(book, run, reason)
        return
    for child in dict.fromkeys(waits.children):
        book.wait_for(book.runs[child], run)


def _reason(book: Book, run: RunRow, waits: Waits) -> Reason | None:
    if run.cancel_epoch == run.epoch:
        # Asked to stop since its owner claimed it: the owner may not know. Once it knows, as any
        # later one does, a wait is a part of its compensation.
        return {"why": "cancel"}
    return reason_to_wake(book, run, waits, frozenset(waits.children))
