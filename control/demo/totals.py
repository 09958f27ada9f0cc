"""What a campaign came to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

from control.outcome import failure_of
from envelope.envelope import Envelope
from envelope.ports.journal_rows import Run
from envelope.usage import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """The sums over a campaign's runs.

    Attributes:
        states: Runs by state.
        steps: Steps with a committed result.
        seconds: From the first run's start to the last one's end.
        usage: Requests, tokens and cost of all model calls.
        models: Models that wrote the drafts, with how many each wrote.
        failures: How often each failure code came up.
    """

    states: Counter[str] = field(default_factory=Counter)
    steps: int = 0
    seconds: float = 0.0
    usage: Usage = field(default_factory=Usage)
    models: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, runs: Iterable[Run]) -> Self:
        """Add up `runs`."""
        runs = list(runs)
        envelopes = [
            Envelope.from_json(run.envelope, max_bytes=None) for run in runs if run.envelope
        ]
        failures = [failure_of(run) for run in runs]
        return cls(
            states=Counter(run.state.value for run in runs),
            steps=sum(run.steps_done for run in runs),
            seconds=_span(runs),
            usage=sum((made.metadata.usage for made in envelopes), Usage()),
            models=Counter(
                record.provenance.model
                for made in envelopes
                for record in made.records
                if record.provenance.model
            ),
            failures=Counter(failure.code for failure in failures if failure),
        )

    @property
    def runs(self) -> int:
        """All runs."""
        return self.states.total()

    @property
    def runs_per_second(self) -> float:
        """Runs by the time between the first start and the last end."""
        return self.runs / self.seconds if self.seconds else 0.0


def _span(runs: Iterable[Run]) -> float:
    starts = [run.started_at for run in runs if run.started_at is not None]
    ends = [run.finished_at for run in runs if run.finished_at is not None]
    return max(0.0, max(ends) - min(starts)) if starts and ends else 0.0
