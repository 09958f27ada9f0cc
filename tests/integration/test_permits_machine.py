"""Anything may happen to several desks over one Redis, in any order."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
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

from tests.conformance.permits_bench import AGENT, RedisBench, acquire, ask
from tests.conformance.permits_load import Trouble
from worker.coordination.permits import redis_permits
from worker.coordination.permits.redis_permits import RedisPermits

_DESKS = 3
_WHERE = st.integers(0, _DESKS - 1)
_WHICH = st.integers(0, 1000)
_ROUNDS = 200
_SECONDS = 10


class Client:
    """Somebody who wants a step's permit, or has it until they give it back."""

    def __init__(
        self, where: int, desk: RedisPermits, step: str, tenant: str, priority: int
    ) -> None:
        self.where = where
        self.desk = desk
        self.step = step
        self.replaced = False
        self.task = acquire(desk, ask(step, limit=2, tenant=tenant, priority=priority))

    @property
    def holds(self) -> bool:
        return self.task.done() and not self.task.cancelled()


class Machine(RuleBasedStateMachine):
    """The holders are counted by who came out of `acquire`, not by what Redis says."""

    url = ""

    @initialize()
    def open(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.redis: Any = Redis.from_url(self.url, decode_responses=True)
        self.redis.flushall()
        self.notices: list[tuple[str, str]] = []
        self.limit = self.bound = 2
        self.number = 0
        self.clients: list[Client] = []
        self.subscription: Any = self.redis.pubsub()  # type: ignore[no-untyped-call]
        self.subscription.psubscribe("muster:wake:*")
        self.bench = RedisBench(self.url, grace_seconds=1000, looking=False)
        self.desks: list[RedisPermits] = []
        self.troubles: list[Trouble] = []
        for where in range(_DESKS):
            self._begin(where)

    @rule(where=_WHERE, tenant=st.sampled_from("ab"), priority=st.sampled_from([0, 0, 7]))
    def ask(self, where: int, tenant: str, priority: int) -> None:
        self.number += 1
        self._client(where, str(self.number), tenant, priority)

    @precondition(lambda self: self.clients)
    @rule(which=_WHICH, where=_WHERE)
    def take_over(self, which: int, where: int) -> None:
        former = self._pick(which)
        if former.where != where and not former.replaced:
            former.replaced = True
            self._client(where, former.step, "a", 0)

    @precondition(lambda self: self.clients)
    @rule(which=_WHICH)
    def release_or_cancel(self, which: int) -> None:
        client = self._pick(which)
        self.clients.remove(client)
        self._end(client)

    @precondition(lambda self: self.clients)
    @rule(which=_WHICH)
    def cancel_while_it_asks(self, which: int) -> None:
        self.number += 1
        client = self._client(which % _DESKS, str(self.number), "a", 0, quiet=False)
        self._run(asyncio.sleep(0))
        self.clients.remove(client)
        self._end(client)

    @rule(where=_WHERE)
    def crash(self, where: int) -> None:
        self.bench.kill(self._worker(where))
        for client in [client for client in self.clients if client.where == where]:
            self.clients.remove(client)
            client.task.cancel()
        self._begin(where)

    @rule()
    def flush(self) -> None:
        self.redis.flushall()

    @rule()
    def forget_scripts(self) -> None:
        self.redis.script_flush()

    @rule(limit=st.integers(0, 4))
    def set_limit(self, limit: int) -> None:
        self.limit, self.bound = limit, max(limit, self._known())
        self._run(self._set_limits())

    @rule(where=_WHERE)
    def look(self, where: int) -> None:
        self._run(self.desks[where].set_limits({AGENT: self.limit}))
        self._run(self.desks[where].look())

    @rule(
        where=_WHERE, losses=st.lists(st.sampled_from(["lose request", "lose reply"]), max_size=3)
    )
    def lose(self, where: int, losses: list[str]) -> None:
        self.troubles[where].coming += losses

    @rule(where=_WHERE, back=st.integers(0, 6))
    def deliver_a_request_late(self, where: int, back: int) -> None:
        self._run(self.troubles[where].deliver_again(back))

    @rule(which=_WHICH)
    def deliver_a_notice(self, which: int) -> None:
        self._fetch()
        if self.notices:
            worker, notice = self.notices[which % len(self.notices)]
            for where, desk in enumerate(self.desks):
                if self._worker(where) == worker:
                    self._run(_tell(desk, notice))

    @invariant()
    def never_above_the_limit(self) -> None:
        if not hasattr(self, "desks"):
            return
        self._run(self._quiet())
        held = self._steps_held()
        assert len(held) <= self.bound, f"{sorted(held)} above {self.bound}"
        era = self.redis.get("muster:permits:era")
        if all(desk._era == era for desk in self.desks):  # else some may yet learn of old grants
            self.bound = max(self.limit, min(self.bound, self._known()))

    def teardown(self) -> None:
        """Everybody is served in the end, and nothing is left."""
        if not hasattr(self, "desks"):
            return
        try:
            self._finish()
        finally:
            self._run(self._close())
            self.loop.close()
            self.subscription.close()
            self.redis.close()

    def _finish(self) -> None:
        for trouble in self.troubles:
            trouble.coming.clear()
        self.set_limit(2)
        for _ in range(_ROUNDS):
            self._run(self._everybody_looks())
            self._run(self._quiet())
            self.never_above_the_limit()
            for client in [client for client in self.clients if client.holds]:
                self.clients.remove(client)
                self._end(client)
            if not self.clients:
                break
        assert not self.clients, f"{len(self.clients)} were never served"
        self._run(self._quiet())
        assert self.redis.keys(f"muster:permits:{AGENT}:*") == []

    async def _everybody_looks(self) -> None:
        for desk in self.desks:
            await desk.set_limits({AGENT: self.limit})
            await desk.look()

    async def _set_limits(self) -> None:
        for desk in self.desks:
            await desk.set_limits({AGENT: self.limit})

    def _begin(self, where: int) -> None:
        self.number += 1
        worker = f"w{where}-{self.number}"
        desk = self._run(self.bench.desk(worker, told=False))
        if where < len(self.desks):
            self.desks[where], self.troubles[where] = desk, Trouble(desk)
        else:
            self.desks.append(desk)
            self.troubles.append(Trouble(desk))
        self._run(desk.set_limits({AGENT: self.limit}))

    def _worker(self, where: int) -> str:
        return self.desks[where]._worker

    def _client(
        self, where: int, step: str, tenant: str, priority: int, *, quiet: bool = True
    ) -> Client:
        async def begin() -> Client:
            return Client(where, self.desks[where], step, tenant, priority)

        client: Client = self._run(begin())
        self.clients.append(client)
        if quiet:
            self._run(self._quiet())
        return client

    def _end(self, client: Client) -> None:
        async def end() -> None:
            if client.holds:
                client.desk.release(AGENT, "run", client.step)
            client.task.cancel()
            await asyncio.wait({client.task})

        self._run(end())

    def _pick(self, which: int) -> Client:
        return self.clients[which % len(self.clients)]

    def _steps_held(self) -> set[str]:
        return {c.step for c in self.clients if c.holds and not c.replaced}

    def _known(self) -> int:
        """How many may rightly be held while the limit is lower: whatever anybody knows of."""
        theirs = {client.step for client in self.clients if client.holds}
        ledger = self.redis.hkeys(f"muster:permits:{AGENT}:held")
        return len(theirs | {permit.removeprefix("run:") for permit in ledger})

    def _fetch(self) -> None:
        while message := self.subscription.get_message():
            if message["type"] == "pmessage":
                worker = message["channel"].removeprefix("muster:wake:")
                self.notices.append((worker, message["data"]))

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(asyncio.wait_for(work, _SECONDS))

    async def _quiet(self) -> None:
        """Until no desk has anything to say and whoever was granted has noticed."""
        for _ in range(5):
            for desk in self.desks:
                while desk._sending is not None and not desk._sending.done():
                    await asyncio.wait({desk._sending})
            await asyncio.sleep(0)

    async def _close(self) -> None:
        for client in self.clients:
            client.task.cancel()
        await self.bench.close()


async def _tell(desk: RedisPermits, notice: str) -> None:
    desk.told(notice)


def test_whatever_happens(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_permits, "_AGAIN_SECONDS", 0.001)
    monkeypatch.setattr(Machine, "url", redis_url)
    run_state_machine_as_test(Machine, settings=settings(max_examples=40, stateful_step_count=40))
