"""The predefined tasks that write: a text, and the continuation of one."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from agents.llm.port import Document
from agents.tasks.builder import task
from agents.tasks.outputs import Continuation, GeneratedText
from envelope.model import AsTuple, Contract

_TOLERANCE = 1.25


class TextRequest(Contract):
    """A text to write.

    Attributes:
        text: What the text is to be about.
        documents: The sources that it may rest on.
        tone: How it sounds.
        max_words: Its longest length.
    """

    text: Annotated[str, Field(min_length=1, max_length=20_000)]
    documents: Annotated[tuple[Document, ...], AsTuple, Field(max_length=50)] = ()
    tone: Annotated[str, Field(min_length=1, max_length=100)] = "friendly"
    max_words: Annotated[int, Field(ge=1, le=10_000)] = 200


class CompletionRequest(Contract):
    """A beginning to continue.

    Attributes:
        text: The beginning.
        documents: The sources that the rest may rest on.
        max_words: The longest length of what is added.
    """

    text: Annotated[str, Field(min_length=1, max_length=50_000)]
    documents: Annotated[tuple[Document, ...], AsTuple, Field(max_length=50)] = ()
    max_words: Annotated[int, Field(ge=1, le=10_000)] = 100


def _short_enough(
    request: TextRequest | CompletionRequest, made: GeneratedText | Continuation
) -> str | None:
    count = len(made.text.split())
    if count <= request.max_words * _TOLERANCE:
        return None
    return f"text: it has {count} words; at most {request.max_words} are allowed"


TEXT: Final = (
    task("text")
    .type("text_generation")
    .system_prompt(
        "You write plain, specific prose. Where there are documents, state only facts that stand "
        "in them."
    )
    .user_prompt("Write about {text} in the tone {tone}, with at most {max_words} words.")
    .input(TextRequest)
    .function(GeneratedText, name="write_text")
    .check(_short_enough)
    .progress(1)
    .timeout(180)
    .build()
)
"""A text about something."""

COMPLETION: Final = (
    task("completion")
    .type("completion")
    .system_prompt(
        "You continue texts in their own voice and language. Where there are documents, add only "
        "facts that stand in them."
    )
    .user_prompt("Continue {text} with at most {max_words} words.")
    .input(CompletionRequest)
    .function(Continuation, name="continue_text")
    .check(_short_enough)
    .progress(1)
    .timeout(180)
    .build()
)
"""What follows a beginning."""
