"""What the engine works with in this process."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from envelope.ports.budgets import Budgets
from envelope.ports.effects import Effects
from envelope.ports.journal import Journal
from envelope.ports.ledger import Ledger
from envelope.ports.locks import Locks
from envelope.ports.permits import Permits
from envelope.ports.queue import Queue
from envelope.ports.rates import RateLimits
from envelope.ports.wakeup import Wakeups
from envelope.resources import Resources
from worker.alive import new_worker_id
from worker.coordination.locks.in_process import InProcessLocks
from worker.coordination.permits.in_process import InProcessPermits
from worker.coordination.rates.in_process import InProcessRates
from worker.delivery.effects import LedgerEffects
from worker.delivery.ledger_of import ledger_of
from worker.delivery.policy import DeliveryPolicy
from worker.engine.cell import Cell
from worker.engine.hold import Hold
from worker.engine.limits import AgentLimits
from worker.redaction import Redactor
from worker.settings import Settings
from worker.telemetry.telemetry import Telemetry


@dataclass(frozen=True, kw_only=True)
class EngineParts:
    """The engine's surroundings, made by the composition root.

    Attributes:
        worker_id: This process as the journal knows it.
        queue: Where steps and runs are published; None runs every step inline.
        log: The structured logger.
        cell: Where a run one loss from death is executed; None for here.
        steps_here: Agents whose steps never go to their queue: this process serves it and could
            not take them while it holds their run (every pool but asyncio).
        suspend_after_seconds: A run that has done nothing but wait for so long leaves the process.
        telemetry: Counts and traces what is done.
    """

    settings: Settings
    journal: Journal
    queue: Queue | None
    wakeups: Wakeups
    resources: Resources
    log: Any
    cell: Cell | None = None
    steps_here: frozenset[str] = frozenset()
    suspend_after_seconds: float = 1.0
    worker_id: str = field(default_factory=new_worker_id)
    permits: Permits = field(default_factory=InProcessPermits)
    rates: RateLimits = field(default_factory=InProcessRates)
    locks: Locks = field(default_factory=InProcessLocks)
    budgets: Budgets | None = None
    telemetry: Telemetry = field(default_factory=Telemetry)

    @cached_property
    def hold(self) -> Hold:
        """This process's hold on its lease."""
        return Hold(self.settings.lease_seconds)

    @cached_property
    def redactor(self) -> Redactor:
        """Knows the secrets of the settings."""
        return Redactor(self.settings.secrets())

    @property
    def ledger(self) -> Ledger:
        """The journal's memory of effects and approvals: the same object by its other port."""
        return ledger_of(self.journal)

    @cached_property
    def effects(self) -> Effects:
        """What performs the steps' effects."""
        policy = DeliveryPolicy.of(self.settings)
        performing = LedgerEffects(self.ledger, policy, self.hold, self.log, redactor=self.redactor)
        return self.telemetry.effects(performing)

    @cached_property
    def limits(self) -> AgentLimits:
        """The agents' limits as they are now."""
        return AgentLimits(self.journal, self.permits, self.rates)
