"""Prices come from the list that is installed, with its version."""

from __future__ import annotations

from importlib.metadata import version

import pytest

from agents.llm.answer import Answer
from agents.llm.prices import usage_of

ANSWER = Answer(text="", input_tokens=1_000_000, output_tokens=100_000)


def test_a_known_model_has_a_price_and_its_version() -> None:
    usage = usage_of(ANSWER, "gpt-4o-mini", None)
    assert usage.cost_usd == pytest.approx(0.15 + 0.06)
    assert usage.price_version == f"genai-prices {version('genai-prices')}"


def test_the_model_that_answered_is_the_one_that_is_paid() -> None:
    answer = Answer(text="", model="gpt-4o-mini-2024-07-18", input_tokens=1_000_000)
    assert usage_of(answer, "an-alias", None).cost_usd == pytest.approx(0.15)


def test_cached_tokens_cost_less() -> None:
    cached = Answer(text="", input_tokens=1_000_000, cached_tokens=1_000_000)
    assert usage_of(cached, "gpt-4o-mini", None).cost_usd == pytest.approx(0.075)


@pytest.mark.parametrize(
    ("model", "url"), [("no-such-model", None), ("gpt-4o-mini", "http://127.0.0.1:8000/v1")]
)
def test_an_unknown_price_is_said_to_be_unknown(model: str, url: str | None) -> None:
    usage = usage_of(ANSWER, model, url)
    assert (usage.cost_usd, usage.price_version) == (0.0, None)
    assert usage.input_tokens == 1_000_000
