"""Refuses text that a database cannot keep, before it travels in a batch with others' work.

Postgres keeps no NUL character and neither database keeps half of a surrogate pair.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite

from envelope.errors import InvalidInput
from envelope.ports.journal_rows import (
    Attempt,
    Commit,
    NewEvent,
    NewRun,
    QuarantinedMessage,
    StepCommit,
    StepWrite,
    WorkerInfo,
)
from worker.journal.committing import check_commit
from worker.journal.executing import check_step_commit

_INT_LIMIT = 2**31


def checked_text(what: str, *texts: str | None) -> None:
    """Check that every text can be stored.

    Raises:
        InvalidInput: One holds a NUL character or a lone surrogate; names `what` it belongs to.
    """
    for text in texts:
        if not text:
            continue
        if "\x00" in text:
            raise InvalidInput(f"{what}: text with a NUL character cannot be stored. Remove it.")
        if not text.isascii():
            _check_encodes(what, text)


def checked_run(new: NewRun) -> NewRun:
    """Return `new` if every field of it can be stored."""
    what = f"Run {new.run_id!a}"
    checked_text(what, new.run_id, new.flow, new.payload, new.payload_sha256, new.source)
    checked_text(what, new.tenant, new.user, new.thread, new.key, new.trace_id)
    for name, value in new.tags.items():
        checked_text(f"{what}, tag", name, value)
    if not isfinite(new.delay_seconds):
        raise InvalidInput(f"{what}: the delay must be a finite number of seconds.")
    if abs(new.priority) >= _INT_LIMIT:
        raise InvalidInput(f"{what}: the priority must fit into 32 bits.")
    return new


def checked_commit(commit: Commit) -> Commit:
    """Return `commit` if it is consistent and every text of it can be stored."""
    what = f"Run {commit.run_id!a}"
    for step in commit.steps:
        _check_step(what, step)
    _check_attempts(what, commit.attempts)
    _check_events(what, commit.events)
    if (end := commit.end) is not None:
        checked_text(f"{what}, end", end.envelope, end.failure, end.trace)
    return check_commit(commit)


def checked_step_commit(commit: StepCommit) -> StepCommit:
    """Return `commit` if it is consistent and every text of it can be stored."""
    what = f"Run {commit.run_id!a}, step {commit.step!a}"
    checked_text(what, commit.result, commit.failure)
    _check_attempts(what, [commit.record] if commit.record else [])
    _check_events(what, commit.events)
    return check_step_commit(commit)


def checked_worker(worker: WorkerInfo) -> WorkerInfo:
    """Return `worker` if every text of it can be stored."""
    checked_text("Worker", worker.worker_id, worker.hostname, worker.details)
    return worker


def checked_message(message: QuarantinedMessage) -> QuarantinedMessage:
    """Return `message` if every text of it can be stored."""
    checked_text(
        "Quarantined message", message.queue, message.reason, message.sha256, message.excerpt
    )
    return message


def _check_step(what: str, step: StepWrite) -> None:
    where = f"{what}, step {step.step!a}"
    checked_text(where, step.step, step.agent, step.kind, step.input_sha256, step.input)
    checked_text(where, step.executor, step.result, step.failure)
    if not isfinite(step.seconds):
        raise InvalidInput(f"{where}: seconds must be a finite number.")


def _check_attempts(what: str, attempts: Iterable[Attempt]) -> None:
    for attempt in attempts:
        where = f"{what}, attempt of {attempt.step!a}"
        checked_text(where, attempt.step, attempt.executor, attempt.outcome, attempt.failure)
        if not isfinite(attempt.seconds):
            raise InvalidInput(f"{where}: seconds must be a finite number.")


def _check_events(what: str, events: Iterable[NewEvent]) -> None:
    for event in events:
        checked_text(f"{what}, event", event.type, event.data, event.step, event.origin)


def _check_encodes(what: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidInput(
            f"{what}: text with a lone surrogate cannot be stored. Decode it as UTF-8 first."
        ) from None
