"""What tokens cost, from the price list that genai-prices carries; nothing is downloaded."""

from __future__ import annotations

import genai_prices

from agents.llm.answer import Answer
from envelope.usage import Usage

_PRICE_VERSION = f"genai-prices {genai_prices.__version__}"


def usage_of(answer: Answer, model: str, base_url: str | None) -> Usage:
    """Return what one answer used.

    A model or server that the list does not know costs 0 and has no price version: a price is
    unknown then, not zero.
    """
    cost = _cost(answer, answer.model or model, base_url)
    return Usage(
        requests=1,
        input_tokens=answer.input_tokens,
        output_tokens=answer.output_tokens,
        cost_usd=cost or 0.0,
        price_version=None if cost is None else _PRICE_VERSION,
    )


def _cost(answer: Answer, model: str, base_url: str | None) -> float | None:
    tokens = genai_prices.Usage(
        input_tokens=answer.input_tokens,
        cache_read_tokens=min(answer.cached_tokens, answer.input_tokens),
        output_tokens=answer.output_tokens,
    )
    try:
        if base_url is None:
            price = genai_prices.calc_price(tokens, model, provider_id="openai")
        else:
            price = genai_prices.calc_price(tokens, model, provider_api_url=base_url)
    except (LookupError, ValueError):
        return None
    return float(price.total_price)
