"""Locks on Redis against a model: acquire, release, renew, expire, flush, die, in any order."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, ClassVar, TypeVar

import structlog
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from redis import Redis

from envelope.errors import LockHeld
from tests.services.waiting import wait_until
from worker.coordination.locks.redis_locks import RedisLocks

T = TypeVar("T")

PROCESSES = st.integers(0, 2)
KEYS = st.sampled_from(["a", "a:b", "*"])
NEVER = 3_600.0
"""Renewals are rules here: none happens by itself."""


class LockMachine(RuleBasedStateMachine):
    """Three processes, each one owner. Time passes only where a rule lets it.

    The model: who has the right to a key (`owner`), which keys Redis remembers (`stored`), and
    which processes believe wrongly that they hold one (`deceived`): their renewal was too late.
    """

    url: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.redis: Redis = Redis.from_url(self.url, decode_responses=True)
        self.redis.flushall()
        self.redis.hset("muster:locks:era", mapping={"id": "1", "opens": "0"})
        self.locks = [self._process(number) for number in range(3)]
        self.owner: dict[str, int] = {}
        self.stored: set[str] = set()
        self.deceived: set[tuple[int, str]] = set()
        self.grace = False
        self.fence = 0

    def teardown(self) -> None:
        for locks in self.locks:
            self._await(locks.close())
        self.redis.close()
        self.loop.close()

    @rule(process=PROCESSES, key=KEYS)
    def acquire(self, process: int, key: str) -> None:
        taken = self.owner.get(key, process) != process
        unopened = self.grace and key not in self.stored
        try:
            info = self._await(self.locks[process].acquire(key, owner=f"o{process}", why="model"))
        except LockHeld:
            assert taken or unopened
            return
        assert not taken
        assert not unopened
        assert info.fence > self.fence
        self.fence = info.fence
        self.owner[key] = process
        self.stored.add(key)
        self.deceived.discard((process, key))

    @rule(process=PROCESSES, key=KEYS)
    def release(self, process: int, key: str) -> None:
        had = self.owner.get(key) == process
        released = self._await(self.locks[process].release(key, f"o{process}"))
        assert released == (had and key in self.stored)
        self.deceived.discard((process, key))
        if had:
            del self.owner[key]
            self.stored.discard(key)

    @rule(process=PROCESSES)
    def renew(self, process: int) -> None:
        self._await(self.locks[process]._renewal.renew())
        for key in [key for key, owner in self.owner.items() if owner == process]:
            assert self.grace or key in self.stored
            self.stored.add(key)
        for who, key in list(self.deceived):
            if who == process:
                assert self.locks[process].lost(key, f"o{process}"), "it learns the truth"

    @precondition(lambda self: not self.deceived)
    @rule()
    def flush(self) -> None:
        """Whoever slept through one flush cannot know of a second one: see the page's limits."""
        self.redis.flushall()
        self.stored.clear()
        self.grace = True

    @precondition(lambda self: self.grace)
    @rule(late=st.sets(PROCESSES))
    def the_grace_passes(self, late: set[int]) -> None:
        """Everybody who lives renews in that time, except those who were paused."""
        for process in set(range(3)) - late:
            self.renew(process)
        self.redis.hsetnx("muster:locks:era", "id", f"{self.redis.time()}")
        self.redis.hset("muster:locks:era", "opens", "0")
        self.grace = False
        for key, owner in list(self.owner.items()):
            if key not in self.stored:
                self.deceived.add((owner, key))
                del self.owner[key]

    @rule(key=KEYS)
    def expire(self, key: str) -> None:
        """Its owner was paused for longer than its term, which its own clock tells it."""
        if key not in self.stored:
            return
        owner = self.owner.pop(key)
        self._expire(key)
        hold = self.locks[owner]._renewal.get(_quoted(key), f"o{owner}")
        assert hold is not None
        hold.deadline = 0.0

    @rule(process=PROCESSES)
    def die_and_come_back(self, process: int) -> None:
        """What it held stays until it expires; what only it remembered is gone."""
        self._await(self.locks[process].close())
        self.locks[process] = self._process(process)
        self.deceived = {(who, key) for who, key in self.deceived if who != process}
        for key in [key for key, owner in self.owner.items() if owner == process]:
            del self.owner[key]
            self._expire(key)

    @invariant()
    def redis_says_what_the_model_says(self) -> None:
        found = {info.key: info.owner for info in self._await(self.locks[0].held())}
        assert found == {key: f"o{self.owner[key]}" for key in self.stored}

    @invariant()
    def at_most_one_believes_to_hold_a_key_unless_it_was_paused(self) -> None:
        for key in ("a", "a:b", "*"):
            believers = {
                process
                for process, locks in enumerate(self.locks)
                if (process, key) not in self.deceived
                and locks._renewal.get(_quoted(key), f"o{process}") is not None
                and not locks.lost(key, f"o{process}")
            }
            assert believers == ({self.owner[key]} if key in self.owner else set())

    def _expire(self, key: str) -> None:
        name = f"muster:lock:{_quoted(key)}"
        self.redis.pexpire(name, 1)
        wait_until(lambda: not self.redis.exists(name), 5, "it expires")
        self.stored.discard(key)

    def _await(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(asyncio.wait_for(work, 10))

    def _process(self, number: int) -> RedisLocks:
        log = structlog.get_logger()
        return RedisLocks(self.url, f"process:{number}", log=log, renew_seconds=NEVER)


def _quoted(key: str) -> str:
    return {"a": "a", "a:b": "a%3Ab", "*": "%2A"}[key]


def test_locks_keep_to_the_model(redis_url: str) -> None:
    LockMachine.url = redis_url
    machine = LockMachine.TestCase
    machine.settings = settings(
        max_examples=80,
        stateful_step_count=40,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    machine().runTest()
