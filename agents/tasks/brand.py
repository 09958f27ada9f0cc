"""The predefined analysis of a brand."""

from __future__ import annotations

import re
from collections import Counter
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from agents.llm.image_port import Color
from agents.llm.port import Document, Prompt
from agents.tasks.builder import task
from agents.tasks.offline import named_in, said_in
from envelope.model import AsTuple, Contract

Tone = Literal["friendly", "formal", "direct", "playful"]

_TONES: Final[dict[Tone, str]] = {
    "friendly": r"we|you|your|together|help\w*|welcome|happy|team",
    "formal": r"compliance|policy|pursuant|enterprise|solutions?|governance|audit\w*|esteemed",
    "playful": r"fun|wow|awesome|joy\w*|love|party|yay|delight\w*",
    "direct": r"fast\w*|now|simple|simply|no|just|less|stop",
}
_COLOR = re.compile(r"#[0-9A-Fa-f]{6}\b")
_WORD = re.compile(r"[a-z][a-z-]{4,}")
_SAID_EVERYWHERE = re.compile(
    "about|after|again|which|their|there|these|those|would|could|should|every|other|where|while|"
    "being|between|because|through|brand|colors|colour"
)
_MOST_COLORS, _MOST_THEMES = 8, 6


class BrandRequest(Contract):
    """What is known of a brand.

    Attributes:
        text: What somebody says about it, or wants of it.
        company: Its name, where that is known.
        documents: Texts of the brand's own, such as its site.
    """

    text: Annotated[str, Field(min_length=1, max_length=20_000)]
    company: Annotated[str, Field(max_length=300)] = ""
    documents: Annotated[tuple[Document, ...], AsTuple, Field(max_length=50)] = ()


class BrandAnalysis(BaseModel):
    """A brand's name, sound, look and themes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(max_length=300)] = Field(
        description="The brand's name; empty if the data do not name it."
    )
    tone: Tone = Field(description="How it speaks.")
    colors: list[Color] = Field(
        description="Its colours as #rrggbb, most important first; only those in the data."
    )
    themes: list[str] = Field(description="What it speaks of, up to six words or short phrases.")

    @classmethod
    def compose_offline(cls, prompt: Prompt) -> BrandAnalysis:
        """Count names, words and colours."""
        text = said_in(prompt)
        names = Counter(named_in(text)).most_common(1)
        words = Counter(
            word for word in _WORD.findall(text.lower()) if not _SAID_EVERYWHERE.fullmatch(word)
        )
        return cls(
            name=str(prompt.task.get("company") or (names[0][0] if names else "")),
            tone=max(_TONES, key=lambda tone: _hits(_TONES[tone], text)),
            colors=list(dict.fromkeys(map(str.lower, _COLOR.findall(text))))[:_MOST_COLORS],
            themes=[word for word, _ in words.most_common(_MOST_THEMES)],
        )


def _hits(words: str, text: str) -> int:
    return len(re.findall(rf"\b(?:{words})\b", text, re.IGNORECASE))


BRAND: Final = (
    task("brand")
    .type("analysis")
    .system_prompt(
        "You describe brands for writers and designers. State only what the data say; where they "
        "say nothing, leave the field empty."
    )
    .user_prompt("Describe the brand {company} by {text} and the documents.")
    .input(BrandRequest)
    .function(BrandAnalysis, name="analyze_brand")
    .progress(0.5)
    .max_output_tokens(1_000)
    .timeout(120)
    .build()
)
"""A brand's name, sound, look and themes; 50 % of the usual sequence."""
