"""Anything may happen to budgets, in any order: in this process, and of several over one Redis.

Time stands still but where a rule lets it go on; so the model is exact.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from redis import Redis

from envelope.errors import BudgetExceeded, JournalUnavailable
from envelope.ports.budgets import Amount, BudgetLimit, Budgets
from tests.integration.budgets_model import SETTLED_SECONDS, Call, Model, added, within
from tests.integration.virtual_redis import (
    LOSSES,
    TICK,
    LossyRedis,
    VirtualClock,
    on_the_test_clock,
)
from worker.coordination.budgets import calls as own_calls
from worker.coordination.budgets import line, redis_budgets
from worker.coordination.budgets.in_process import InProcessBudgets
from worker.coordination.budgets.redis_budgets import RedisBudgets

_WHERE = st.integers(0, 2)
_WHICH = st.integers(0, 1000)
_ROOTS = ("run:a*", "b")
_ROOT = st.sampled_from(_ROOTS)
_AMOUNT = st.builds(
    Amount, tokens=st.integers(0, 60), usd=st.integers(0, 12).map(lambda quarters: quarters / 4)
)
_LIMITS = st.tuples(
    st.none() | st.integers(0, 200),
    st.none() | st.integers(0, 40).map(lambda quarters: quarters / 4),
)
_HUGE = Amount(tokens=10**9)
_TOLD = re.compile(
    r"Used: ([\d,]+) tokens, ([\d.]+) USD; set aside for calls under way: ([\d,]+) tokens, "
    r"([\d.]+) USD"
)
_SECONDS = 10


class Machine(RuleBasedStateMachine):
    """Several users of one set of budgets, and what they may do."""

    url = ""
    processes = 1

    @initialize()
    def open(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.redis: Any = Redis.from_url(self.url, decode_responses=True)
        self.redis.flushall()
        self.clock = VirtualClock(self.redis)
        self.model = Model(self.clock.now)
        self.limits = {root: BudgetLimit(root_id=root, tokens=100, usd=5.0) for root in _ROOTS}
        self.number = 0
        self.journal_away = False
        own_calls.time = SimpleNamespace(monotonic=self.clock.monotonic)  # type: ignore[attr-defined]
        self.budgets: list[Any] = [self._begin() for _ in range(self.processes)]

    def _begin(self) -> Budgets:
        return InProcessBudgets(self._spent, clock=self.clock.monotonic)

    @rule(where=_WHERE, root=_ROOT, wanted=_AMOUNT, seconds=st.sampled_from([5.0, 60.0, 900.0]))
    def reserve(self, where: int, root: str, wanted: Amount, seconds: float) -> None:
        where %= self.processes
        fits = self.model.fits(self.limits[root], where, wanted)
        call = self._call(root, where, wanted, seconds)
        assert self._run(self._reserved(call, seconds)) == fits
        if fits:
            self._granted(call)

    @rule(where=_WHERE, root=_ROOT, more=st.sampled_from([0, 0, 1]))
    def reserve_the_rest(self, where: int, root: str, more: int) -> None:
        """To the last token, or one more than there is."""
        where %= self.processes
        book, most = self.model.book(root, where), self.limits[root].tokens
        left = (most or 0) - book.used.tokens - book.set_aside(self.clock.now).tokens
        self.reserve(where, root, Amount(tokens=max(0, left) + more), 60.0)

    @rule(root=_ROOT, wanted=_AMOUNT, many=st.integers(2, 12))
    def reserve_many_at_once(self, root: str, wanted: Amount, many: int) -> None:
        self._everybody_looks(root)
        calls = [self._call(root, n % self.processes, wanted, 60.0) for n in range(many)]
        went = self._run(_gathered(*(self._reserved(call, 60.0) for call in calls)))
        assert sum(went) == sum(
            self.model.fits(self.limits[root], 0, wanted, n + 1) for n in range(many)
        )
        for call, granted in zip(calls, went, strict=True):
            if granted:
                self._granted(call)

    @rule(where=_WHERE, root=_ROOT, wanted=_AMOUNT, turns=st.integers(0, 8))
    def cancel_while_it_asks(self, where: int, root: str, wanted: Amount, turns: int) -> None:
        where %= self.processes
        call = self._call(root, where, wanted, 60.0)
        fits = self.model.fits(self.limits[root], where, wanted)
        granted = self._run(_cancelled(self._reserved(call, 60.0), turns))
        assert granted in {None, fits}
        if granted:
            self._granted(call)
        self.look(where, root)

    @precondition(lambda self: self._open())
    @rule(
        which=_WHICH,
        share=st.sampled_from([0.0, 0.5, 1.0, 1.0, 3.0]),
        times=st.sampled_from([1, 1, 2]),
    )
    def settle(self, which: int, share: float, times: int) -> None:
        """What was really used: nothing where the call failed, or more than was thought."""
        call = self._pick(self._open(), which)
        call.used = Amount(tokens=int(call.estimate.tokens * share), usd=call.estimate.usd * share)
        call.settled_at = self.clock.now
        for _ in range(times):
            self._settle(call)

    @precondition(lambda self: self._settled())
    @rule(which=_WHICH)
    def settle_again(self, which: int) -> None:
        call = self._pick(self._settled(), which)
        if self.clock.now < call.settled_at + SETTLED_SECONDS:
            self._settle(call)

    @precondition(lambda self: self._settled())
    @rule(which=_WHICH)
    def commit(self, which: int) -> None:
        call = self._pick(self._settled(), which)
        self.model.commit(call)
        self.budgets[call.where].committed(self.limits[call.root], [call.name])

    @rule(root=_ROOT, limits=_LIMITS)
    def set_limit(self, root: str, limits: tuple[int | None, float | None]) -> None:
        self.limits[root] = BudgetLimit(root_id=root, tokens=limits[0], usd=limits[1])

    @rule(seconds=st.sampled_from([0.5, 4.0, 60.0, 950.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.set(self.clock.now + seconds)
        self.model.now = self.clock.now

    @rule(where=_WHERE, root=_ROOT)
    def the_journal_is_away(self, where: int, root: str) -> None:
        where %= self.processes
        self.journal_away = True
        call = self._call(root, where, Amount(), 60.0)
        if root in self.model.books:
            self._run(self._reserved(call, 60.0))
            self.model.book(root, where)
            call.used = Amount()
            self._settle(call)
        else:
            with pytest.raises(JournalUnavailable):
                self._run(self._reserved(call, 60.0))
        self.journal_away = False

    @rule(where=_WHERE)
    def die_and_come_back(self, where: int) -> None:
        where %= self.processes
        self._die(where)
        self.budgets[where] = self._begin()

    def _die(self, where: int) -> None:
        """All that is counted is in the process."""
        self._run(self.budgets[where].close())
        self.model.die(where)
        self.model.books.clear()

    @rule(where=_WHERE, root=_ROOT)
    def look(self, where: int, root: str) -> None:
        where %= self.processes
        book = self.model.book(root, where)
        found = self._run(self._seen(where, root))
        assert found == (book.used, book.set_aside(self.model.now))
        if len(book.told) == self.processes:
            counted = added(*found)
            known = self.model.truth(root)
            assert known.tokens <= counted.tokens
            assert known.usd <= counted.usd

    def teardown(self) -> None:
        """When all has ended nothing is set aside, and everything is counted once."""
        if not hasattr(self, "budgets"):
            return
        try:
            self._finish()
        finally:
            for budgets in self.budgets:
                self._run(budgets.close())
            self.loop.close()
            self.redis.close()

    def _finish(self) -> None:
        for call in self._open():
            call.used = Amount(tokens=1)
            self._settle(call)
        self.time_passes(2 * SETTLED_SECONDS)  # those of the dead are dropped
        for root in _ROOTS:
            self._everybody_looks(root)
            assert self.model.books[root].set_aside(self.model.now) == Amount()

    def _everybody_looks(self, root: str) -> None:
        for where in range(self.processes):
            self.model.book(root, where)
            self._run(self._seen(where, root))
        for where in range(self.processes):
            self.look(where, root)

    def _call(self, root: str, where: int, wanted: Amount, seconds: float) -> Call:
        self.number += 1
        return Call(f"{root}:{self.number}", root, where, wanted, self.clock.now + seconds)

    def _granted(self, call: Call) -> None:
        book = self.model.book(call.root, call.where)
        book.hold(call, call.until)
        self.model.calls.append(call)
        if len(book.told) == self.processes:
            assert within(self.model.truth(call.root), self.limits[call.root])

    def _settle(self, call: Call) -> None:
        assert call.used is not None
        limit = self.limits[call.root]
        self._run(self.budgets[call.where].settle(limit, call.name, call.used))
        self.model.book(call.root, call.where).settle(call)

    def _open(self) -> list[Call]:
        return [call for call in self.model.calls if call.used is None]

    def _settled(self) -> list[Call]:
        """Those whose process still remembers them."""
        return [call for call in self.model.calls if call.used is not None]

    def _pick(self, calls: list[Call], which: int) -> Call:
        return calls[which % len(calls)]

    async def _reserved(self, call: Call, seconds: float) -> bool:
        """Whether it was granted."""
        budgets, limit = self.budgets[call.where], self.limits[call.root]
        try:
            await budgets.reserve(limit, call.name, call.estimate, seconds=seconds)
        except BudgetExceeded:
            return False
        return True

    async def _seen(self, where: int, root: str) -> tuple[Amount, Amount]:
        """What is used and what is set aside, as a refusal tells."""
        nothing = BudgetLimit(root_id=root, tokens=0)
        self.number += 1
        with pytest.raises(BudgetExceeded) as caught:
            await self.budgets[where].reserve(nothing, f"look:{self.number}", _HUGE)
        told = _TOLD.search(str(caught.value))
        assert told is not None, str(caught.value)
        tokens, usd, held_tokens, held_usd = (
            float(word.replace(",", "")) for word in told.groups()
        )
        return Amount(tokens=int(tokens), usd=usd), Amount(tokens=int(held_tokens), usd=held_usd)

    async def _spent(self, root_id: str) -> tuple[int, float]:
        await asyncio.sleep(0)
        if self.journal_away:
            raise JournalUnavailable("The journal is away.")
        known = self.model.journal.get(root_id, Amount())
        return known.tokens, known.usd

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        async def quietly() -> Any:
            try:
                return await work
            finally:
                await self._quiet()

        return self.loop.run_until_complete(asyncio.wait_for(quietly(), _SECONDS))

    async def _quiet(self) -> None:
        """Until nobody has anything to say any more."""


class RedisMachine(Machine):
    """The same over one Redis, which forgets, loses requests and answers."""

    processes = 3

    def _begin(self) -> Budgets:
        budgets = RedisBudgets(self.url, self._spent, structlog.get_logger("test"))
        budgets._line._redis = LossyRedis.to(self.url)
        return budgets

    @rule()
    def flush(self) -> None:
        self.time_passes(TICK)
        self.clock.flush()
        self.model.books.clear()

    @rule()
    def forget_scripts(self) -> None:
        self.redis.script_flush()

    @rule(where=_WHERE, losses=st.lists(st.sampled_from(LOSSES), min_size=1, max_size=3))
    def lose(self, where: int, losses: list[str]) -> None:
        self.budgets[where]._line._redis.coming += losses

    @invariant()
    def the_sums_are_those_of_the_calls(self) -> None:
        for root, key in zip(_ROOTS, ("muster:budget:run%3Aa%2A", "muster:budget:b"), strict=True):
            found = self.redis.hgetall(key) if hasattr(self, "budgets") else {}
            assert bool(found) == (hasattr(self, "budgets") and root in self.model.books)
            calls = [value.split() for name, value in found.items() if name.startswith("call:")]
            held = [tuple(map(float, words)) for words in calls if words != ["settled"]]
            for place, kind in enumerate(("tokens", "usd")):
                assert float(found.get(f"reserved_{kind}", 0)) == sum(each[place] for each in held)
                assert float(found.get(kind, 0)) >= 0

    def _die(self, where: int) -> None:
        """What it set aside stays until its time is over."""
        self._run(self.budgets[where].close())
        self.model.die(where)

    async def _quiet(self) -> None:
        while busy := [task for budgets in self.budgets for task in budgets._settling]:
            await asyncio.wait(busy)


async def _gathered(*works: Coroutine[Any, Any, bool]) -> list[bool]:
    return await asyncio.gather(*works)


async def _cancelled(work: Coroutine[Any, Any, bool], turns: int) -> bool | None:
    """What came of it; None where it was cancelled in time."""
    task = asyncio.ensure_future(work)
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    return None if task.cancelled() else task.result()


@pytest.mark.parametrize("machine", [Machine, RedisMachine], ids=["in_process", "redis"])
def test_budgets_keep_to_the_model(
    machine: type[Machine], redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "url", redis_url)
    monkeypatch.setattr(own_calls, "time", own_calls.time)  # put back at the end
    monkeypatch.setattr(own_calls, "_SWEEP_SECONDS", float("inf"))
    monkeypatch.setattr(line, "_SCRIPT", on_the_test_clock(line._SCRIPT))
    monkeypatch.setattr(line, "_AGAIN_SECONDS", 0.001)
    monkeypatch.setattr(redis_budgets, "_AGAIN_SECONDS", 0.001)
    run_state_machine_as_test(machine, settings=settings(max_examples=80, stateful_step_count=40))
