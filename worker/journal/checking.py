"""Refuses text that a database cannot keep, before it travels in a batch with others' work.

Postgres keeps no NUL character and neither database keeps half of a surrogate pair.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite

from envelope.errors import InvalidInput
from envelope.ports.journal_rows import AgentLimit, Attempt, Waits
from envelope.ports.journal_writes import (
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
from worker.journal.singletons import POLICIES

_INT_LIMIT = 2**31
_BIG_LIMIT = 2**63
_NAME_BYTES = 200
_KEY_BYTES = 2000
"""What is indexed must fit into an index: Postgres has room for 2,700 bytes in an entry."""


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
    _check_key(what, new.singleton)
    if new.on_conflict not in POLICIES:
        raise InvalidInput(
            f"{what}: on_conflict is {new.on_conflict!r}; use one of {', '.join(sorted(POLICIES))}."
        )
    checked_text(what, new.parent_id, new.root_id)
    if new.replay is not None:
        checked_text(what, new.replay.run_id, new.replay.before)
    _check_amounts(f"{what}: its budget", new.budget_tokens or 0, new.budget_usd or 0.0)
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
        _check_name(f"{what}, fingerprint", end.fingerprint or "")
        _check_waits(f"{what}, waits", end.waits)
    return check_commit(commit)


def checked_step_commit(commit: StepCommit) -> StepCommit:
    """Return `commit` if it is consistent and every text of it can be stored."""
    what = f"Run {commit.run_id!a}, step {commit.step!a}"
    checked_text(what, commit.result, commit.failure)
    _check_amounts(what, commit.tokens, commit.usd)
    _check_attempts(what, [commit.record] if commit.record else [])
    _check_events(what, commit.events)
    return check_step_commit(commit)


def checked_signal(run_id: str, name: str, data: str) -> None:
    """Check that a signal can be stored, and that its name can be asked for."""
    what = f"Signal for run {run_id!a}"
    checked_text(what, run_id, data)
    if not name:
        raise InvalidInput(f"{what}: a signal needs a name.")
    _check_name(what, name)


def checked_limit(limit: AgentLimit) -> AgentLimit:
    """Return `limit` if it can be stored."""
    what = f"Limit of agent {limit.agent!a}"
    checked_text(what, limit.rate)
    _check_name(what, limit.agent)
    if limit.concurrency is not None and not 0 <= limit.concurrency < _INT_LIMIT:
        raise InvalidInput(f"{what}: the concurrency must be from 0 to 2**31 - 1.")
    return limit


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
    _check_amounts(where, step.tokens, step.usd)


def _check_waits(what: str, waits: Waits | None) -> None:
    if waits is None:
        return
    checked_text(what, *waits.children)
    for name in waits.signals:
        _check_name(what, name)
    if waits.until is not None and not isfinite(waits.until):
        raise InvalidInput(f"{what}: the time must be a finite number of seconds.")


def _check_name(what: str, name: str) -> None:
    checked_text(what, name)
    if len(name.encode()) > _NAME_BYTES:
        raise InvalidInput(f"{what}: the name is longer than {_NAME_BYTES} bytes. Shorten it.")


def _check_key(what: str, key: str | None) -> None:
    checked_text(what, key)
    if key is not None and len(key.encode()) > _KEY_BYTES:
        raise InvalidInput(
            f"{what}: the singleton key is longer than {_KEY_BYTES:,} bytes. Make it of shorter "
            "parts."
        )


def _check_amounts(what: str, tokens: int, usd: float) -> None:
    if not 0 <= tokens < _BIG_LIMIT:
        raise InvalidInput(f"{what}: tokens must be from 0 to 2**63 - 1.")
    if not (isfinite(usd) and usd >= 0):
        raise InvalidInput(f"{what}: US dollars must be a finite number, 0 or more.")


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
