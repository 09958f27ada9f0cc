"""The port for pictures: a description goes in, the bytes of a picture come out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, Protocol

from pydantic import Field

from envelope.canonical import content_hash
from envelope.model import AsTuple, Contract
from envelope.usage import Usage

Color = Annotated[str, Field(pattern=r"^#[0-9A-Fa-f]{6}$")]
"""A colour as `#rrggbb`."""

Shape = Literal["square", "landscape", "portrait"]


class ImagePrompt(Contract):
    """What a picture should show.

    Attributes:
        description: The scene, in words.
        headline: Words that stand in the picture; none where empty.
        colors: The brand's colours, most important first.
        shape: `square`, `landscape` (3:2) or `portrait` (2:3).
    """

    description: Annotated[str, Field(min_length=1, max_length=4_000)]
    headline: Annotated[str, Field(max_length=200)] = ""
    colors: Annotated[tuple[Color, ...], AsTuple, Field(max_length=8)] = ()
    shape: Shape = "landscape"

    def in_words(self) -> str:
        """Say all of it in one text, as image models take it."""
        parts = [self.description]
        if self.headline:
            parts.append(f"These words stand in the picture, and no others: {self.headline!r}.")
        if self.colors:
            parts.append(f"Main colours: {', '.join(self.colors)}.")
        return "\n".join(parts)

    def sha256(self) -> str:
        """Return the hash of all that the model is given."""
        return content_hash(self.model_dump(mode="json"))


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnImage:
    """A picture, and what made it.

    Attributes:
        content: Its bytes.
        media_type: `image/png`, `image/jpeg`, `image/webp` or `image/svg+xml`, read off the bytes.
        model: Name of the model; `offline…` for the deterministic banner.
        usage: What the call used.
        prompt_sha256: Hash of the prompt.
    """

    content: bytes
    media_type: str
    model: str
    usage: Usage
    prompt_sha256: str


class ImageModel(Protocol):
    """Draws pictures. Safe to use from many tasks and event loops at once.

    What its calls use is added to the running step by the implementation.
    """

    @property
    def name(self) -> str:
        """The model that is asked for."""

    async def draw(self, prompt: ImagePrompt) -> DrawnImage:
        """Return a picture of `prompt`.

        Raises:
            ModelBusy: The provider is overloaded, limits us or is away: worth another attempt.
            ModelTimeout: No whole answer within the time limit: worth another attempt.
            ModelRejected: The provider refuses the request, the key, the model's name or the
                picture's content.
        """
