"""Hands flows and agents what they ask the delivery and the runs of this process for."""

from __future__ import annotations

from typing import Any

from agents.drafts.port import RunRecords
from envelope.ports.effects import DeliveryGate
from envelope.ports.journal import Journal
from envelope.resources import Resources
from worker.delivery.gate import LedgerGate
from worker.delivery.ledger_of import ledger_of
from worker.delivery.policy import DeliveryPolicy
from worker.delivery.run_records import JournalRecords
from worker.settings import Settings


def provide_delivery(resources: Resources, settings: Settings, journal: Journal, log: Any) -> None:
    """Say how the gate and the reader of earlier runs' records are made."""
    policy, ledger = DeliveryPolicy.of(settings), ledger_of(journal)
    resources.provide(DeliveryGate, lambda: LedgerGate(policy, ledger, log))  # type: ignore[type-abstract] # a port is provided under its Protocol
    resources.provide(RunRecords, lambda: JournalRecords(journal, log))  # type: ignore[type-abstract] # as above
