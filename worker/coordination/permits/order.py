"""The order of grants, and why somebody waits: the same for every ledger."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

HIGHEST = 9


@dataclass(frozen=True, slots=True)
class Line:
    """A tenant's waiters of one priority, in order."""

    priority: int
    waiting: Sequence[str]


def in_order(lines: Iterable[Line]) -> list[str]:
    """Return the permits in the order of their grants if nobody else asks.

    Args:
        lines: Whose turn is next first. Those of one priority take turns.
    """
    places = sorted(
        (HIGHEST - line.priority, round_, turn, permit)
        for turn, line in enumerate(lines)
        for round_, permit in enumerate(line.waiting)
    )
    return [permit for *_, permit in places]


def why(*, limit: int, held: int, waiting: int, missing: int = 0) -> str | None:
    """Say for a person why `waiting` steps wait; None where nobody does.

    Args:
        limit: The limit in force.
        held: Permits that are held.
        waiting: Steps that wait.
        missing: Workers that have yet to register their permits after a flush.
    """
    if not waiting:
        return None
    if missing:
        workers = f"{missing} workers" if missing > 1 else "1 worker"
        return f"after a flush of Redis: waiting for {workers} to register their permits again"
    if limit <= 0:
        return "limit is 0"
    if held > limit:
        return f"a limit lower than the number held was set: {held} are held, the limit is {limit}"
    if held == limit:
        return f"all {limit} permits are held"
    return "a permit is free and about to be granted"
