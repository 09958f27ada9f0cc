"""One answer of a provider, whichever of its APIs gave it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, TypeVar

from pydantic import BaseModel, Field, ValidationError

from agents.llm.ask import ToolCall
from agents.llm.errors import ModelBusy

Tokens = Annotated[int, Field(ge=0)]
R = TypeVar("R", bound=BaseModel)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a provider answered.

    Attributes:
        text: The output, hopefully JSON.
        calls: The tools that the model wants called before it answers.
        model: The model that answered, as the provider names it; None where it does not say.
        refusal: Why the model declined; None where it did not.
        cut_off: Why the output is not whole; None where it is.
        input_tokens: Tokens sent.
        cached_tokens: Those of them that the provider had cached.
        output_tokens: Tokens received, thinking included.
        headers: What came with it, names in lower case.
    """

    text: str
    calls: tuple[ToolCall, ...] = ()
    model: str | None = None
    refusal: str | None = None
    cut_off: str | None = None
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)


def read_reply(reply: type[R], body: bytes | str) -> R:
    """Validate a provider's reply, whose shape the SDK takes on trust.

    Raises:
        ModelBusy: The body is not what the API returns, as a proxy's error page is not.
    """
    try:
        return reply.model_validate_json(body)
    except ValidationError:
        raise ModelBusy(
            f"The server's reply of {len(body):,} bytes is not one of this API. Check that "
            "MUSTER_OPENAI_BASE_URL points at an OpenAI-compatible server."
        ) from None
