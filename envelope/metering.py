"""What a model call may use: set aside before it, settled after it."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from envelope.ports.budgets import RESERVED_SECONDS, Amount


class Charge(Protocol):
    """What one call is charged."""

    def used(self, amount: Amount) -> None:
        """Say what the call really used. A call that never says it has used nothing."""


class Meter(Protocol):
    """The budget of the running step's run. Belongs to the event loop of the engine.

    Example:
        >>> async with meter.call(Amount(tokens=900, usd=0.004)) as charge:
        ...     answer = await ask()
        ...     charge.used(Amount(tokens=answer.tokens, usd=answer.usd))
    """

    def call(
        self, estimate: Amount, *, seconds: float = RESERVED_SECONDS
    ) -> AbstractAsyncContextManager[Charge]:
        """Set `estimate` aside for a call; settle it at the end, however it ends.

        Args:
            estimate: What the call will use, as far as known.
            seconds: How long it may take at most. After that a reservation that nobody has settled
                is taken for that of a dead process.

        Raises:
            BudgetExceeded: On entering: it does not fit the budget any more.
        """
