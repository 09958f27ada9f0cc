"""The worker processes that live, and what they say that they can do."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from envelope.ports.journal import Journal
from envelope.ports.journal_rows import WorkerRow


@dataclass(frozen=True, slots=True, kw_only=True)
class LivingWorker:
    """A worker process whose lease runs.

    Attributes:
        flows: The versions that it has of each flow.
        agents: The agents that it has.
        runs: How many runs it holds.
        lease_seconds: How much longer it lives unless it renews its lease.
    """

    worker_id: str
    flows: Mapping[str, Sequence[int]]
    agents: frozenset[str]
    runs: int
    lease_seconds: float

    @classmethod
    def of(cls, row: WorkerRow) -> Self:
        """Read what a worker announced; what an older version did not say is nothing."""
        said: dict[str, Any] = json.loads(row.details)
        return cls(
            worker_id=row.worker_id,
            flows=said.get("flows", {}),
            agents=frozenset(said.get("agents", ())),
            runs=said.get("runs", 0),
            lease_seconds=row.expires_in,
        )


async def living_workers(journal: Journal) -> list[LivingWorker]:
    """Return the workers that live by the journal, the only judge of that."""
    return [LivingWorker.of(row) for row in await journal.workers() if row.expires_in > 0]
