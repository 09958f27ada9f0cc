"""Model calls charged to a run's budget, against a provider on a real socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Literal
from uuid import uuid4

import pytest
import structlog
from pydantic import BaseModel

from agents.llm.account import AccountLimits
from agents.llm.errors import InvalidOutput, ModelBusy, ModelTimeout
from agents.llm.openai_model import OpenAIModel
from agents.llm.port import Prompt
from envelope.errors import BudgetExceeded
from envelope.ports.budgets import Amount, BudgetLimit
from envelope.ports.rates import Rate
from envelope.running import RUNNING, Running, utc_now
from envelope.usage import Usage
from tests.integration.openai_provider import Provider, Reply, error_body, responses_body, serving
from worker.coordination.budgets.meter import RunMeter
from worker.coordination.budgets.redis_budgets import RedisBudgets
from worker.coordination.rates.in_process import InProcessRates
from worker.resources import account_limits
from worker.settings import Settings

PROMPT = Prompt(instructions="Say something.", max_output_tokens=400)
WIDE = Rate(amount=1_000.0, seconds=1.0, burst=1_000.0)


class Whisper(BaseModel):
    """What is whispered."""

    text: str
    mood: Literal["calm", "glad"] = "calm"


GOOD = Reply(body=responses_body(json.dumps({"text": "hello", "mood": "glad"})))
WRONG = Reply(body=responses_body("{}"))
USED = "Used: 1,200 tokens"


class Run:
    """A run with a budget, and one step of it that asks a model."""

    def __init__(self, budgets: RedisBudgets, limit: BudgetLimit) -> None:
        self._budgets = budgets
        self._limit = limit
        meter = RunMeter(budgets, limit, "r1", "draft")
        self.running = Running("r1", "draft", "copywriter", 1, None, utc_now(), Usage(), meter)

    async def ask(self, model: OpenAIModel) -> Any:
        RUNNING.set(self.running)
        return await model.generate(PROMPT, Whisper)

    async def state(self) -> str:
        """What the budget says for itself."""
        with pytest.raises(BudgetExceeded) as caught:
            await self._budgets.reserve(self._limit, str(uuid4()), Amount(tokens=10**9, usd=10**9))
        return str(caught.value)


@asynccontextmanager
async def run_with(
    redis_url: str, tokens: int | None = None, usd: float | None = None
) -> AsyncIterator[Run]:
    async def spent(root_id: str) -> tuple[int, float]:
        return 0, 0.0

    budgets = RedisBudgets(redis_url, spent, structlog.get_logger("test"))
    try:
        yield Run(budgets, BudgetLimit(root_id=str(uuid4()), tokens=tokens, usd=usd))
    finally:
        await budgets.close()


@asynccontextmanager
async def model_for(provider: Provider, **more: Any) -> AsyncIterator[OpenAIModel]:
    model = OpenAIModel("gpt-5.4-mini", base_url=provider.url, **more)
    try:
        yield model
    finally:
        await model.aclose()


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(60):
            await test()

    asyncio.run(limited())


def test_a_call_that_does_not_fit_is_never_made(redis_url: str) -> None:
    async def test() -> None:
        rates = InProcessRates()
        limits = AccountLimits(rates=rates, requests=WIDE, tokens=WIDE)
        async with run_with(redis_url, 50) as work, model_for(provider, limits=limits) as model:
            with pytest.raises(BudgetExceeded, match="50 tokens"):
                await work.ask(model)
            await rates.reserve([])
            while {report.level for report in await rates.report()} != {1_000.0}:
                await asyncio.sleep(0.005)
            await rates.close()

    with serving(GOOD) as provider:
        run(test)
    assert provider.asked == []


def test_calls_are_made_until_the_budget_is_used(redis_url: str) -> None:
    async def test() -> None:
        async with run_with(redis_url, 2_500) as work, model_for(provider) as model:
            await work.ask(model)
            assert USED in await work.state()
            await work.ask(model)
            with pytest.raises(BudgetExceeded, match="2,400 tokens"):
                await work.ask(model)
            assert work.running.usage.input_tokens + work.running.usage.output_tokens == 2_400

    with serving(GOOD) as provider:
        run(test)
    assert len(provider.asked) == 2


def test_money_counts_by_the_price_list(redis_url: str) -> None:
    openai = "https://api.openai.com/v1"

    async def test() -> None:
        async with run_with(redis_url, usd=1e-9) as work:
            model = OpenAIModel("gpt-5.4-mini", base_url=openai, api_key="sk-none")
            with pytest.raises(BudgetExceeded, match="USD"):
                await work.ask(model)
            await model.aclose()

    run(test)


def test_repairs_are_charged_though_the_step_fails(redis_url: str) -> None:
    async def test() -> None:
        async with run_with(redis_url, 100_000) as work, model_for(provider) as model:
            with pytest.raises(InvalidOutput):
                await work.ask(model)
            assert "Used: 3,600 tokens, " in await work.state()

    with serving(WRONG) as provider:
        run(test)


def test_a_budget_that_ends_in_mid_step_keeps_what_was_used(redis_url: str) -> None:
    async def test() -> None:
        async with run_with(redis_url, 1_300) as work, model_for(provider) as model:
            with pytest.raises(BudgetExceeded):
                await work.ask(model)
            assert USED in await work.state()
            assert work.running.usage.requests == 1

    with serving(WRONG) as provider:
        run(test)
    assert len(provider.asked) == 1


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply(503, "<html>busy</html>"), ModelBusy),
        (Reply(429, error_body("Slow down")), ModelBusy),
        (Reply(drip_seconds=0.05), ModelTimeout),
    ],
)
def test_a_call_that_fails_sets_nothing_aside_for_ever(
    redis_url: str, reply: Reply, kind: type[Exception]
) -> None:
    async def test() -> None:
        async with (
            run_with(redis_url, 100_000) as work,
            model_for(provider, timeout_seconds=0.5) as model,
        ):
            with pytest.raises(kind):
                await work.ask(model)
            assert "way: 0 tokens" in await work.state()

    with serving(reply) as provider:
        run(test)


def test_calls_under_way_share_the_budget(redis_url: str) -> None:
    async def test() -> None:
        async with run_with(redis_url, 1_000) as work, model_for(provider) as model:
            calls = [asyncio.create_task(work.ask(model)) for _ in range(12)]
            failed = 0
            while failed + len(provider.asked) < 12:
                await asyncio.sleep(0.005)
                failed = sum(call.done() for call in calls)
            assert 0 < len(provider.asked) <= 5
            for call in calls:
                call.cancel()
            ended = await asyncio.gather(*calls, return_exceptions=True)
            refused = [error for error in ended if isinstance(error, BudgetExceeded)]
            assert len(refused) == failed
            assert "way: 0 tokens" in await work.state()

    with serving(Reply(drip_seconds=0.05)) as provider:
        run(test)


def test_the_settings_name_the_account() -> None:
    async def test() -> None:
        settings = Settings.load(
            llm_requests_per_minute=600, llm_tokens_per_minute=90_000, llm_account="team a"
        )
        limits = account_limits(settings)
        one, tokens = limits.wants(200_000)
        assert (one.key, one.rate) == (
            "account:team a:requests",
            Rate(amount=600.0, seconds=60.0, burst=60.0),
        )
        assert (tokens.key, tokens.amount) == ("account:team a:tokens", 9_000.0)
        reservation = await limits.rates.reserve(limits.wants(10))
        assert reservation.waited_seconds < 1
        await limits.rates.close()

    run(test)


def test_without_limits_only_pauses_hold() -> None:
    async def test() -> None:
        limits = account_limits(Settings.load())
        assert [want.key for want in limits.wants(100)] == ["account:default:requests"]
        many = await asyncio.gather(*(limits.rates.reserve(limits.wants(1)) for _ in range(500)))
        assert max(reservation.waited_seconds for reservation in many) < 1
        limits.rates.pause("account:default:requests", 0.2)
        assert (await limits.rates.reserve(limits.wants(1))).waited_seconds >= 0.19
        await limits.rates.close()

    run(test)
