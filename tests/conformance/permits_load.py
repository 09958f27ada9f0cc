"""Work that needs permits, and a count of what really runs at once."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from envelope.ports.permits import Permits
from tests.conformance.permits_bench import AGENT, ask
from worker.coordination.permits.redis_permits import RedisPermits
from worker.coordination.permits.wire import Reply


class Gauge:
    """How many hold a permit, and how many at most did."""

    def __init__(self) -> None:
        self.now = 0
        self.most = 0
        self.served = 0

    @contextmanager
    def holding(self) -> Iterator[None]:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            yield
        finally:
            self.now -= 1
            self.served += 1


async def work(
    desks: Iterable[Permits], gauge: Gauge, *, tasks: int, times: int, limit: int, seconds: float
) -> None:
    """Let many tasks at every desk hold a permit for some seconds, several times each."""

    async def one(desk: Permits, name: str) -> None:
        for time in range(times):
            step = f"{name} {time}"
            await desk.acquire(ask(step, limit=limit, tenant=name[-1]))
            with gauge.holding():
                await asyncio.sleep(seconds)
            desk.release(AGENT, "run", step)

    async with asyncio.TaskGroup() as together:
        for number, desk in enumerate(desks):
            for index in range(tasks):
                together.create_task(one(desk, f"{number} {index}"))


class Trouble:
    """Stands between a desk and Redis: loses requests and replies, delivers requests again.

    Attributes:
        coming: What happens to the next calls: "lose request" or "lose reply"; else nothing.
        calls: The names of the scripts that were called.
    """

    def __init__(self, desk: RedisPermits) -> None:
        self.coming: list[str] = []
        self.calls: list[str] = []
        self._requests: list[tuple[str, Mapping[str, Any]]] = []
        self._call = desk._wire.call
        desk._wire.call = self._call_through  # type: ignore[method-assign]

    async def _call_through(self, name: str, said: Mapping[str, Any]) -> Reply:
        trouble = self.coming.pop(0) if self.coming else ""
        self.calls.append(name)
        if trouble == "lose request":
            raise ConnectionError(trouble)
        reply = await self._call(name, said)
        self._requests.append((name, said))
        if trouble == "lose reply":
            raise ConnectionError(trouble)
        return reply

    async def deliver_again(self, back: int) -> None:
        """A request that Redis has executed arrives once more, as if it had been on its way.

        Args:
            back: How many came after it; -1 for all.
        """
        known = [request for request in self._requests if request[0] != "open"]
        if known:
            await self._call(*known[-1 - back % len(known)])
