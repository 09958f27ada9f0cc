"""What the copywriter wants from a model: an e-mail without an address, an ad, a post."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from agents.copywriter.offline import compose
from agents.copywriter.offline_ad import compose_ad
from agents.copywriter.offline_post import compose_post
from agents.llm.port import Prompt

_HASHTAG: Final = re.compile(r"(?=.*[^\W\d_])\w{1,60}")


def _subject(text: str) -> str:
    """A line break in a subject would start another header."""
    if not text.isprintable():
        raise ValueError("must be one line without control characters")
    return text.strip()


def _body(text: str) -> str:
    text = text.replace("\r\n", "\n").replace("\r", "\n").strip()
    if not text.replace("\n", "").replace("\t", "").isprintable():
        raise ValueError("must hold no control characters except line breaks")
    return text


def _hashtags(tags: list[str]) -> list[str]:
    """Each once, whatever its case, and without its `#`."""
    plain = [tag.strip().removeprefix("#") for tag in tags]
    if not all(map(_HASHTAG.fullmatch, plain)):
        raise ValueError("a hashtag is one word of letters, digits and '_' with a letter in it")
    return list({tag.casefold(): tag for tag in reversed(plain)}.values())[::-1]


Line = Annotated[str, Field(min_length=1, max_length=300), AfterValidator(_subject)]
FactsUsed = Annotated[
    list[str], Field(description="Ids of the documents that the text relies on, such as F1.")
]


class EmailDraft(BaseModel):
    """An e-mail to one company, without addresses."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    subject: Annotated[str, Field(min_length=1, max_length=150), AfterValidator(_subject)] = Field(
        description="One line, at most 80 characters, no exclamation marks."
    )
    body: Annotated[str, Field(min_length=1, max_length=20_000), AfterValidator(_body)] = Field(
        description="Plain text with a greeting and a closing; no Markdown, no placeholders."
    )
    facts_used: FactsUsed

    @classmethod
    def compose_offline(cls, prompt: Prompt) -> EmailDraft:
        """Compose it from the documents' own sentences."""
        subject, body, used = compose(prompt)
        return cls(subject=subject, body=body, facts_used=used)


class AdDraft(BaseModel):
    """An ad, without a link."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    headline: Line = Field(description="One line without a full stop.")
    body: Annotated[str, Field(min_length=1, max_length=5_000), AfterValidator(_subject)] = Field(
        description="One paragraph of plain text."
    )
    call_to_action: Line = Field(description="A few words that say what to do, such as Learn more.")
    facts_used: FactsUsed

    @classmethod
    def compose_offline(cls, prompt: Prompt) -> AdDraft:
        """Compose it from the documents' own sentences."""
        headline, body, call_to_action, used = compose_ad(prompt)
        return cls(headline=headline, body=body, call_to_action=call_to_action, facts_used=used)


class PostDraft(BaseModel):
    """A post on a social network, without links and mentions."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: Annotated[str, Field(min_length=1, max_length=100_000), AfterValidator(_body)] = Field(
        description="Plain text without hashtags."
    )
    hashtags: Annotated[list[str], Field(max_length=30), AfterValidator(_hashtags)] = Field(
        description="Words without #, several words joined as InThisWay."
    )
    facts_used: FactsUsed

    @property
    def whole(self) -> str:
        """The text with its hashtags, as it will stand on the network."""
        tags = " ".join(f"#{tag}" for tag in self.hashtags)
        return f"{self.text}\n\n{tags}" if tags else self.text

    @classmethod
    def compose_offline(cls, prompt: Prompt) -> PostDraft:
        """Compose it from the documents' own sentences."""
        text, hashtags, used = compose_post(prompt)
        return cls(text=text, hashtags=hashtags, facts_used=used)
