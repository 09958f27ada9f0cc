"""Start-time fair queuing of waiters, in plain Python."""

from __future__ import annotations

from worker.coordination.permits.order import HIGHEST, Line, in_order

_Lane = tuple[int, str]


class FairQueue:
    """Priority first, then fair among tenants, then in order.

    Start-time fair queuing (Goyal, Vin, Cheng 1996) with every permit of cost 1: the first of a
    line has the start tag max(virtual time, finish tag of the line), the lowest tag is served next
    and becomes the virtual time. Tags belong to heads of lines alone, so that whoever leaves
    unserved costs a tenant nothing. They are forgotten when nobody waits.
    """

    def __init__(self) -> None:
        self._lanes: dict[_Lane, dict[str, int]] = {}
        self._lane_of: dict[str, _Lane] = {}
        self._tags: dict[_Lane, int] = {}
        self._clock: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._lane_of)

    def put(self, permit: str, *, priority: int, tenant: str, since: int) -> None:
        """Let a permit wait at the end of its tenant's line."""
        lane = priority, tenant
        if lane not in self._lanes:
            self._lanes[lane] = {}
            self._tags[lane] = max(self._clock.get(priority, 0), self._tags.get(lane, 0))
        self._lanes[lane][permit] = since
        self._lane_of[permit] = lane

    def remove(self, permit: str) -> None:
        """Take out one that waits no more."""
        lane = self._lane_of.pop(permit)
        del self._lanes[lane][permit]
        if not self._lanes[lane]:
            del self._lanes[lane]
        if not self._lane_of:
            self._tags.clear()
            self._clock.clear()

    def serve(self) -> str:
        """Take out the next."""
        lane = min(self._lanes, key=self._rank)
        permit = next(iter(self._lanes[lane]))
        self._advance(lane)
        self.remove(permit)
        return permit

    def in_order(self) -> list[str]:
        """Return all in the order in which they would be served."""
        return in_order(
            Line(priority, tenant, self._tags[priority, tenant], _places(waiting))
            for (priority, tenant), waiting in self._lanes.items()
        )

    def _rank(self, lane: _Lane) -> tuple[int, int, int, str]:
        priority, tenant = lane
        arrival = next(iter(self._lanes[lane].values()))
        return HIGHEST - priority, self._tags[lane], arrival, tenant

    def _advance(self, lane: _Lane) -> None:
        """Finish tags up to the virtual time say nothing any more."""
        now = self._clock[lane[0]] = self._tags[lane]
        for idle in self._tags.keys() - self._lanes.keys():
            if idle[0] == lane[0] and self._tags[idle] <= now:
                del self._tags[idle]
        self._tags[lane] += 1


def _places(waiting: dict[str, int]) -> list[tuple[int, str]]:
    return [(since, permit) for permit, since in waiting.items()]
