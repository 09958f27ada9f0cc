"""The predefined analysis of what a message asks for."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from agents.llm.port import Prompt
from agents.llm.sentences import sentences
from agents.tasks.builder import task
from agents.tasks.offline import named_in, said_in
from envelope.model import Contract

Intent = Literal["create_text", "create_image", "change", "analyse", "ask", "other"]

_WORDS: Final[dict[Intent, str]] = {
    "create_image": r"images?|pictures?|banners?|logos?|draw\w*|illustrat\w+|photos?|posters?",
    "change": r"change\w*|edit\w*|rewrite|shorten|fix\w*|improve\w*|correct\w*|translate\w*|update",
    "analyse": r"analy[sz]\w+|compare\w*|review\w*|evaluate\w*|assess\w*|summar\w+|check",
    "create_text": r"write|draft\w*|compose\w*|create|e-?mails?|posts?|articles?|text|letters?",
    "ask": r"what|why|how|when|who|which|where|explain",
}
_CERTAIN = 3
_MOST_NAMES = 10
_SUMMARY = 300


class IntentRequest(Contract):
    """A message to understand.

    Attributes:
        text: The message.
        context: What was said or known before.
    """

    text: Annotated[str, Field(min_length=1, max_length=20_000)]
    context: Annotated[str, Field(max_length=20_000)] = ""


class IntentAnalysis(BaseModel):
    """What a message asks for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    intent: Intent = Field(description="What is asked for in the first place.")
    confidence: Annotated[float, Field(ge=0, le=1)] = Field(
        description="How sure that is, from 0 to 1."
    )
    summary: Annotated[str, Field(min_length=1, max_length=400)] = Field(
        description="The request in one sentence."
    )
    names: list[str] = Field(description="Companies, products and people that are named.")

    @classmethod
    def compose_offline(cls, prompt: Prompt) -> IntentAnalysis:
        """Count the words that tell one intent from another."""
        text = str(prompt.task.get("text", ""))
        hits = {
            intent: len(re.findall(rf"\b(?:{words})\b", text, re.IGNORECASE))
            for intent, words in _WORDS.items()
        }
        best = max(hits, key=lambda intent: hits[intent])
        summary = (sentences(text) or [" ".join(text.split()) or "(empty)"])[0]
        return cls(
            intent=best if hits[best] else "other",
            confidence=round(min(1.0, hits[best] / _CERTAIN), 2),
            summary=summary[:_SUMMARY],
            names=list(dict.fromkeys(named_in(said_in(prompt))))[:_MOST_NAMES],
        )


INTENT: Final = (
    task("intent")
    .type("analysis")
    .system_prompt("You find out what a message asks for. You judge; you do not carry it out.")
    .user_prompt(
        "Say what {text} asks for, given {context}. Choose the intent of its main request; "
        "`other` if none fits."
    )
    .input(IntentRequest)
    .function(IntentAnalysis, name="analyze_intent")
    .progress(0.25)
    .max_output_tokens(1_000)
    .timeout(120)
    .build()
)
"""What a message asks for; 25 % of the usual sequence."""
