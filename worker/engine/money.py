"""What a run may still spend, for those who choose between a dear and a cheap way."""

from __future__ import annotations

from envelope.errors import UnknownRun
from envelope.ports.journal import Journal


class MoneyOfRuns:
    """Implements `orchestrators.flow.MoneyLeft` over the journal.

    What model calls under way have set aside is not counted: it is known to them alone until their
    step is committed. The budget itself holds at every call.

    Args:
        journal: Knows budgets, and what committed steps have spent.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    async def usd_left(self, run_id: str) -> float | None:
        """Return what is left of the budget that the run shares with its family, in US dollars.

        None where it has none.

        Raises:
            UnknownRun: There is no such run.
        """
        run = await self._journal.run(run_id)
        root = run if run is None or run.root_id is None else await self._journal.run(run.root_id)
        if root is None:
            raise UnknownRun(f"There is no run {run_id!r}; `muster runs list` shows what there is.")
        if root.budget_usd is None:
            return None
        _, spent = await self._journal.spent(root.run_id)
        return max(0.0, root.budget_usd - spent)
