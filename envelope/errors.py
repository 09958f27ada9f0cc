"""Every error of Muster, named for what the engine does next.

`Terminal`: the step or run ends here, nothing is tried again. `Retryable`: the same work is tried
again, after `retry_after` seconds or after a backoff. `Cancelled`: the work stops and compensates.
`Fenced`: another process owns the work; this one drops what it holds without writing.
`Unavailable`: a service is away; nothing was accepted, the caller may try again.
"""

from __future__ import annotations

from typing import ClassVar


class MusterError(Exception):
    """Base of all errors raised by Muster."""

    code: ClassVar[str] = "MUSTER_ERROR"
    kind: ClassVar[str] = "terminal"


class Terminal(MusterError):
    """The step or run ends with this error. The engine records it and does not retry."""

    code = "TERMINAL"


class Retryable(MusterError):
    """The engine tries the step again.

    Args:
        message: What went wrong.
        retry_after: Seconds to wait before the next attempt; None leaves it to the backoff.
    """

    code = "RETRYABLE"
    kind = "retryable"

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Cancelled(MusterError):
    """The run was cancelled. The engine stops its agents, compensates and records the reason."""

    code = "CANCELLED"
    kind = "cancelled"


class Fenced(MusterError):
    """A write carried a stale epoch and was refused. The engine drops the run without a trace."""

    code = "FENCED"
    kind = "fenced"


class Unavailable(MusterError):
    """A needed service is away. Nothing was accepted; try again when it is back."""

    code = "UNAVAILABLE"
    kind = "unavailable"


class JournalUnavailable(Unavailable):
    """The database of the journal is away. Nothing was accepted; check MUSTER_DATABASE_URL."""

    code = "JOURNAL_UNAVAILABLE"


class QueueUnavailable(Unavailable):
    """Redis is away. Accepted runs are sent by the reconciler when it is back."""

    code = "QUEUE_UNAVAILABLE"


class InvalidInput(Terminal):
    """The input does not fit the model of the flow or agent that it is meant for."""

    code = "VALIDATION_FAILED"


class InvalidEnvelope(Terminal):
    """An envelope or one of its records breaks the contract."""

    code = "INVALID_ENVELOPE"


class TooLarge(Terminal):
    """A payload or envelope exceeds its cap. Store the bulk elsewhere and pass a reference."""

    code = "TOO_LARGE"


class NotRegistered(Terminal):
    """No agent or flow of that name and version is registered. The message lists what is."""

    code = "NOT_REGISTERED"


class AlreadyRegistered(Terminal):
    """Two agents or flows claim one name and version."""

    code = "ALREADY_REGISTERED"


class IdempotencyConflict(Terminal):
    """The idempotency key belongs to a run with another payload.

    Args:
        key: The key used twice.
        run_id: The run that holds the key.
    """

    code = "IDEMPOTENCY_CONFLICT"

    def __init__(self, key: str, run_id: str) -> None:
        super().__init__(
            f"Idempotency key {key!r} belongs to run {run_id}, which has another payload. "
            "Use a new key for new work, or send the same payload again."
        )
        self.key = key
        self.run_id = run_id


class SingletonConflict(Terminal):
    """Another run that has not ended holds the flow's singleton key. Nothing was accepted.

    Args:
        key: The key.
        run_id: The run that holds it.
    """

    code = "SINGLETON_CONFLICT"

    def __init__(self, key: str, run_id: str) -> None:
        super().__init__(
            f"Run {run_id} holds the singleton key {key!r} and has not ended. Wait for its end or "
            "cancel it; on_conflict of the flow can be queue, reject, join or replace."
        )
        self.key = key
        self.run_id = run_id


class LockHeld(Retryable):
    """Another owner has the lock. The step is tried again after a backoff."""

    code = "LOCK_ACQUISITION_FAILED"


class LockLost(Terminal):
    """The lock was lost while it was held. Another owner may have it: the work must not go on."""

    code = "LOCK_LOST"


class BudgetExceeded(Terminal):
    """The run's budget of tokens or money does not allow the next call. The run ends with it."""

    code = "BUDGET_EXCEEDED"


class WaitTimedOut(Terminal):
    """What a flow waited for did not come within the time that it gave."""

    code = "WAIT_TIMED_OUT"


class RunEnded(Terminal):
    """The run has ended; it can neither be signalled nor cancelled any more."""

    code = "RUN_ENDED"


class NonDeterminism(Terminal):
    """A replay met another step than the one recorded. The flow's code changed under a run."""

    code = "NON_DETERMINISM"


class UnknownRun(Terminal):
    """No run of that id is in the journal."""

    code = "UNKNOWN_RUN"


class TaskFailed(Terminal):
    """An agent's own code raised. The message carries the exception's type and text."""

    code = "TASK_EXECUTION_FAILED"


class LostTooOften(Terminal):
    """The run lost its worker too often without progress; it waits among the dead letters."""

    code = "LOST_TOO_OFTEN"


class NotSent(Retryable):
    """Nothing was sent, and another attempt is worth it."""

    code = "NOT_SENT"


class Refused(Terminal):
    """The receiver, or a rule of the channel, refused the effect for good. Nothing happened.

    Args:
        message: Who refused it and why.
        spent: Whether the receiver saw the content: then nothing is sent under that key again.
    """

    code = "REFUSED"

    def __init__(self, message: str, *, spent: bool = False) -> None:
        super().__init__(message)
        self.spent = spent


class EffectUnknown(Terminal):
    """Nobody knows whether an effect happened: its sender was lost, or the receiver fell silent.

    It is not tried again. A person looks and says so with `muster effects settle`.
    """

    code = "EFFECT_UNKNOWN"


class EffectConflict(Terminal):
    """The key of an effect belongs to another act. Use a new key for a new act."""

    code = "EFFECT_CONFLICT"


class UnknownEffect(Terminal):
    """No effect of that key is in the ledger."""

    code = "UNKNOWN_EFFECT"


class UnknownApproval(Terminal):
    """No approval of that id is in the ledger."""

    code = "UNKNOWN_APPROVAL"


class ApprovalRefused(Terminal):
    """This decision is not valid: by whom, for what or when it was made. Nothing changed."""

    code = "APPROVAL_REFUSED"


class ApprovalRejected(Terminal):
    """A person rejected what the run asked for."""

    code = "APPROVAL_REJECTED"


class ApprovalExpired(Terminal):
    """Nobody consented within the time that the run gave, or the consent was not used in time."""

    code = "APPROVAL_EXPIRED"


class RunFailed(MusterError):
    """The run ended in `failed` or `dead`; `failure` of the run's row says why."""

    code = "RUN_FAILED"


class RunCancelled(MusterError):
    """The run was cancelled before it had a result."""

    code = "RUN_CANCELLED"
    kind = "cancelled"


class RunTimeout(MusterError):
    """The run had no result within the time that the caller wanted to wait. It goes on."""

    code = "RUN_TIMEOUT"
