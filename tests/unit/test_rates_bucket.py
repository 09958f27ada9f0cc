"""The maths of the buckets, against a model that lets time flow and counts."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envelope.ports.rates import Rate
from worker.coordination.rates.bucket import Bucket, take_together
from worker.coordination.rates.turn import Mark, seconds_of

DUST = 1e-6

rates = st.builds(
    Rate,
    amount=st.floats(0.5, 50),
    seconds=st.sampled_from([1.0, 60.0]),
    burst=st.floats(1, 20),
)
shares = st.floats(0, 1)  # of the burst
gaps = st.one_of(st.just(0.0), st.floats(0, 30))
seeds = st.integers(0, 10**6)


def full(rate: Rate, now: float) -> Bucket:
    return Bucket(now - seconds_of(rate, rate.burst), rate)


@dataclass
class Caller:
    amount: float
    go: float
    mark: Mark


@given(rate=rates, asks=st.lists(st.tuples(gaps, shares), min_size=1, max_size=40))
def test_each_caller_goes_as_soon_as_its_share_has_flowed_in(
    rate: Rate, asks: list[tuple[float, float]]
) -> None:
    """No sooner, no later, in order: so nobody starves and nobody overtakes."""
    flow = rate.amount / rate.seconds
    now, bucket = 1_000.0, full(rate, 1_000.0)
    level, seen = rate.burst, now  # the model: what is in it after the last one went
    for gap, share in asks:
        now += gap
        amount = share * rate.burst
        go, _ = take_together(now, [(bucket, seconds_of(rate, amount))])
        ready = max(now, seen)
        at_hand = min(rate.burst, level + (ready - seen) * flow)
        expected = ready + max(0.0, amount - at_hand) / flow
        assert go == pytest.approx(expected, abs=1e-4)
        level, seen = min(rate.burst, level + (expected - seen) * flow) - amount, expected


acts = st.one_of(
    st.tuples(st.just("ask"), shares),
    st.tuples(st.just("cancel"), seeds),
    st.tuples(st.just("pause"), st.floats(0, 20)),
    st.tuples(st.just("wait"), gaps),
)


@given(rate=rates, acts=st.lists(acts, min_size=5, max_size=80))
def test_no_window_gets_more_than_the_burst_and_what_flowed_in(
    rate: Rate, acts: list[tuple[str, float]]
) -> None:
    """Whoever goes away or is put off meanwhile."""
    now, bucket = 1_000.0, full(rate, 1_000.0)
    waiting: list[Caller] = []
    went: list[tuple[float, float]] = []

    def let_go(until: float) -> None:
        for caller in list(waiting):
            due = bucket.put_off(caller.go, caller.mark)
            if due <= until:
                waiting.remove(caller)
                went.append((due, caller.amount))

    for act, value in acts:
        if act == "wait":
            now += value
        elif act == "pause":
            bucket.pause(now, value)
        elif act == "ask":
            amount = value * rate.burst
            go, (mark,) = take_together(now, [(bucket, seconds_of(rate, amount))])
            waiting.append(Caller(amount, go, mark))
        elif waiting:
            gone = waiting.pop(int(value) % len(waiting))
            bucket.give_back(now, seconds_of(rate, gone.amount), gone.mark)
        let_go(now)
    let_go(math.inf)
    assert_bounded(rate, went)


RATE = Rate(amount=1.0, seconds=1.0, burst=1.0)


def assert_bounded(rate: Rate, went: list[tuple[float, float]]) -> None:
    flow = rate.amount / rate.seconds
    went = sorted(went)
    for first, (began, _) in enumerate(went):
        granted = 0.0
        for at, amount in went[first:]:
            granted += amount
            assert granted <= rate.burst + (at - began) * flow + DUST * (1 + granted)


@given(
    first=rates,
    second=rates,
    asks=st.lists(st.tuples(gaps, shares, shares), min_size=1, max_size=40),
)
def test_each_of_several_buckets_keeps_its_bound(
    first: Rate, second: Rate, asks: list[tuple[float, float, float]]
) -> None:
    now = 1_000.0
    buckets = full(first, now), full(second, now)
    went: list[tuple[float, float, float]] = []
    for gap, share, other in asks:
        now += gap
        amounts = share * first.burst, other * second.burst
        costs = seconds_of(first, amounts[0]), seconds_of(second, amounts[1])
        go, _ = take_together(now, list(zip(buckets, costs, strict=True)))
        went.append((go, *amounts))
    assert [go for go, *_ in went] == sorted(go for go, *_ in went)
    assert_bounded(first, [(go, amount) for go, amount, _ in went])
    assert_bounded(second, [(go, amount) for go, _, amount in went])


@given(rate=rates, waiting=st.integers(1, 30), order=st.randoms(use_true_random=False))
def test_a_queue_that_goes_away_leaves_nothing_behind(
    rate: Rate, waiting: int, order: random.Random
) -> None:
    bucket = full(rate, 1_000.0)
    cost = seconds_of(rate, rate.burst)
    take_together(1_000.0, [(bucket, cost)])
    marks = [take_together(1_000.0, [(bucket, cost)])[1][0] for _ in range(waiting)]
    order.shuffle(marks)
    for mark in marks:
        bucket.give_back(1_000.0, cost, mark)
    assert bucket.report(1_000.0, "x").level == pytest.approx(0, abs=1e-3)


@given(rate=rates, cost=st.floats(-1e6, 1e6), paused=st.just(0.0) | st.floats(0.01, 100))
def test_a_correction_never_fills_it_beyond_its_burst(
    rate: Rate, cost: float, paused: float
) -> None:
    bucket = full(rate, 1_000.0)
    bucket.pause(1_000.0, paused)
    bucket.correct(1_000.0, cost)
    level = bucket.report(1_000.0, "x").level
    assert level <= (DUST if paused else rate.burst + DUST)


def test_a_pause_moves_everything_back_by_what_it_adds() -> None:
    bucket = full(RATE, 0.0)
    take_together(0.0, [(bucket, 1.0)])
    go, (mark,) = take_together(0.0, [(bucket, 1.0)])
    bucket.pause(0.5, 10)
    bucket.pause(1.0, 5)
    assert bucket.put_off(go, mark) == go + 10
    bucket.pause(2.0, 10)
    assert bucket.put_off(go, mark) == go + 11.5
    assert take_together(2.0, [(bucket, 1.0)])[0] == pytest.approx(go + 12.5)
