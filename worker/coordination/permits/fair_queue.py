"""Fair queuing of waiters, in plain Python."""

from __future__ import annotations

from worker.coordination.permits.order import Line, in_order

_Lane = tuple[int, str]


class FairQueue:
    """Priority first, then tenants in turns, then in order.

    To take turns is fair queuing where every permit costs the same (Nagle 1985, RFC 970): the
    first of a tenant waits for one permit of every other tenant at most, and whoever leaves
    unserved costs a tenant nothing.
    """

    def __init__(self) -> None:
        self._lines: dict[_Lane, dict[str, None]] = {}  # whose turn is next first
        self._lane_of: dict[str, _Lane] = {}

    def __len__(self) -> int:
        return len(self._lane_of)

    def put(self, permit: str, *, priority: int, tenant: str) -> None:
        """Let a permit wait at the end of its tenant's line."""
        lane = priority, tenant
        self._lines.setdefault(lane, {})[permit] = None
        self._lane_of[permit] = lane

    def remove(self, permit: str) -> None:
        """Take out one that waits no more."""
        lane = self._lane_of.pop(permit)
        del self._lines[lane][permit]
        if not self._lines[lane]:
            del self._lines[lane]

    def serve(self) -> str:
        """Take out the next; its line goes last among those of its priority."""
        lane = max(self._lines, key=lambda lane: lane[0])
        line = self._lines.pop(lane)
        self._lines[lane] = line
        permit = next(iter(line))
        self.remove(permit)
        return permit

    def in_order(self) -> list[str]:
        """Return all in the order in which they would be served."""
        return in_order(
            Line(priority, list(waiting)) for (priority, _), waiting in self._lines.items()
        )
