"""What a trigger gets in return."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """The run that stands for a trigger. It is committed: nothing short of a cancel undoes it.

    Attributes:
        created: False where an earlier trigger with the same key and payload made the run.
        sent: Whether a message is on its way. False for a run that was there before, that is
            delayed, or while Redis is away: then the reconciler sends it.
        notice: Why nothing was sent although it should have been.
    """

    run_id: str
    flow: str
    version: int
    created: bool
    sent: bool
    notice: str | None = None
