"""What a node shares with the same node in other runs and processes."""

from __future__ import annotations

from envelope.errors import NotRegistered
from envelope.ports.context import RunContext
from envelope.ports.shared import SharedStore


def shared_store(ctx: RunContext) -> SharedStore | None:
    """Return what the processes share; None where this one provides nothing of the kind."""
    try:
        return ctx.resource(SharedStore)  # type: ignore[type-abstract] # provided under its port
    except NotRegistered:
        return None
