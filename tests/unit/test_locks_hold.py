"""What a process knows of a lock it holds."""

from __future__ import annotations

import asyncio
import time

from worker.coordination.locks.ask import Answer, Ask
from worker.coordination.locks.hold import Hold
from worker.coordination.locks.request import LockRequest


def hold(ttl: float, sent_at: float) -> Hold:
    request = LockRequest(key="k", owner="a", ttl=ttl, wait=0, why="", metadata={})
    ask = Ask(request, "p/1", "host:1", sent_at=sent_at)
    return Hold.of(ask, Answer.of(["got", "", "7", "1000000", "era"]))


def test_its_term_counts_from_before_it_was_asked_for() -> None:
    sent_at = time.monotonic() - 5
    held = hold(10, sent_at)
    assert held.deadline == sent_at + 10
    assert 4 < held.info().expires_in <= 5
    assert not held.is_lost


def test_a_renewal_that_comes_too_late_changes_nothing() -> None:
    held = hold(10, time.monotonic() - 11)
    assert held.is_lost
    held.renewed(time.monotonic(), "era")
    assert held.is_lost
    asyncio.run(held.lapse())


def test_it_is_renewed_three_times_in_its_term_at_least() -> None:
    now = time.monotonic()
    assert hold(900, now).due_at(2) == now + 2
    assert hold(3, now).due_at(2) == now + 1
