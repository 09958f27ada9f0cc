"""What one process holds and waits for, and what it has yet to tell the ledger.

The ledger is Redis, or the one of this process. A desk says the same thing as often as it has to:
every ask has a ticket, and who gives a permit back names it, so that repetitions do nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import count, islice

from envelope.errors import InvalidInput, Unavailable
from envelope.ports.permits import PermitAsk
from worker.coordination.permits.names import Grant, Name, name_of
from worker.coordination.permits.order import HIGHEST

MAX_BATCH = 500
"""Most asks, and most gives, that one call carries: a script must not hold Redis up for long."""


@dataclass(slots=True, eq=False)
class Waiter:
    """An ask, and the callers here that wait for it.

    Attributes:
        ticket: Tells it from earlier asks for the same permit.
        since: When the ledger took it, in its microseconds; None until it has confirmed that.
        sent: Whether the ledger may know of it.
    """

    name: Name
    ask: PermitAsk
    ticket: int
    since: int | None = None
    sent: bool = False
    callers: set[asyncio.Future[None]] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Held:
    """A permit that this process holds, and since when (microseconds, by the ledger's clock)."""

    ask: PermitAsk
    ticket: int
    since: int


@dataclass(frozen=True, slots=True)
class Give:
    """A permit that is given back, or an ask that is withdrawn."""

    name: Name
    ticket: int


@dataclass(frozen=True, slots=True)
class Batch:
    """What is said to the ledger in one call: first the gives, then the asks."""

    gives: list[Give]
    asks: list[Waiter]


class Desk:
    """One process's side of the permits; belongs to one event loop.

    Args:
        on_work: Called when something has to be told to the ledger.
    """

    def __init__(self, on_work: Callable[[], None]) -> None:
        self.held: dict[Name, Held] = {}
        self.waiting: dict[Name, Waiter] = {}
        self._asks: dict[Name, Waiter] = {}
        self._gives: dict[Give, None] = {}
        self._tickets = count(1)
        self._on_work = on_work
        self._closed = False

    @property
    def has_work(self) -> bool:
        """Whether something has yet to be told to the ledger."""
        return bool(self._asks or self._gives)

    async def acquire(self, ask: PermitAsk) -> None:
        """Return when the permit is held.

        Raises:
            InvalidInput: The priority is not one of 0 to 9.
            Unavailable: The desk was closed.
        """
        if self._closed:
            raise _closed()
        if not 0 <= ask.priority <= HIGHEST:
            raise InvalidInput(f"Priority {ask.priority} is not one of 0 to {HIGHEST}.")
        waiter = self._waiter(ask)
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiter.callers.add(granted)
        try:
            await granted
        except asyncio.CancelledError:
            self._leave(waiter, granted)
            raise

    def release(self, agent: str, run_id: str, step: str) -> None:
        """Give back what is held; nothing else has an effect."""
        name = name_of(agent, run_id, step)
        held = self.held.pop(name, None)
        if held is not None:
            self._give(name, held.ticket)

    def granted(self, grants: Iterable[Grant]) -> None:
        """Let those begin that wait with these tickets; give back what nobody waits for."""
        for grant in grants:
            waiter, held = self.waiting.get(grant.name), self.held.get(grant.name)
            if waiter is not None and waiter.ticket == grant.ticket:
                self._begin(waiter, grant.since)
            elif held is None or held.ticket != grant.ticket:
                self._give(grant.name, grant.ticket)

    def batch(self) -> Batch:
        """Return what has to be told; it stays so until it is confirmed."""
        asks = list(islice(self._asks.values(), MAX_BATCH))
        for waiter in asks:
            waiter.sent = True
        return Batch(list(islice(self._gives, MAX_BATCH)), asks)

    def confirm(self, batch: Batch, now: int) -> None:
        """Note that the ledger executed a batch at `now` (its microseconds)."""
        for give in batch.gives:
            self._gives.pop(give, None)
        for index, waiter in enumerate(batch.asks, 1):
            if self._asks.get(waiter.name) is waiter:
                del self._asks[waiter.name]
            waiter.since = waiter.since or now + index

    def vanished(self, name: Name, ticket: int) -> None:
        """Ask again for what the ledger lost; the place is kept."""
        waiter = self.waiting.get(name)
        if waiter is not None and waiter.ticket == ticket:
            self._asks[name] = waiter
            self._on_work()

    def lost(self, name: Name, ticket: int) -> None:
        """Forget a permit that changed hands or was taken back."""
        held = self.held.get(name)
        if held is not None and held.ticket == ticket:
            del self.held[name]

    def close(self) -> None:
        """Give everything back; who waits gets an error."""
        self._closed = True
        for name, held in self.held.items():
            self._gives[Give(name, held.ticket)] = None
        for name, waiter in self.waiting.items():
            self._gives[Give(name, waiter.ticket)] = None
            for caller in waiter.callers:
                if not caller.done():
                    caller.set_exception(_closed())
        self.held, self.waiting, self._asks = {}, {}, {}

    def _waiter(self, ask: PermitAsk) -> Waiter:
        name = name_of(ask.agent, ask.run_id, ask.step)
        waiter = self.waiting.get(name)
        if waiter is None:
            waiter = Waiter(name, ask, next(self._tickets))
            self.waiting[name] = self._asks[name] = waiter
            self._on_work()
        return waiter

    def _begin(self, waiter: Waiter, since: int) -> None:
        del self.waiting[waiter.name]
        self._asks.pop(waiter.name, None)
        self.held[waiter.name] = Held(waiter.ask, waiter.ticket, since)
        for caller in waiter.callers:
            if not caller.done():
                caller.set_result(None)

    def _leave(self, waiter: Waiter, caller: asyncio.Future[None]) -> None:
        """A caller was cancelled: the last one takes the ask, or the permit, along."""
        waiter.callers.discard(caller)
        if waiter.callers:
            return
        held = self.held.get(waiter.name)
        if self.waiting.get(waiter.name) is waiter:
            del self.waiting[waiter.name]
            self._asks.pop(waiter.name, None)
            if waiter.sent:
                self._give(waiter.name, waiter.ticket)
        elif held is not None and held.ticket == waiter.ticket:
            del self.held[waiter.name]
            self._give(waiter.name, waiter.ticket)

    def _give(self, name: Name, ticket: int) -> None:
        self._gives[Give(name, ticket)] = None
        self._on_work()


def _closed() -> Unavailable:
    return Unavailable("The permits of this process are closed. Ask in a process that still works.")
