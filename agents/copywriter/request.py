"""What the copywriter is asked for."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from agents.copywriter.lengths import NETWORKS, Lengths
from envelope.model import AsTuple, Contract
from envelope.record import Record


def _one_line(text: str) -> str:
    """These values reach a mail's subject and greeting, where a line break would be a header."""
    if not text.isprintable():
        raise ValueError("must be one line without control characters")
    return text.strip()


Line = Annotated[str, Field(max_length=300), AfterValidator(_one_line)]


class CopyRequest(Contract):
    """Who is written to, about what, and the facts that may be used.

    Attributes:
        company: Whom the text addresses.
        product: What it is about.
        facts: The retrieved records; nothing else may be claimed. One to 50.
        lead: The record that the company's data came from.
        sector: The company's sector.
        sub_industry: Its branch within the sector.
        location: Where it is.
        topic: What to write about, as a noun phrase without a verb.
        concern: What matters to companies of that sector, as a clause.
        keywords: Words by which the facts speak of the topic.
        campaign: The campaign's name.
        sender: Who signs; without one, the product's team.
        tone: How to sound; the offline model knows friendly, formal and direct.
        max_words: Longest body of an e-mail, in words.
        channel: What is written: an `email`, an `ad` (headline, body, call to action) or a `post`
            (text, hashtags).
        network: Where an ad or post will stand, such as `linkedin`; it decides the lengths and how
            they are counted. Empty: our own moderate lengths.
        lengths: Lengths of an ad or post instead of the network's.
    """

    company: Annotated[Line, Field(min_length=1)]
    product: Annotated[Line, Field(min_length=1)] = "Muster"
    facts: Annotated[tuple[Record, ...], AsTuple, Field(min_length=1, max_length=50)]
    lead: Record | None = None
    sector: Line = ""
    sub_industry: Line = ""
    location: Line = ""
    topic: Line = ""
    concern: Line = ""
    keywords: Line = ""
    campaign: Line = ""
    sender: Line = ""
    tone: Annotated[Line, Field(min_length=1)] = "friendly"
    max_words: Annotated[int, Field(ge=40, le=1_000)] = 160
    channel: Literal["email", "ad", "post"] = "email"
    network: Annotated[Line, AfterValidator(str.lower)] = ""
    lengths: Lengths | None = None

    @property
    def allowed(self) -> Lengths:
        """The lengths that hold."""
        return self.lengths or NETWORKS.get(self.network) or Lengths()

    @model_validator(mode="after")
    def _lengths_are_known(self) -> Self:
        if self.network and self.network not in NETWORKS and self.lengths is None:
            raise ValueError(
                f"the network's lengths are not known; give `lengths`. Known: {', '.join(NETWORKS)}"
            )
        return self
