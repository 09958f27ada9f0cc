"""The predefined task that draws."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from agents.llm.image_port import Color, Shape
from agents.tasks.builder import task
from agents.tasks.outputs import Picture
from envelope.model import AsTuple, Contract


class PictureRequest(Contract):
    """A picture to draw.

    Attributes:
        text: The scene.
        headline: Words that stand in the picture; none where empty.
        colors: The brand's colours as `#rrggbb`, most important first.
        shape: `square`, `landscape` or `portrait`.
    """

    text: Annotated[str, Field(min_length=1, max_length=3_500)]
    headline: Annotated[str, Field(max_length=200)] = ""
    colors: Annotated[tuple[Color, ...], AsTuple, Field(max_length=8)] = ()
    shape: Shape = "landscape"


IMAGE: Final = (
    task("image_task")
    .type("image_generation")
    .system_prompt("A clean, modern illustration without logos of others and without small print.")
    .user_prompt("{text}")
    .input(PictureRequest)
    .function(Picture, name="draw_picture")
    .progress(1)
    .timeout(300)
    .build()
)
"""A picture of a scene."""
