"""What tasks of a type return where they do not say it themselves."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from agents.llm.port import Prompt
from agents.tasks.definition import TaskType
from agents.tasks.offline import continuation, passage


class GeneratedText(BaseModel):
    """A text."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: Annotated[str, Field(min_length=1, max_length=100_000)] = Field(
        description="The whole text, and nothing about it."
    )

    @classmethod
    def compose_offline(cls, prompt: Prompt) -> GeneratedText:
        """Compose it of the data's own sentences."""
        return cls(text=passage(prompt))


class Continuation(BaseModel):
    """What follows a beginning."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: Annotated[str, Field(min_length=1, max_length=100_000)] = Field(
        description="Only what follows the beginning; the beginning is not repeated."
    )

    @classmethod
    def compose_offline(cls, prompt: Prompt) -> Continuation:
        """Continue with the data's own sentences."""
        return cls(text=continuation(prompt))


class Picture(BaseModel):
    """A picture.

    Attributes:
        media_type: Such as `image/png`.
        size_bytes: How large it is.
        sha256: Hash of its bytes.
        content_base64: Its bytes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    media_type: str
    size_bytes: int
    sha256: str
    content_base64: str


OUTPUTS: Final[dict[TaskType, type[BaseModel]]] = {
    TaskType.TEXT_GENERATION: GeneratedText,
    TaskType.COMPLETION: Continuation,
    TaskType.IMAGE_GENERATION: Picture,
}
