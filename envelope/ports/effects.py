"""Effects: how a step performs one, and what the gate says to it beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from envelope.effect import Effect, Missing, Send, Sent


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectOrigin:
    """The attempt that wants to perform an effect.

    Attributes:
        idempotency_key: Key of an effect that names none.
        epoch: The fencing number of the run, where the step is executed in the run's own process.
        executor: The process that claimed the step, where it came from the agent's queue.
        claimed: The attempt for which that process claimed it; `attempt` counts on from there.
    """

    run_id: str
    step: str
    attempt: int
    agent: str
    tenant: str
    user: str | None
    allow_delivery: bool
    idempotency_key: str
    epoch: int | None = None
    executor: str | None = None
    claimed: int | None = None


class Effects(Protocol):
    """Performs effects through the gate and the ledger."""

    async def perform(self, origin: EffectOrigin, effect: Effect, send: Send) -> Sent:
        """Commit the intent, send, commit the outcome; see `AgentContext.effect`."""


class DeliveryGate(Protocol):
    """Says whether an effect would be let through now. What counts is asked again at its intent.

    Flows ask for it with `ctx.resource(DeliveryGate)` inside `ctx.once`.
    """

    async def look(self, effect: Effect, *, tenant: str, allow_delivery: bool) -> Sequence[Missing]:
        """Return what is missing; empty where the effect may go.

        Args:
            effect: What would be sent.
            tenant: Whose run wants it.
            allow_delivery: Whether that run's trigger allowed effects.
        """

    def approval_role(self, channel: str) -> str | None:
        """Return the role that must approve on this channel; None where nobody needs to."""
