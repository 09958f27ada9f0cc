"""The journal: the durable memory of runs, steps, attempts, events and workers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from envelope.ports.journal_rows import (
    Accepted,
    AgentLimit,
    Attempt,
    Beat,
    Claim,
    Event,
    FailureGroup,
    Hint,
    Rescue,
    Run,
    RunFilter,
    Signal,
    Signalled,
    Step,
    StepClaim,
    WorkerRow,
)
from envelope.ports.journal_writes import Commit, NewRun, QuarantinedMessage, StepCommit, WorkerInfo


class Journal(Protocol):
    """The durable memory. Every method raises `JournalUnavailable` when the database is away."""

    async def accept(self, new: NewRun) -> Accepted:
        """Commit a run, or return the one that its tenant, flow and key already name.

        A run whose singleton key is held by an active run (one that has not ended) waits, is
        refused or stands for that one, as `new.on_conflict` says. Waiting runs get the key one
        after the other, by priority, then in order of acceptance.

        Raises:
            IdempotencyConflict: The key belongs to a run with another payload.
            SingletonConflict: Another run has the singleton key and `on_conflict` is `reject`.
            UnknownRun: `new.replay` or `new.parent_id` names no run.
            InvalidInput: The run of `new.replay` has not ended, or has no step `before`.
        """

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
        """Take a queued run (or a running one whose owner's lease lapsed): epoch + 1, owner.

        Args:
            run_id: The run.
            worker_id: The process that takes it.
            from_owner: The living owner that hands it over; no loss is counted then.
            from_epoch: The epoch under which it does; a later claim of its own is not handed over.
            versions: The versions of each flow that this process has; None for all there are.
            again: The answer to an earlier claim was lost: a run that the journal has as this
                process's already is taken too.

        Returns None when the run is unknown, terminal, not yet available, owned by the living, or
        of a flow or version that this process has not.
        """

    async def commit(self, commit: Commit) -> int:
        """Write durably and return the number of the run's last event.

        Raises:
            Fenced: The epoch is stale; nothing was written.
        """

    def submit(self, commit: Commit, then: Callable[[], None] | None = None) -> None:
        """Write with the next batch, in order with later commits, without waiting for it.

        Should it be lost in a crash, then so is every later commit of this process.

        Args:
            commit: What is written.
            then: Called by the running event loop once it is written; not where it is refused.
        """

    async def claim_step(
        self, run_id: str, step: str, executor: str, *, again: bool = False
    ) -> StepClaim | None:
        """Take a queued step: state `running`, attempt + 1. None when it is not to be taken.

        With `again` as for `claim`.
        """

    async def commit_step(self, commit: StepCommit) -> str | None:
        """Write a queued step's outcome; return the run's owner, who waits for it.

        Raises:
            Fenced: The step was taken from this executor, or the run has ended.
        """

    async def settled_steps(self, steps: Sequence[tuple[str, str]]) -> Sequence[Step]:
        """Of the steps named (run, step), return those that are settled."""

    async def running_steps(self, steps: Sequence[tuple[str, str]]) -> Sequence[tuple[str, str]]:
        """Of the steps named (run, step), return the names of those that somebody executes."""

    async def rescue_steps(
        self, steps: Sequence[tuple[str, str]], max_losses: int
    ) -> Sequence[Step]:
        """Of the steps named, put those whose executor's lease lapsed back to `queued`.

        Losses + 1 each; at `10 * max_losses` the step fails with LOST_TOO_OFTEN. Returns every
        step that changed.
        """

    async def unsent(
        self, topics_empty: frozenset[str], grace: float, limit: int
    ) -> Sequence[Hint]:
        """Return runs that are queued and due but whose message is missing, and mark them sent.

        Missing means: never sent, or sent longer ago than `grace` while the topic `runs.<flow>` is
        in `topics_empty`, or ten times as long ago while it is not. From the fifth send on the wait
        doubles each time, up to 64 times the grace.
        """

    async def mark_sent(self, run_ids: Sequence[str]) -> None:
        """Note that messages went out for those of these runs that are still queued."""

    async def forget_sent(self, run_ids: Sequence[str]) -> None:
        """Take that note back for those of these runs that nobody has claimed yet."""

    async def beat(self, worker: WorkerInfo, lease_seconds: float) -> Beat:
        """Renew this process's lease; return what it shall stop."""

    async def retire(self, worker_id: str) -> None:
        """Forget a worker that ends in order. Its runs count as lost from now on."""

    async def owned(self, worker_id: str) -> Mapping[str, int]:
        """Return the epochs of the runs that are running in the name of a worker, by run id."""

    async def rescue(self, max_losses: int) -> Sequence[Rescue]:
        """Queue every running run whose owner's lease lapsed: epoch + 1, losses + 1.

        A loss found this way may be another's fault, so a run is dead only at `10 * max_losses`.
        """

    async def blame(self, run_id: str, worker_id: str, max_losses: int) -> Rescue | None:
        """Count a loss that is the run's own doing: it died alone in the isolated `worker_id`.

        At `max_losses` the run is dead. None when that worker does not own the run any more.
        """

    async def cancel(self, run_id: str, reason: str) -> Run | None:
        """End a run that is queued or waiting, or ask its owner to; its descendants likewise.

        None when unknown. A run that had begun and waits is queued instead, so that a worker lets
        it compensate; from the return of this call on no step of it is claimed but compensations
        (`undo`). What a crash in between left out, `wake` makes good.
        """

    async def signal(self, run_id: str, name: str, data: str) -> Signalled:
        """Keep a signal for a run; wake the run if it waits for one of that name.

        Raises:
            UnknownRun: There is no such run.
            RunEnded: It has ended and can receive nothing.
        """

    async def signals(self, run_id: str, after: int = 0) -> Sequence[Signal]:
        """Return a run's signals whose number is above `after`, in order."""

    async def wake(self, limit: int, run_ids: Sequence[str] | None = None) -> Sequence[Hint]:
        """Queue waiting runs for which something has come: time, signal, child, singleton key.

        Args:
            limit: How many at most.
            run_ids: Look at these alone; None for all. Cheap enough for every second.

        Returns a hint for each, to be sent; none is returned twice. Also asks the descendants of
        cancelled or ended runs to stop where a crash left them out.
        """

    async def ended(self, run_ids: Sequence[str]) -> Sequence[Run]:
        """Of the runs named, return those that have ended."""

    async def failure_groups(self, limit: int = 100) -> Sequence[FailureGroup]:
        """Return failed and dead runs that were not replayed, in groups, newest first."""

    async def spent(self, root_id: str) -> tuple[int, float]:
        """Return tokens and US dollars used by a run and all its descendants, by settled steps."""

    async def limits(self) -> Sequence[AgentLimit]:
        """Return what was set at run time, by agent."""

    async def set_limit(self, limit: AgentLimit) -> None:
        """Set it; one with neither concurrency nor rate is forgotten."""

    async def run(self, run_id: str) -> Run | None:
        """Return a run."""

    async def runs(self, which: RunFilter) -> Sequence[Run]:
        """Return runs, newest first."""

    async def counts(self) -> Mapping[str, Mapping[str, int]]:
        """Return how many runs there are, by flow and state."""

    async def steps(self, run_id: str) -> Sequence[Step]:
        """Return a run's steps in the order in which they were first written."""

    async def attempts(self, run_id: str) -> Sequence[Attempt]:
        """Return all attempts of a run's steps, in order."""

    async def events(self, run_id: str, after: int = 0, limit: int = 1000) -> Sequence[Event]:
        """Return a run's events whose number is above `after`, in order."""

    async def workers(self) -> Sequence[WorkerRow]:
        """Return the workers, living and lapsed."""

    async def quarantine(self, message: QuarantinedMessage) -> None:
        """Keep a malformed message's description."""

    async def quarantined(self, limit: int = 50) -> Sequence[Mapping[str, Any]]:
        """Return the newest quarantined messages."""

    async def open(self) -> None:
        """Connect and bring the schema up to date."""

    async def close(self) -> None:
        """Write what was submitted, then let go of everything."""
