"""Anything may happen to rate limits: in this process and of several over one Redis, side by side.

Both get the same to do, must keep to one model, and, as long as Redis forgets nothing, must let
everybody go at the same moment. Time stands still but where a rule lets it go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from http import HTTPStatus
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

from agents.llm.account import Account, AccountLimits
from envelope.ports.rates import Rate, RateWant
from tests.integration.rates_model import Caller, Model, assert_bounded
from tests.integration.virtual_redis import (
    LOSSES,
    TICK,
    LossyRedis,
    VirtualClock,
    on_the_test_clock,
)
from worker.coordination.rates import redis_rates
from worker.coordination.rates.in_process import InProcessRates
from worker.coordination.rates.limits import Limits
from worker.coordination.rates.redis_rates import RedisRates
from worker.coordination.rates.turn import Turn

_WORKERS = 3
_WHERE = st.integers(0, _WORKERS - 1)
_WHICH = st.integers(0, 1000)
_AGENT = st.sampled_from(["writer", "a:b*"])
_ACCOUNT = st.sampled_from(["default", "default", "default", "team a"])
_TOKENS = st.integers(0, 80).map(lambda number: 16 * number)
# All costs are parts of a second that a float holds exactly.
_ONES = [
    Rate(amount=1.0, seconds=1.0, burst=4.0),
    Rate(amount=8.0, seconds=2.0, burst=8.0),
    Rate(amount=30.0, seconds=60.0, burst=2.0),
]
_MANY = [
    Rate(amount=1024.0, seconds=8.0, burst=1024.0),
    Rate(amount=64.0, seconds=1.0, burst=256.0),
]
_ANSWERS = [
    (429, {"retry-after": "3"}, 3.0),
    (503, {"retry-after-ms": "1250"}, 1.25),
    (429, {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1m0s"}, 60.0),
    (200, {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "7.5s"}, 7.5),
]
_SLACK = 0.002
_SECONDS = 10


class Machine(RuleBasedStateMachine):
    """Workers 0 to 2, each with limits on Redis of its own; in this process they share theirs."""

    url = ""

    @initialize()
    def open(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.redis: Any = Redis.from_url(self.url, decode_responses=True)
        self.redis.flushall()
        self.clock = VirtualClock(self.redis)
        self.sleepers: list[tuple[float, asyncio.Future[None]]] = []
        self.model = Model(self.clock.now)
        self.alike = True
        self.rates: dict[str, Rate] = {}
        self.waiting: list[Caller] = []
        self.gone: list[Caller] = []
        self.unsettled: list[Caller] = []
        self.limits: list[list[Any]] = [
            [InProcessRates(clock=self.clock.monotonic, sleep=self._sleep)] * _WORKERS,
            [self._worker() for _ in range(_WORKERS)],
        ]
        self.watcher = self._worker()

    @rule(where=_WHERE, agent=_AGENT, times=st.integers(1, 6))
    def ask_for_an_agent(self, where: int, agent: str, times: int) -> None:
        self._ask(where, [self._agent_wants(agent)] * times)

    @rule(where=_WHERE, account=_ACCOUNT, tokens=st.lists(_TOKENS, min_size=1, max_size=6))
    def ask_for_an_account(self, where: int, account: str, tokens: list[int]) -> None:
        limits = self._account(0, where, account)
        self._ask(where, [limits.wants(number) for number in tokens])

    @precondition(lambda self: self.waiting)
    @rule(which=_WHICH, times=st.integers(1, 6))
    def cancel(self, which: int, times: int) -> None:
        first = which % len(self.waiting)
        for caller in self.waiting[first : first + times]:
            if not caller.went:
                self.waiting.remove(caller)
                self._run(_cancelled(caller.tasks))
                self.model.gone_away(caller)

    @rule(where=_WHERE, agent=_AGENT, turns=st.integers(0, 8))
    def cancel_while_it_asks(self, where: int, agent: str, turns: int) -> None:
        """Whoever was let through nevertheless has used nothing."""
        caller = self._caller(where, self._agent_wants(agent))
        self.model.ask(caller)
        self._run(self._asked_and_cancelled(caller, turns))
        self.model.gone_away(caller)

    @rule(where=_WHERE, agent=_AGENT)
    def cancel_as_it_is_told(self, where: int, agent: str) -> None:
        caller = self._caller(where, self._agent_wants(agent))
        self.model.ask(caller)
        for limits in self.limits:
            self._run(_cancelled_as_it_is_told(limits[where], caller.wants))
        self.model.gone_away(caller)

    @precondition(lambda self: self.unsettled)
    @rule(
        which=_WHICH,
        requests=st.sampled_from([0.0, 1.0, 1.0]),
        share=st.sampled_from([0.0, 0.5, 1.0, 2.0]),
    )
    def settle(self, which: int, requests: float, share: float) -> None:
        """At once or late; tokens were fewer than thought, or more."""
        caller = self.unsettled.pop(which % len(self.unsettled))
        one, tokens = caller.wants
        used = {one.key: requests, tokens.key: tokens.amount * share}
        self._run(self._settled(caller, used))
        for want in caller.wants:
            self.model.settle(want, used[want.key])

    @rule(where=_WHERE, account=_ACCOUNT, answer=st.sampled_from(_ANSWERS))
    def the_provider_asks_for_patience(
        self, where: int, account: str, answer: tuple[int, dict[str, str], float]
    ) -> None:
        status, headers, length = answer
        self._run(self._answered(where, account, status, headers))
        for want in self._account(0, where, account).wants(0):
            self.model.pause(want.key, length)

    @rule(agent=_AGENT, rate=st.sampled_from(_ONES))
    def set_rate_of_an_agent(self, agent: str, rate: Rate) -> None:
        self.rates[agent] = rate

    @rule(account=_ACCOUNT, one=st.sampled_from(_ONES), many=st.sampled_from(_MANY))
    def set_rates_of_an_account(self, account: str, one: Rate, many: Rate) -> None:
        self.rates[f"{account} requests"], self.rates[f"{account} tokens"] = one, many

    @rule(steps=st.sampled_from([1, 16, 64, 64, 400]))
    def time_passes(self, steps: int) -> None:
        self._advance(self.clock.now + steps / 8)

    @rule(learned=st.booleans())
    def flush(self, learned: bool) -> None:
        """Whoever has asked since the last change goes on from there; others know less."""
        self.alike = False
        if learned:
            self._everybody_learns()
        self._advance(self.clock.now + TICK)
        self.clock.flush()
        self._lines(lambda redis: redis.sent.clear())
        self.model.flushed(forgotten=not learned)
        if learned:
            self._everybody_learns()  # before anybody dies who knows

    @rule()
    def forget_scripts(self) -> None:
        self.redis.script_flush()

    @rule(where=_WHERE, losses=st.lists(st.sampled_from(LOSSES), min_size=1, max_size=3))
    def lose(self, where: int, losses: list[str]) -> None:
        self.limits[1][where]._ledger._redis.coming += losses

    @rule(where=_WHERE, back=st.integers(1, 6))
    def deliver_a_turn_late(self, where: int, back: int) -> None:
        self._run(self.limits[1][where]._ledger._redis.deliver_again(back))

    @rule(where=_WHERE)
    def die_and_come_back(self, where: int) -> None:
        """What it promised to those who wait is not given back."""
        self.alike = False
        self._run(self.limits[1][where].close())
        for caller in [caller for caller in self.waiting if caller.where == where]:
            self.waiting.remove(caller)
            caller.stays = True
            self._run(_cancelled(caller.tasks))
            self.model.gone_away(caller)
        self.unsettled = [caller for caller in self.unsettled if caller.where != where]
        self.limits[1][where] = self._worker()

    @invariant()
    def what_is_reported_is_true(self) -> None:
        if not hasattr(self, "limits"):
            return
        one, other = self._run(self.limits[0][0].report()), self._run(self.watcher.report())
        for report in [*one, *other]:
            assert self.model.allows(report), f"{report}, {self.model.buckets[report.key]}"
        if not self.alike:
            return
        assert [report.key for report in one] == [report.key for report in other]
        for here, there in zip(one, other, strict=True):
            assert (here.rate, here.paused_seconds) == (there.rate, there.paused_seconds)
            assert here.level == pytest.approx(there.level, abs=1e-6)

    def teardown(self) -> None:
        """Everybody goes in the end, and never too many at a time."""
        if not hasattr(self, "limits"):
            return
        try:
            self._finish()
        finally:
            self.loop.run_until_complete(self._close())
            self.loop.close()
            self.redis.close()

    def _finish(self) -> None:
        self._lines(lambda redis: redis.coming.clear())
        while self.waiting:
            self._advance(TICK + max(self.model.due(caller)[1] for caller in self.waiting))
        for key, bucket in self.model.buckets.items():
            for place in range(len(self.limits)):
                assert_bounded(self._grants(place, key), bucket)

    def _grants(self, place: int, key: str) -> list[tuple[float, float, float]]:
        """Who has asked and gone without that anything was forgotten meanwhile; by the last."""
        return [
            (caller.went[place], caller.cost(key), caller.asked)
            for caller in self.gone
            if caller.era == self.model.era and any(want.key == key for want in caller.wants)
        ]

    def _ask(self, where: int, wants: Sequence[Sequence[RateWant]]) -> None:
        callers = [self._caller(where, each) for each in wants]
        for caller in callers:
            self.model.ask(caller)
        self.waiting += callers
        self._run(self._asked(callers))

    def _everybody_learns(self) -> None:
        """Each worker asks every bucket for nothing."""
        for where in range(_WORKERS):
            for key, rate in self._known_rates().items():
                caller = self._caller(where, [RateWant(key=key, rate=rate, amount=0.0)])
                self.model.ask(caller)
                self.waiting.append(caller)
                self._run(self._asked([caller]))
                if caller in self.waiting:
                    self.waiting.remove(caller)
                    self._run(_cancelled(caller.tasks))
                    self.model.gone_away(caller)

    def _known_rates(self) -> dict[str, Rate]:
        named = {
            want.key: want.rate for agent in ("writer", "a:b*") for want in self._agent_wants(agent)
        }
        for account in ("default", "team a"):
            named |= {want.key: want.rate for want in self._account(0, 0, account).wants(0)}
        return {key: rate for key, rate in named.items() if key in self.model.buckets}

    def _agent_wants(self, agent: str) -> list[RateWant]:
        return [RateWant(key=f"agent:{agent}", rate=self.rates.get(agent, _ONES[0]))]

    def _account(self, place: int, where: int, account: str) -> AccountLimits:
        return AccountLimits(
            rates=self.limits[place][where],
            name=account,
            requests=self.rates.get(f"{account} requests", _ONES[0]),
            tokens=self.rates.get(f"{account} tokens", _MANY[0]),
        )

    def _caller(self, where: int, wants: Sequence[RateWant]) -> Caller:
        return Caller(where, tuple(wants), self.clock.now, self.model.era)

    def _worker(self) -> Limits:
        limits: Any = RedisRates(self.url, structlog.get_logger("test"), sleep=self._sleep)
        limits._ledger._redis = LossyRedis.to(self.url)
        return limits

    def _lines(self, act: Any) -> None:
        for limits in self.limits[1]:
            act(limits._ledger._redis)

    async def _asked(self, callers: Sequence[Caller]) -> None:
        """Let them ask in one turn of the loop."""
        for caller in callers:
            caller.tasks = [
                asyncio.ensure_future(limits[caller.where].reserve(caller.wants))
                for limits in self.limits
            ]

    async def _asked_and_cancelled(self, caller: Caller, turns: int) -> None:
        await self._asked([caller])
        for _ in range(turns):
            await asyncio.sleep(0)
        await _cancelled(caller.tasks)
        for limits, task in zip(self.limits, caller.tasks, strict=True):
            if not task.cancelled():
                limits[caller.where].settle(task.result(), {caller.wants[0].key: 0.0})

    async def _settled(self, caller: Caller, used: dict[str, float]) -> None:
        for limits, task in zip(self.limits, caller.tasks, strict=True):
            limits[caller.where].settle(task.result(), used)

    async def _answered(
        self, where: int, account: str, status: int, headers: dict[str, str]
    ) -> None:
        for place in range(len(self.limits)):
            known = Account(self._account(place, where, account))
            if status == HTTPStatus.OK:
                known.heard(headers, began=0.0)
            else:
                known.limited(status, headers, began=0.0)

    async def _close(self) -> None:
        for limits in {*self.limits[0], *self.limits[1], self.watcher}:
            await limits.close()
        if left := [task for caller in self.waiting for task in caller.tasks]:
            await _cancelled(left)

    async def _sleep(self, length: float) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.sleepers.append((self.clock.now + length, woken))
        await woken

    def _advance(self, until: float) -> None:
        """Wake each sleeper at its moment, on the way."""
        while moments := [at for at, woken in self.sleepers if at <= until and not woken.done()]:
            self._set(min(moments))
            self._run(self._wake())
        self._set(max(until, self.clock.now))
        self._look_who_went()

    async def _wake(self) -> None:
        for at, woken in self.sleepers:
            if at <= self.clock.now and not woken.done():
                woken.set_result(None)
        self.sleepers = [(at, woken) for at, woken in self.sleepers if not woken.done()]

    def _set(self, now: float) -> None:
        self.clock.set(now)
        self.model.now = now
        self.model.settle_down()

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        async def quietly() -> Any:
            result = await work
            await self._quiet()
            return result

        result = self.loop.run_until_complete(asyncio.wait_for(quietly(), _SECONDS))
        self._look_who_went()
        return result

    async def _quiet(self) -> None:
        """Until nobody has anything to say and whoever was let through has noticed."""
        for _ in range(6):
            for limits in {*self.limits[0], *self.limits[1]}:
                while limits._playing is not None and not limits._playing.done():
                    await asyncio.wait({limits._playing})
            await asyncio.sleep(0)

    def _look_who_went(self) -> None:
        for caller in list(self.waiting):
            low, high = self.model.due(caller)
            for place, task in enumerate(caller.tasks):
                if task.done() and place not in caller.went:
                    assert self.clock.now >= low - _SLACK, f"{low - self.clock.now} s too early"
                    caller.went[place] = self.clock.now
                assert task.done() or self.clock.now < high + _SLACK, "too late"
            assert not self.alike or len(caller.went) in {0, len(self.limits)}
            if len(caller.went) == len(self.limits):
                self._note(caller)
        self.model.settle_down()

    def _note(self, caller: Caller) -> None:
        self.waiting.remove(caller)
        self.gone.append(caller)
        self.model.went(caller)
        if len(caller.wants) > 1:
            self.unsettled.append(caller)


async def _cancelled_as_it_is_told(limits: Any, wants: Sequence[RateWant]) -> None:
    """Its share is taken, and it does not know yet."""
    play = limits._ledger.play

    async def playing(turn: Turn) -> float:
        now: float = await play(turn)
        task.cancel()
        return now

    limits._ledger.play = playing
    task = asyncio.ensure_future(limits.reserve(wants))
    await asyncio.wait({task})
    limits._ledger.play = play
    assert task.cancelled()


async def _cancelled(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


def test_rates_keep_to_the_model(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Machine, "url", redis_url)
    monkeypatch.setattr(redis_rates, "_SCRIPT", on_the_test_clock(redis_rates._SCRIPT))
    monkeypatch.setattr(redis_rates, "_AGAIN_SECONDS", 0.001)
    run_state_machine_as_test(
        Machine,
        settings=settings(max_examples=60, stateful_step_count=40, report_multiple_bugs=False),
    )
