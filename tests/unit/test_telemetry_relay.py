"""What an isolated process counts is counted by the worker that watches it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator

import pytest
from prometheus_client import CollectorRegistry

from envelope.usage import Usage
from worker.engine.pipes import counted
from worker.telemetry.meters import Meters
from worker.telemetry.prometheus import PrometheusMeters
from worker.telemetry.relay import FACTS, Relay, relayed_to


def tell_everything(meters: Meters) -> None:
    """Call every method once, with a generator where one may be."""
    meters.run_held(1)
    meters.run_waited("f", 0.2)
    meters.run_ended("f", "succeeded", 0.2)
    meters.run_ended("f", "dead", None)
    meters.step_waited("a", 0.2)
    meters.step_settled("a", "failed", 0.2, "CODE")
    meters.step_retried("a")
    meters.permit_waited("a", 0.2)
    meters.rate_waited((key for key in ("agent:a", "account:x:tokens")), 0.2)
    usage = Usage(requests=1, input_tokens=7, output_tokens=3, cost_usd=0.5, price_version="p 1")
    meters.model_called("m", "succeeded", 0.2, usage)
    meters.cache_asked("model", "m", hit=True)
    meters.effect_ended("email", "sent")
    meters.journal_written(0.2, 12, 2)
    meters.rescued("run_requeued", 3)
    meters.quarantined("too_large")
    meters.event_told(0.2)


def figures(registry: CollectorRegistry) -> dict[str, float]:
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in registry.collect()
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def through_a_pipe(write: Callable[[int], None]) -> dict[str, float]:
    """What the worker has counted once the other end has written and is gone."""
    registry = CollectorRegistry()

    async def scenario() -> None:
        async with counted(PrometheusMeters(registry)) as descriptor:
            await asyncio.to_thread(write, descriptor)

    asyncio.run(scenario())
    return figures(registry)


def test_every_fact_arrives_as_it_was_told() -> None:
    here = CollectorRegistry()
    meters = PrometheusMeters(here)
    tell_everything(meters)
    meters.run_held(-1)  # the process has ended
    told = through_a_pipe(lambda descriptor: tell_everything(relayed_to(descriptor)))
    assert told == figures(here)


def test_no_fact_is_left_out() -> None:
    made = relayed_to(os.open(os.devnull, os.O_WRONLY))
    assert set(vars(type(made))) >= FACTS
    assert len(FACTS) > 10


def test_the_runs_of_a_process_that_died_are_not_held_for_ever() -> None:
    def dies(descriptor: int) -> None:
        meters = relayed_to(descriptor)
        for change in (1, 1, -1):
            meters.run_held(change)

    assert through_a_pipe(dies)["muster_runs_held"] == 0


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def test_a_worker_that_does_not_read_holds_up_nobody(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    meters = relayed_to(writing)
    for _ in range(50_000):
        meters.step_retried("a" * 100)
    lines = os.read(reading, 10_000_000).split(b"\n")
    assert lines[-1] == b""
    assert {len(line) for line in lines[:-1]} == {len(lines[0])}, "a line was cut"


def test_a_worker_that_is_gone_holds_up_nobody() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    relayed_to(writing).step_retried("a")
    os.close(writing)


def test_a_name_without_end_is_dropped(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    meters = relayed_to(writing)
    meters.step_retried("a" * 100_000)
    meters.step_retried("short")
    assert os.read(reading, 1_000) == b'["step_retried", ["short"], {}]\n'


@pytest.mark.parametrize(
    "line",
    [
        None,
        7,
        {},
        ["__class__", [], {}],
        ["close", [], {}],
        ["run_waited", [], {}],
        ["run_waited", ["f", "much"], {}],
        ["model_called", ["m", "succeeded", 1.0, {"requests": -1}], {}],
        ["step_retried", "a", {}],
    ],
)
def test_what_is_no_fact_is_dropped(line: object) -> None:
    registry = CollectorRegistry()
    relay = Relay(PrometheusMeters(registry))
    relay.take(line)
    relay.take(["step_retried", ["a"], {}])
    assert figures(registry)["muster_step_retries_total a"] == 1


def test_a_line_that_is_no_json_ends_nothing_but_the_counting() -> None:
    def write(descriptor: int) -> None:
        relayed_to(descriptor).step_retried("before")
        os.write(descriptor, b"not json\n")

    assert through_a_pipe(write)["muster_step_retries_total before"] == 1
