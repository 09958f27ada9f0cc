"""What goes wrong in the composition of a flow, rather than in one of its steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from envelope.errors import Terminal
from envelope.failure import Failure


class InvalidFlow(Terminal):
    """A flow is put together in a way that cannot work. Raised when it is built."""

    code = "INVALID_FLOW"


class CyclicGraph(InvalidFlow):
    """Steps of a graph wait for one another. The message names them in their order."""

    code = "GRAPH_CYCLE"


class UnknownDependency(InvalidFlow):
    """A step of a graph depends on one that is not in it. The message names both."""

    code = "GRAPH_UNKNOWN_DEPENDENCY"


class NoSuchCase(Terminal):
    """A switch has no case for the value that it met, and no default."""

    code = "NO_SUCH_CASE"


class NoRoute(Terminal):
    """A router has no route left. The message says why each of them was passed over."""

    code = "NO_ROUTE"


class TimedOut(Terminal):
    """A node was not done within its time and was cancelled."""

    code = "NODE_TIMED_OUT"


class CircuitOpen(Terminal):
    """A circuit breaker lets nothing through, because its node failed too often.

    Args:
        name: The breaker's name.
        retry_after: Seconds after which it lets a trial through at the latest.
    """

    code = "CIRCUIT_OPEN"

    def __init__(self, name: str, retry_after: float) -> None:
        super().__init__(
            f"The circuit breaker {name!r} is open: what it guards failed too often. It lets a "
            f"trial through within {retry_after:g} s. Try again then, or give a Fallback."
        )
        self.retry_after = retry_after


class SagaFailed(Terminal):
    """A saga did not come to its end; what it had done was undone, as far as that went.

    Args:
        saga: The saga's name.
        cause: Why it ended: the failure of `failed`, or the cancellation.
        failed: The action that failed or was interrupted; None where the saga was cancelled
            between two actions.
        succeeded: The actions that had succeeded, in order.
        undone: The actions whose compensation succeeded, in the order in which they were undone.
        not_undone: Why the other compensations failed, by action: something for a person to mend.
        cancelled: Whether the saga was cancelled rather than failed.
    """

    code = "SAGA_FAILED"

    def __init__(
        self,
        saga: str,
        cause: Failure,
        *,
        failed: str | None,
        succeeded: Sequence[str],
        undone: Sequence[str],
        not_undone: Mapping[str, Failure],
        cancelled: bool,
    ) -> None:
        self.saga = saga
        self.failed = failed
        self.succeeded = tuple(succeeded)
        self.undone = tuple(undone)
        self.not_undone = dict(not_undone)
        self.cancelled = cancelled
        self.failure = Failure(
            code=self.code,
            message=f"{self._first_sentence(cause)} {self._second_sentence()}",
            step=cause.step,
            agent=cause.agent,
            fingerprint=cause.fingerprint,
            details={
                "saga": saga,
                "failed": failed,
                "succeeded": list(succeeded),
                "undone": list(undone),
                "not_undone": {name: why.message for name, why in not_undone.items()},
                "cause": cause.code,
            },
        )
        super().__init__(self.failure.message)

    def _first_sentence(self, cause: Failure) -> str:
        if self.cancelled:
            return f"Saga {self.saga!r} was cancelled."
        return f"Saga {self.saga!r} failed at {self.failed!r}: {cause.code}: {cause.message}."

    def _second_sentence(self) -> str:
        if self.not_undone:
            told = ", ".join(f"{name!r} ({why.message})" for name, why in self.not_undone.items())
            return f"Not undone, see to it: {told}. Undone: {_listed(self.undone)}."
        return f"Undone: {_listed(self.undone)}."


def _listed(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names) or "nothing"
