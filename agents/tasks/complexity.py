"""The predefined analysis of how hard a request is."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from agents.llm.port import Prompt
from agents.tasks.brand import BrandAnalysis
from agents.tasks.builder import task
from agents.tasks.intent import IntentAnalysis
from envelope.model import Contract

_PARTS = re.compile(r"\b(?:and|then|also|plus|after that|as well as)\b|[;\n]", re.IGNORECASE)
_CONDITIONS = re.compile(
    r"\b(?:must|only|unless|except|if|every|each|all|never|exactly|at (?:most|least)|without)\b",
    re.IGNORECASE,
)
_LONG_TEXT, _MANY_PARTS, _MANY_CONDITIONS = 1_500, 8, 6
_MODERATE, _COMPLEX = 0.25, 0.6
_MOST_STEPS = 20


class ComplexityRequest(Contract):
    """A request to judge.

    Attributes:
        text: The request.
        intent: What it was found to ask for.
        brand: The brand that it is made for.
    """

    text: Annotated[str, Field(min_length=1, max_length=20_000)]
    intent: IntentAnalysis | None = None
    brand: BrandAnalysis | None = None


class ComplexityAnalysis(BaseModel):
    """How hard a request is, and what it takes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    level: Literal["simple", "moderate", "complex"] = Field(description="How hard it is.")
    score: Annotated[float, Field(ge=0, le=1)] = Field(description="The same from 0 to 1.")
    steps: Annotated[int, Field(ge=1, le=_MOST_STEPS)] = Field(
        description="How many pieces of work it takes."
    )
    tier: Literal["fast", "balanced", "quality"] = Field(
        description="How good a model it needs: fast, balanced or quality."
    )
    reasons: list[str] = Field(description="What makes it so, one short phrase each.")

    @classmethod
    def compose_offline(cls, prompt: Prompt) -> ComplexityAnalysis:
        """Weigh length, parts and conditions."""
        text = str(prompt.task.get("text", ""))
        parts, conditions = len(_PARTS.findall(text)), len(_CONDITIONS.findall(text))
        weights = {
            "long text": min(1.0, len(text) / _LONG_TEXT),
            "many parts": min(1.0, parts / _MANY_PARTS),
            "many conditions": min(1.0, conditions / _MANY_CONDITIONS),
        }
        score = round(sum(weights.values()) / len(weights), 2)
        hard, moderate = score >= _COMPLEX, score >= _MODERATE
        return cls(
            level="complex" if hard else "moderate" if moderate else "simple",
            score=score,
            steps=min(_MOST_STEPS, 1 + parts),
            tier="quality" if hard else "balanced" if moderate else "fast",
            reasons=[reason for reason, weight in weights.items() if weight >= _MODERATE],
        )


COMPLEXITY: Final = (
    task("complexity")
    .type("analysis")
    .system_prompt("You judge how hard a request is. You judge; you do not carry it out.")
    .user_prompt("Judge {text}, given its {intent} and the {brand} where they are known.")
    .input(ComplexityRequest)
    .function(ComplexityAnalysis, name="analyze_complexity")
    .progress(0.75)
    .max_output_tokens(1_000)
    .timeout(120)
    .build()
)
"""How hard a request is, and how good a model it needs; 75 % of the usual sequence."""
