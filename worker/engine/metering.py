"""What a step's model calls use: charged to the run's budget, and summed over all attempts."""

from __future__ import annotations

from envelope.ports.budgets import BudgetLimit
from envelope.ports.journal_rows import Run
from envelope.usage import Usage
from worker.coordination.budgets.meter import RunMeter
from worker.engine.parts import EngineParts


class StepMeter:
    """The meter of one step, for all its attempts in this process.

    Attributes:
        usage: What they have used so far; failed attempts cost money too.
        meter: What model calls ask before they are made; None where the run has no budget.
    """

    def __init__(self, parts: EngineParts, run: Run, step: str) -> None:
        self.usage = Usage()
        self.meter = _run_meter(parts, run, step)

    def add(self, usage: Usage) -> None:
        """Add what an attempt used."""
        self.usage += usage

    def committed(self) -> None:
        """The step's outcome is in the journal, which counts it from now on."""
        if self.meter is not None:
            self.meter.committed()


def _run_meter(parts: EngineParts, run: Run, step: str) -> RunMeter | None:
    if parts.budgets is None or (run.budget_tokens is None and run.budget_usd is None):
        return None
    limit = BudgetLimit(
        root_id=run.root_id or run.run_id, tokens=run.budget_tokens, usd=run.budget_usd
    )
    return RunMeter(parts.budgets, limit, run.run_id, step)
