"""What model calls used."""

from __future__ import annotations

from pydantic import NonNegativeFloat, NonNegativeInt

from envelope.model import Contract


class Usage(Contract):
    """Requests, tokens and money of model calls; usages add up with `+`.

    Attributes:
        requests: Calls made.
        input_tokens: Tokens sent.
        output_tokens: Tokens received.
        cost_usd: Price in US dollars; 0 where the model is free or its price unknown.
        price_version: Version of the price list that gave `cost_usd`; None where none was used.
    """

    requests: NonNegativeInt = 0
    input_tokens: NonNegativeInt = 0
    output_tokens: NonNegativeInt = 0
    cost_usd: NonNegativeFloat = 0.0
    price_version: str | None = None

    def __add__(self, other: Usage) -> Usage:
        if vars(other) == _NOTHING:
            return self  # most steps call no model
        return Usage(
            requests=self.requests + other.requests,
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cost_usd=self.cost_usd + other.cost_usd,
            price_version=other.price_version or self.price_version,
        )


_NOTHING = vars(Usage())
