"""What a journal in memory finds by looking at every row."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from envelope.ports.journal_rows import (
    FailureGroup,
    RunFilter,
    RunState,
    StepState,
)
from worker.journal.book import Book
from worker.journal.executing import UNDO
from worker.journal.groups import BAD_ENDS, failure_group
from worker.journal.rows import RunRow
from worker.journal.step_rows import StepRow
from worker.journal.waking import WakeRuns


def age(row: RunRow) -> tuple[float, str]:
    """Return what runs are sorted by: their acceptance."""
    return (row.created_at, row.run_id)


def matching(book: Book, which: RunFilter) -> Sequence[RunRow]:
    """Return the runs that the filter lets through, newest first."""
    rows = sorted((row for row in book.runs.values() if _matches(row, which)), key=age)
    if which.before is not None:
        before = book.runs.get(which.before)
        rows = [row for row in rows if before is not None and age(row) < age(before)]
    return rows[::-1][: max(0, which.limit)]


def first_in_line(book: Book, key: str) -> str | None:
    """Return the run that gets a singleton key next."""
    line = (
        row for row in book.runs.values() if row.waits is not None and row.waits.singleton == key
    )
    first = min(line, key=lambda row: (-row.priority, *age(row)), default=None)
    return None if first is None else first.run_id


def wakeable(book: Book, now: float, limit: int) -> WakeRuns:
    """Return what may be woken now."""
    timed = sorted(
        (row.waits.until, row.run_id)
        for row in book.runs.values()
        if row.waits is not None and row.waits.until is not None and row.waits.until <= now
    )
    ended = sorted(row.run_id for row in book.runs.values() if row.ended and row.awaited)[:limit]
    waiters = [waiter for awaited in ended for waiter in sorted(book.waiters.get(awaited, ()))]
    keys = _keys(book, ended)
    line = [run_id for key in keys if (run_id := first_in_line(book, key)) is not None]
    run_ids = dict.fromkeys([*(run_id for _, run_id in timed), *waiters, *line])
    return WakeRuns(list(run_ids)[:limit], ended, keys)


def wakeable_of(book: Book, run_ids: Sequence[str], limit: int) -> WakeRuns:
    """Return what is to be looked at to wake these runs."""
    rows = [row for run_id in dict.fromkeys(run_ids) if (row := book.runs.get(run_id)) is not None]
    waits = {row.run_id: row.waits for row in rows if row.waits is not None}
    chosen = list(waits)[:limit]
    awaited = list(dict.fromkeys(child for name in chosen for child in waits[name].children))
    wanted = (waits[run_id].singleton for run_id in chosen)
    keys = {key for key in wanted if key is not None}
    return WakeRuns(chosen, awaited, sorted(keys.union(_keys(book, awaited))))


def unasked(book: Book) -> list[str]:
    """Return the runs whose children still have to be asked to stop."""
    return sorted(row.run_id for row in book.runs.values() if row.unasked)


def active_children(book: Book, parents: Collection[str]) -> list[tuple[str, str]]:
    """Return parents, each with a child that was not asked to stop yet."""
    return sorted(
        (row.parent_id, row.run_id)
        for row in book.runs.values()
        if row.parent_id in parents
        and row.parent_id is not None
        and not row.ended
        and row.cancel_reason is None
    )


def cancelled_runs(book: Book, worker_id: str) -> Sequence[tuple[str, str]]:
    """Return the running runs of a worker that shall be cancelled, with the reason."""
    return sorted(
        (row.run_id, row.cancel_reason)
        for row in book.runs.values()
        if row.state is RunState.RUNNING
        and row.owner == worker_id
        and row.cancel_reason is not None
    )


def vain_steps(book: Book, worker_id: str) -> Sequence[tuple[str, str]]:
    """Return the queued steps that a worker executes though their run has ended or is to stop."""
    executed = (
        (name, step)
        for name, step in book.steps.items()
        if step.state is StepState.RUNNING and step.executor == worker_id and not step.inline
    )
    return sorted(name for name, step in executed if _in_vain(book.runs[name[0]], step))


def failure_groups(book: Book, limit: int) -> Sequence[FailureGroup]:
    """Return failed and dead runs that were not replayed, in groups, newest first."""
    groups: dict[tuple[str, str, str], list[RunRow]] = {}
    for row in book.runs.values():
        if row.state in BAD_ENDS and row.replayed_as is None:
            groups.setdefault((row.fingerprint or "", row.flow, row.state), []).append(row)
    found = [_group(rows) for rows in groups.values()]
    found.sort(key=lambda group: (group.last_at, group.example), reverse=True)
    return found[: max(0, limit)]


def spent(book: Book, root_id: str) -> tuple[int, float]:
    """Return tokens and US dollars used by a run and its descendants."""
    rows = [row for row in book.runs.values() if root_id in {row.run_id, row.root_id}]
    return sum(row.spent_tokens for row in rows), sum(row.spent_usd for row in rows)


def _group(rows: Sequence[RunRow]) -> FailureGroup:
    ends = [row.finished_at or 0.0 for row in rows]
    newest = max(rows, key=lambda row: (row.finished_at or 0.0, row.run_id))
    return failure_group(
        fingerprint=newest.fingerprint,
        flow=newest.flow,
        state=newest.state,
        example=newest.run_id,
        failure=newest.failure,
        count=len(rows),
        first_at=min(ends),
        last_at=max(ends),
    )


def _in_vain(run: RunRow, step: StepRow) -> bool:
    return run.ended or (run.cancel_reason is not None and step.kind != UNDO)


def _keys(book: Book, run_ids: Sequence[str]) -> list[str]:
    """Return the singleton keys of these runs."""
    rows = (book.runs.get(run_id) for run_id in run_ids)
    return sorted({row.singleton for row in rows if row is not None and row.singleton is not None})


def _matches(row: RunRow, which: RunFilter) -> bool:
    return (
        (not which.states or row.state in which.states)
        and which.flow in {None, row.flow}
        and which.tenant in {None, row.tenant}
        and which.parent_id in {None, row.parent_id}
        and which.singleton in {None, row.singleton}
        and which.fingerprint in {None, row.fingerprint or ""}
        and not (which.not_replayed and row.replayed_as is not None)
        and all(row.tags.get(name) == value for name, value in which.tags.items())
    )
