"""What a trigger gets in return."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """The run that stands for a trigger. It is committed: nothing short of a cancel undoes it.

    Attributes:
        created: False where an earlier trigger made the run: one with the same key and payload, or
            the active run that has the singleton key, under `on_conflict="join"`.
        sent: Whether a message is on its way. False for a run that was there before, that is
            delayed, that waits behind another, or while Redis is away: then the reconciler sends
            it.
        notice: What could not be done at once although it should have been, and why.
        singleton: The singleton key of the trigger.
        behind: The active run that has that key; this one starts after its end.
        replaced: Runs that were cancelled in favour of this one, under `on_conflict="replace"`.
    """

    run_id: str
    flow: str
    version: int
    created: bool
    sent: bool
    notice: str | None = None
    singleton: str | None = None
    behind: str | None = None
    replaced: tuple[str, ...] = ()
