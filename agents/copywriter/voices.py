"""The words around the quotations, per tone. `concern` and `fact` sentences are filled in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Voice:
    """The courtesies of one tone; of openings, bridges and closings each letter takes one."""

    greeting: str
    openings: tuple[str, ...]
    bridges: tuple[str, ...]
    closings: tuple[str, ...]
    farewell: str


FRIENDLY: Final = Voice(
    greeting="Hello {company} team,",
    openings=(
        (
            "{concern} That is a familiar picture in {field}, and the reason for this note on "
            "{product}."
        ),
        "In {field}, {concern_inside} That made me think of {company}, and of {product}.",
        "{concern} I imagine that {company} knows this well, so here is a short note on {product}.",
    ),
    bridges=(
        "What seemed most relevant to you:",
        "A few facts that I would want to know in your place:",
        "In short:",
    ),
    closings=(
        (
            "If this touches something you are working on, I would be glad to show it with an "
            "example from {field}. Would next week suit you for a short call?"
        ),
        (
            "I could walk through one of your own cases with you and see whether it fits. "
            "Would a short call next week be useful?"
        ),
        (
            "Perhaps you have solved this already, and then I would like to learn from it. "
            "How does {company} handle it today?"
        ),
    ),
    farewell="Kind regards,\n{sender}",
)
FORMAL: Final = Voice(
    greeting="Dear {company} team,",
    openings=(
        "{concern} We therefore take the liberty of introducing {product} to you.",
        "In {field}, {concern_inside} We would like to draw your attention to {product}.",
    ),
    bridges=("The points that appear most relevant to {company}:",),
    closings=(
        (
            "Should this be of interest, we would be pleased to present it to you at a time of "
            "your choice. May we propose a date next week?"
        ),
        (
            "We would be pleased to discuss whether this suits {company}. "
            "May we send you an example from {field}?"
        ),
    ),
    farewell="Yours sincerely,\n{sender}",
)
DIRECT: Final = Voice(
    greeting="Hello {company} team,",
    openings=("{concern} {product} is about that.", "{product}, and {topic}: that is my subject."),
    bridges=("What it does:", "The facts:"),
    closings=("Worth a short call next week?", "Shall I show it on one of your own cases?"),
    farewell="Regards,\n{sender}",
)
VOICES: Final = {"friendly": FRIENDLY, "formal": FORMAL, "direct": DIRECT}
