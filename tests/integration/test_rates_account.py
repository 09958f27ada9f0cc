"""The limits of an account: model instances on one Redis against a provider on a real socket."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal
from uuid import uuid4

import pytest
import structlog
from pydantic import BaseModel

from agents.llm.account import AccountLimits
from agents.llm.errors import ModelBusy, ModelRejected, ModelTimeout
from agents.llm.openai_model import OpenAIModel
from agents.llm.port import Prompt
from envelope.ports.rates import BucketReport, Rate, RateLimits, RateWant
from tests.integration.openai_provider import (
    Asked,
    Provider,
    Reply,
    error_body,
    responses_body,
    serving,
)
from worker.coordination.rates.loops import LoopRates
from worker.coordination.rates.redis_rates import RedisRates

PROMPT = Prompt(instructions="Say something.", max_output_tokens=400)
QUICK = Rate(amount=100.0, seconds=1.0, burst=100.0)
SLOW = Rate(amount=20.0, seconds=1.0, burst=2.0)
MANY = Rate(amount=1_000_000.0, seconds=1.0, burst=100_000.0)


class Remark(BaseModel):
    """What is remarked."""

    text: str
    mood: Literal["calm", "glad"] = "calm"


GOOD = Reply(body=responses_body(json.dumps({"text": "hello", "mood": "glad"})))


@dataclass
class Worker:
    """One worker process: rate limits and a model of its own."""

    rates: RateLimits
    model: OpenAIModel

    async def ask(self) -> Any:
        return await self.model.generate(PROMPT, Remark)

    async def close(self) -> None:
        await self.model.aclose()
        await self.rates.close()


@dataclass
class Cluster:
    """Workers that share a Redis and an account of this test's own."""

    redis_url: str
    name: str = field(default_factory=lambda: f"account {uuid4()}")

    @asynccontextmanager
    async def workers(
        self,
        provider: Provider,
        number: int = 1,
        *,
        requests: Rate | None = QUICK,
        tokens: Rate | None = None,
        **more: Any,
    ) -> AsyncIterator[list[Worker]]:
        made = []
        for _ in range(number):
            rates = RedisRates(self.redis_url, structlog.get_logger("test"))
            limits = AccountLimits(rates=rates, name=self.name, requests=requests, tokens=tokens)
            model = OpenAIModel("gpt-5.4-mini", base_url=provider.url, limits=limits, **more)
            made.append(Worker(rates, model))
        try:
            yield made
        finally:
            for worker in made:
                await worker.close()

    async def bucket(self, worker: Worker, kind: str) -> BucketReport:
        reports = {report.key: report for report in await worker.rates.report()}
        return reports[f"account:{self.name}:{kind}"]


@pytest.fixture
def cluster(redis_url: str) -> Cluster:
    return Cluster(redis_url)


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(60):
            await test()

    asyncio.run(limited())


async def settled(cluster: Cluster, worker: Worker, kind: str, level: float, within: float) -> None:
    """Wait until a bucket's level is about this."""
    async with asyncio.timeout(20):
        while abs((await cluster.bucket(worker, kind)).level - level) > within:
            await asyncio.sleep(0.005)


class Limited:
    """A provider that refuses everything for a time after its first request, and notes when."""

    def __init__(self, seconds: float, **headers: str) -> None:
        self.times: list[float] = []
        self._seconds = seconds
        self._headers = headers

    def __call__(self, asked: Asked) -> Reply:
        now = time.monotonic()
        self.times.append(now)
        if now - self.times[0] < self._seconds:
            headers = {name.replace("_", "-"): value for name, value in self._headers.items()}
            return Reply(429, error_body("Slow down"), headers)
        return GOOD


def test_after_one_refusal_no_worker_asks_before_its_time(cluster: Cluster) -> None:
    limited = Limited(0.95, retry_after="1")

    async def test() -> None:
        async with cluster.workers(provider, 2) as (one, other):
            with pytest.raises(ModelBusy):
                await one.ask()
            asked = [worker.ask() for worker in (one, other) for _ in range(15)]
            await asyncio.gather(*asked)

    with serving(limited) as provider:
        run(test)
    first, *later = limited.times
    assert len(later) == 30, "one call for each answer: nobody ran into the limit again"
    assert min(later) - first >= 1 - 0.02


def test_a_storm_costs_few_calls_for_each_answer(cluster: Cluster) -> None:
    """Callers that were let through, or sleep, as the refusal comes."""
    limited = Limited(0.95, retry_after="1")

    async def persistent(worker: Worker) -> None:
        while True:
            try:
                return await worker.ask()
            except ModelBusy:
                continue

    async def test() -> None:
        async with cluster.workers(provider, 2, requests=SLOW) as workers:
            await asyncio.gather(*(persistent(worker) for worker in workers for _ in range(10)))

    with serving(limited) as provider:
        run(test)
    calls = limited.times
    early = [at for at in calls if at - calls[0] < 0.95]
    assert len(early) <= 4, "the burst of 2, and what was under way"
    assert len(calls) == 20 + len(early)
    after = sorted(calls)[len(early) :]
    assert after[-1] - after[0] >= 0.9 * 19 / 20, "they flow afterwards, and do not burst"


@pytest.mark.parametrize(
    ("headers", "paused"),
    [
        ({"retry-after": "30"}, 30),
        ({"retry-after-ms": "20000"}, 20),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"}, 360),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "1m30.5s"}, 90.5),
        ({"x-ratelimit-remaining-tokens": "1", "x-ratelimit-reset-tokens": "1m30.5s"}, 0.5),
        ({"retry-after": "1000000000"}, 3_600),
        ({"retry-after": "soon"}, 0.5),
        ({"retry-after": "0"}, 0),
        ({}, 0.5),
    ],
)
def test_a_refusal_pauses_the_account_as_it_says(
    cluster: Cluster, headers: dict[str, str], paused: float
) -> None:
    async def test() -> None:
        async with cluster.workers(provider, tokens=MANY) as (worker,):
            with pytest.raises(ModelBusy):
                await worker.ask()
            for kind in ("requests", "tokens"):
                await until_paused(cluster, worker, kind, paused)

    with serving(Reply(429, error_body("Slow down"), headers)) as provider:
        run(test)


async def until_paused(cluster: Cluster, worker: Worker, kind: str, seconds: float) -> None:
    # The shortest pause may be half over by now.
    async with asyncio.timeout(20):
        while True:
            report = await cluster.bucket(worker, kind)
            if report.paused_seconds == pytest.approx(seconds, abs=0.4):
                return
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("status", [503, 529])
def test_an_overloaded_server_may_ask_for_patience(cluster: Cluster, status: int) -> None:
    async def test() -> None:
        async with cluster.workers(provider) as (worker,):
            with pytest.raises(ModelBusy):
                await worker.ask()
            await until_paused(cluster, worker, "requests", 40)

    with serving(Reply(status, "<html>busy</html>", {"retry-after": "40"})) as provider:
        run(test)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply(503, "<html>busy</html>"), ModelBusy),
        (Reply(404, error_body("none", "model_not_found"), {"retry-after": "40"}), ModelRejected),
        (
            Reply(429, error_body("No credit", "insufficient_quota"), {"retry-after": "40"}),
            ModelRejected,
        ),
    ],
)
def test_other_troubles_pause_nobody(cluster: Cluster, reply: Reply, kind: type[Exception]) -> None:
    async def test() -> None:
        async with cluster.workers(provider, tokens=MANY) as (worker,):
            with pytest.raises(kind):
                await worker.ask()
            await settled(cluster, worker, "tokens", MANY.burst, 1)
            assert (await cluster.bucket(worker, "requests")).paused_seconds == 0

    with serving(reply) as provider:
        run(test)


def test_headers_of_an_answer_pause_too(cluster: Cluster) -> None:
    headers = {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "20s"}

    async def test() -> None:
        async with cluster.workers(provider) as (worker,):
            await worker.ask()
            await until_paused(cluster, worker, "requests", 20)

    with serving(Reply(body=GOOD.body, headers=headers)) as provider:
        run(test)


def test_guessed_pauses_grow_until_a_call_goes_well(cluster: Cluster) -> None:
    refused = Reply(429, error_body("Slow down"))
    script = [refused, refused, GOOD, refused, refused]

    def answering(asked: Asked) -> Reply:
        times.append(time.monotonic())
        return script[len(times) - 1]

    times: list[float] = []

    async def test() -> None:
        async with cluster.workers(provider) as (worker,):
            for reply in script:
                if reply is refused:
                    with pytest.raises(ModelBusy):
                        await worker.ask()
                else:
                    await worker.ask()

    with serving(answering) as provider:
        run(test)
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert gaps[0] >= 0.5 - 0.02
    assert gaps[1] >= 1.0 - 0.02
    assert gaps[2] < 0.5
    assert 0.5 - 0.02 <= gaps[3] < 1.0


def test_peers_of_a_refused_call_do_not_make_the_guess_grow(cluster: Cluster) -> None:
    async def test() -> None:
        async with cluster.workers(provider) as (worker,):
            failed = await asyncio.gather(
                *(worker.ask() for _ in range(12)), return_exceptions=True
            )
            assert {type(error) for error in failed} == {ModelBusy}
            assert (await cluster.bucket(worker, "requests")).paused_seconds <= 0.5

    with serving(Reply(429, error_body("Slow down"))) as provider:
        run(test)


def test_tokens_are_settled_with_the_real_usage(cluster: Cluster) -> None:
    slow = Rate(amount=1.0, seconds=1.0, burst=50_000.0)

    async def test() -> None:
        async with cluster.workers(provider, tokens=slow) as (worker,):
            await asyncio.gather(*(worker.ask() for _ in range(5)))
            await settled(cluster, worker, "tokens", 50_000 - 5 * 1_200, 20)
            await settled(cluster, worker, "requests", QUICK.burst, 5)

    with serving(GOOD) as provider:
        run(test)


def test_a_call_larger_than_the_bucket_waits_for_all_of_it_and_no_longer(cluster: Cluster) -> None:
    tiny = Rate(amount=1_000.0, seconds=1.0, burst=100.0)

    async def test() -> None:
        async with cluster.workers(provider, tokens=tiny) as (worker,):
            began = time.monotonic()
            await worker.ask()
            await worker.ask()  # the first used 1,200: 1,100 of them are debt now
            assert time.monotonic() - began >= 1.2 - 0.05

    with serving(GOOD) as provider:
        run(test)


def test_a_provider_that_tells_no_usage_keeps_the_estimate(cluster: Cluster) -> None:
    slow = Rate(amount=1.0, seconds=1.0, burst=50_000.0)
    silent = Reply(body=responses_body(json.dumps({"text": "x", "mood": "calm"}), usage=None))

    async def test() -> None:
        async with cluster.workers(provider, tokens=slow) as (worker,):
            await worker.ask()
            await worker.rates.reserve([RateWant(key=str(uuid4()), rate=QUICK)])  # settled by now
            assert (await cluster.bucket(worker, "tokens")).level < 50_000 - 100

    with serving(silent) as provider:
        run(test)


def test_waiting_for_the_account_is_no_part_of_the_call(cluster: Cluster) -> None:
    one_a_second = Rate(amount=1.0, seconds=1.0, burst=1.0)

    async def test() -> None:
        async with cluster.workers(provider, requests=one_a_second, timeout_seconds=0.8) as (
            worker,
        ):
            await asyncio.gather(*(worker.ask() for _ in range(3)))

    with serving(GOOD) as provider:
        run(test)


def test_a_call_that_is_broken_off_keeps_the_estimate(cluster: Cluster) -> None:
    """Nobody knows what it used."""
    slow = Rate(amount=1.0, seconds=1.0, burst=50_000.0)

    async def test() -> None:
        async with cluster.workers(provider, tokens=slow, timeout_seconds=0.3) as (worker,):
            with pytest.raises(ModelTimeout):
                await worker.ask()
            await worker.rates.reserve([RateWant(key=str(uuid4()), rate=QUICK)])  # settled by now
            assert (await cluster.bucket(worker, "tokens")).level < 50_000 - 100

    with serving(Reply(drip_seconds=0.05)) as provider:
        run(test)


def test_a_cancelled_call_counts_and_one_that_waited_does_not(cluster: Cluster) -> None:
    two = Rate(amount=1.0, seconds=60.0, burst=1.0)

    async def test() -> None:
        async with cluster.workers(provider, requests=two) as (worker,):
            calling = asyncio.create_task(worker.ask())
            while not provider.asked:
                await asyncio.sleep(0.005)
            waiting = asyncio.create_task(worker.ask())
            await settled(cluster, worker, "requests", -1, 0.3)
            for task in (calling, waiting):
                task.cancel()
                await asyncio.wait({task})
            await settled(cluster, worker, "requests", 0, 0.3)

    with serving(Reply(drip_seconds=0.05)) as provider:
        run(test)
    assert len(provider.asked) == 1


def test_workers_keep_the_rate_together(cluster: Cluster) -> None:
    times: list[float] = []

    def answering(asked: Asked) -> Reply:
        times.append(time.monotonic())
        return GOOD

    async def test() -> None:
        async with cluster.workers(provider, 3, requests=SLOW) as workers:
            for worker in workers:  # a client takes its time when it is first used
                assert worker.model._server._clients.current().responses
            await asyncio.gather(*(worker.ask() for worker in workers for _ in range(8)))

    with serving(answering) as provider:
        run(test)
    assert max(times) - min(times) >= 0.95 * 22 / 20


def test_every_event_loop_counts_on_one_account(cluster: Cluster) -> None:
    """A plain `def` agent runs its own loop in a thread."""
    rates = LoopRates(lambda: RedisRates(cluster.redis_url, structlog.get_logger("test")))
    calm = Rate(amount=1.0, seconds=60.0, burst=10.0)
    limits = AccountLimits(rates=rates, name=cluster.name, requests=calm)

    async def once() -> float:
        await model.generate(PROMPT, Remark)
        (report,) = [
            report for report in await rates.report() if report.key == limits.key("requests")
        ]
        await model.aclose()
        await rates.close()
        return report.level

    with serving(GOOD) as provider:
        model = OpenAIModel("gpt-5.4-mini", base_url=provider.url, limits=limits)
        levels = [asyncio.run(once()) for _ in range(3)]
    assert levels == pytest.approx([9, 8, 7], abs=0.3)
