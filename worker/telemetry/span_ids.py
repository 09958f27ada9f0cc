"""Names spans before they exist, so that any process can hang its own below them.

A run may be executed by several processes, one after the other, and none can ask the one before,
which may be dead. The journal's row has the run's trace id; all other ids follow from what the row
says, so nothing else must be stored or sent along.
"""

from __future__ import annotations

from hashlib import sha256

FIRST_EPOCH = 1
"""The epoch of a run's first claim, which ends its wait for a worker."""

_SPAN_BYTES = 8


def trigger_span_id(run_id: str) -> int:
    """Return the id of the span in which a run was accepted."""
    return _span_id(f"trigger {run_id}")


def claim_span_id(run_id: str, epoch: int) -> int:
    """Return the id of the span in which a run is executed under that epoch."""
    return _span_id(f"claim {run_id} {epoch}")


def _span_id(name: str) -> int:
    """A span id is 64 bits and never 0 (W3C Trace Context, section 3.2.2.4)."""
    return int.from_bytes(sha256(name.encode()).digest()[:_SPAN_BYTES], "big") or 1
