"""The journal: the durable memory of runs, steps, attempts, events and workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from envelope.ports.journal_rows import (
    Accepted,
    Attempt,
    Claim,
    Commit,
    Event,
    Hint,
    NewRun,
    QuarantinedMessage,
    Rescue,
    Run,
    RunFilter,
    Step,
    StepClaim,
    StepCommit,
    WorkerInfo,
    WorkerRow,
)


class Journal(Protocol):
    """The durable memory. Every method raises `JournalUnavailable` when the database is away."""

    async def accept(self, new: NewRun) -> Accepted:
        """Commit a run, or return the one that its tenant, flow and key already name.

        Raises:
            IdempotencyConflict: The key belongs to a run with another payload.
        """

    async def claim(
        self,
        run_id: str,
        worker_id: str,
        *,
        from_owner: str | None = None,
        versions: Mapping[str, Sequence[int]] | None = None,
    ) -> Claim | None:
        """Take a queued run (or a running one whose owner's lease lapsed): epoch + 1, owner.

        Args:
            run_id: The run.
            worker_id: The process that takes it.
            from_owner: The living owner that hands it over; no loss is counted then.
            versions: The versions of each flow that this process has; None for all there are.

        Returns None when the run is unknown, terminal, not yet available, owned by the living, or
        of a flow or version that this process has not.
        """

    async def commit(self, commit: Commit) -> int:
        """Write durably and return the number of the run's last event.

        Raises:
            Fenced: The epoch is stale; nothing was written.
        """

    def submit(self, commit: Commit) -> None:
        """Write with the next batch, in order with later commits, without waiting for it.

        Should it be lost in a crash, then so is every later commit of this process.
        """

    async def claim_step(self, run_id: str, step: str, executor: str) -> StepClaim | None:
        """Take a queued step: state `running`, attempt + 1. None when it is not to be taken."""

    async def commit_step(self, commit: StepCommit) -> str | None:
        """Write a queued step's outcome; return the run's owner, who waits for it.

        Raises:
            Fenced: The step was taken from this executor, or the run has ended.
        """

    async def settled_steps(self, steps: Sequence[tuple[str, str]]) -> Sequence[Step]:
        """Of the steps named (run, step), return those that are settled."""

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
        """Note that messages went out for these runs."""

    async def beat(self, worker: WorkerInfo, lease_seconds: float) -> Sequence[tuple[str, str]]:
        """Renew this process's lease; return its runs (id, reason) that shall be cancelled."""

    async def retire(self, worker_id: str) -> None:
        """Forget a worker that ends in order. Its runs count as lost from now on."""

    async def rescue(self, max_losses: int) -> Sequence[Rescue]:
        """Queue every running run whose owner's lease lapsed: epoch + 1, losses + 1.

        A loss found this way may be another's fault, so a run is dead only at `10 * max_losses`.
        """

    async def blame(self, run_id: str, worker_id: str, max_losses: int) -> Rescue | None:
        """Count a loss that is the run's own doing: it died alone in the isolated `worker_id`.

        At `max_losses` the run is dead. None when that worker does not own the run any more.
        """

    async def cancel(self, run_id: str, reason: str) -> Run | None:
        """End a run that is queued or waiting, or ask its owner to. None when unknown."""

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
