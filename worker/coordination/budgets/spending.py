"""Asks the journal what is spent, once for all who ask at the same time."""

from __future__ import annotations

import asyncio

from envelope.ports.budgets import Spent


class Spending:
    """Reads `spent`; askers of one run at a time share the answer.

    Args:
        spent: The journal's answer.
    """

    def __init__(self, spent: Spent) -> None:
        self._spent = spent
        self._reading: dict[str, asyncio.Task[tuple[int, float]]] = {}

    async def of(self, root_id: str) -> tuple[int, float]:
        """Return the tokens and US dollars that the journal knows to be spent."""
        reading = self._reading.get(root_id)
        if reading is None:
            reading = self._reading[root_id] = asyncio.ensure_future(self._spent(root_id))
            reading.add_done_callback(lambda _: self._reading.pop(root_id))
        return await asyncio.shield(reading)
