"""What the copywriter wants from a model: an e-mail without an address."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from agents.copywriter.offline import compose
from agents.llm.port import Prompt


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


class EmailDraft(BaseModel):
    """An e-mail to one company, without addresses."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    subject: Annotated[str, Field(min_length=1, max_length=150), AfterValidator(_subject)] = Field(
        description="One line, at most 80 characters, no exclamation marks."
    )
    body: Annotated[str, Field(min_length=1, max_length=20_000), AfterValidator(_body)] = Field(
        description="Plain text with a greeting and a closing; no Markdown, no placeholders."
    )
    facts_used: list[str] = Field(
        description="Ids of the documents that the text relies on, such as F1."
    )

    @classmethod
    def compose_offline(cls, prompt: Prompt) -> EmailDraft:
        """Compose it from the documents' own sentences."""
        subject, body, used = compose(prompt)
        return cls(subject=subject, body=body, facts_used=used)
