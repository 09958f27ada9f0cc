"""Pictures from OpenAI's Images API, or from a compatible server."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from openai import AsyncOpenAI
from pydantic import BaseModel, Field

from agents.llm.account import AccountLimits
from agents.llm.answer import Answer, Tokens, read_reply
from agents.llm.errors import ModelRejected
from agents.llm.estimates import Estimates
from agents.llm.image_port import DrawnImage, ImagePrompt, Shape
from agents.llm.server import ModelServer

_SIZES: Final[dict[Shape, str]] = {
    "square": "1024x1024",
    "landscape": "1536x1024",
    "portrait": "1024x1536",
}
_MOST_TOKENS = 6_240
"""A picture of 1536x1024 in high quality, the largest of the table in OpenAI's image guide."""

_KIND = "image"


class _Used(BaseModel):
    input_tokens: Tokens = 0
    output_tokens: Tokens = 0


class _Image(BaseModel):
    b64_json: str | None = None


class _Reply(BaseModel):
    data: list[_Image] = Field(min_length=1)
    usage: _Used | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Picture(Answer):
    """An answer that is a picture."""

    content: bytes
    media_type: str


class OpenAIImages:
    """An `ImageModel` over the OpenAI SDK; how requests are sent, `ModelServer` says.

    Only pictures that come in the answer itself are taken: an address to fetch one from is refused.

    Args:
        model: Name of the model.
        api_key: The key; a compatible server may need none.
        base_url: A compatible server; None for OpenAI.
        timeout_seconds: Limit of one request; pictures take up to two minutes.
        limits: The account's limits, shared with everybody who names the account; None for none.
        max_answer_bytes: Largest body that is read.

    Raises:
        ModelAccessDenied: The key cannot stand in an HTTP header.
    """

    def __init__(
        self,
        model: str,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        timeout_seconds: float = 180.0,
        limits: AccountLimits | None = None,
        max_answer_bytes: int = 48 * 1024 * 1024,
    ) -> None:
        self._model = model
        self._estimates = Estimates()
        self._server = ModelServer(
            api_key=api_key,
            base_url=base_url,
            timeout_seconds=timeout_seconds,
            limits=limits,
            max_answer_bytes=max_answer_bytes,
            operation="generate_content",
        )

    @property
    def name(self) -> str:
        """The model that is asked for."""
        return self._model

    async def draw(self, prompt: ImagePrompt) -> DrawnImage:
        """Ask once; see `ImageModel.draw`."""
        expected = self._estimates.of(_KIND, [prompt.in_words()], _MOST_TOKENS)
        send = partial(_ask, model=self._model, prompt=prompt)
        picture, usage = await self._server.ask(self._model, expected, send)
        self._estimates.learn(_KIND, usage.output_tokens)
        return DrawnImage(
            content=picture.content,
            media_type=picture.media_type,
            model=self._model,
            usage=usage,
            prompt_sha256=prompt.sha256(),
        )

    async def aclose(self) -> None:
        """Close the connections of the running event loop."""
        await self._server.aclose()

    def close(self) -> None:
        """Close the connections of every event loop that runs."""
        self._server.close()


async def _ask(client: AsyncOpenAI, *, model: str, prompt: ImagePrompt) -> _Picture:
    request: dict[str, Any] = {
        "model": model,
        "prompt": prompt.in_words(),
        "size": _SIZES[prompt.shape],
        "n": 1,
    }
    raw = await client.images.with_raw_response.generate(**request)
    reply = read_reply(_Reply, raw.http_response.content)
    content, used = _decoded(reply.data[0].b64_json), reply.usage or _Used()
    return _Picture(
        text="",
        content=content,
        media_type=media_type_of(content),
        input_tokens=used.input_tokens,
        output_tokens=used.output_tokens,
        headers=raw.http_response.headers,
    )


def _decoded(text: str | None) -> bytes:
    if text is None:
        raise ModelRejected(
            "The model server sent no picture but at most an address of one, which is not fetched. "
            "Use a model that answers with base64, such as gpt-image-1-mini."
        )
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ModelRejected("The model server's picture is not base64.") from None


def media_type_of(content: bytes) -> str:
    """Return the kind of a picture, by its first bytes; whoever sent it is not believed.

    Raises:
        ModelRejected: It is none of PNG, JPEG and WebP.
    """
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if content.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return "image/webp"
    raise ModelRejected("The model server's picture is neither PNG nor JPEG nor WebP.")
