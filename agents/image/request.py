"""What the image agent is asked for."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from agents.llm.image_port import Shape
from envelope.model import AsTuple, Contract
from envelope.record import Record

_HEX: Final = re.compile(r"#(?:[0-9a-fA-F]{3}|[0-9a-fA-F]{6})")


def _color(text: str) -> str:
    """`#1AF` becomes `#11aaff`: one spelling, so that the same brand gives the same prompt."""
    if _HEX.fullmatch(text) is None:
        raise ValueError("a colour is written #rrggbb or #rgb")
    digits = text[1:].lower()
    return "#" + (digits if len(digits) > len("rgb") else "".join(digit * 2 for digit in digits))


def _distinct(colors: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(colors)) < len(colors):
        raise ValueError("each brand colour is named once")
    return colors


def _one_line(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must be one line without control characters")
    return text.strip()


BrandColor = Annotated[str, AfterValidator(_color)]


class ImageRequest(Contract):
    """A picture to draw.

    Attributes:
        description: The scene, in words.
        headline: Words that stand in the picture; none where empty.
        colors: The brand's colours as `#rrggbb` or `#rgb`, the most important first, 1 to 8.
        shape: `square`, `landscape` (3:2) or `portrait` (2:3).
        campaign: The campaign's name.
        derived_from: Records that the picture is made for or from, such as a copywriter's draft.
        keep: `inline` puts the bytes into the record as base64, `store` into the image store, and
            `auto` does the former up to `max_inline_bytes`.
        max_inline_bytes: The most bytes that a record carries, up to 500,000.
    """

    description: Annotated[str, Field(min_length=1, max_length=4_000)]
    headline: Annotated[str, Field(max_length=200), AfterValidator(_one_line)] = ""
    colors: Annotated[
        tuple[BrandColor, ...],
        AsTuple,
        Field(min_length=1, max_length=8),
        AfterValidator(_distinct),
    ]
    shape: Shape = "landscape"
    campaign: Annotated[str, Field(max_length=300), AfterValidator(_one_line)] = ""
    derived_from: Annotated[tuple[Record, ...], AsTuple, Field(max_length=50)] = ()
    keep: Literal["auto", "inline", "store"] = "auto"
    max_inline_bytes: Annotated[int, Field(ge=1, le=500_000)] = 200_000
