"""Vectors from OpenAI's embeddings API, or from a compatible server."""

from __future__ import annotations

import base64
import binascii
import sys
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from openai import AsyncOpenAI
from pydantic import BaseModel, Field

from agents.knowledge.embedding import Vector, unit
from agents.knowledge.errors import BadEmbedding
from agents.llm.account import AccountLimits
from agents.llm.answer import Answer, Tokens, read_reply
from agents.llm.estimates import Estimate
from agents.llm.server import ModelServer

_MOST_TEXTS: Final = 128
_MOST_BYTES: Final = 256 * 1024
_BYTES_PER_TOKEN: Final = 4
_BYTES_PER_NUMBER: Final = 4


class _Used(BaseModel):
    prompt_tokens: Tokens = 0


class _Embedding(BaseModel):
    index: int = Field(ge=0)
    embedding: list[float] | str


class _Reply(BaseModel):
    data: list[_Embedding]
    model: str | None = None
    usage: _Used | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Vectors(Answer):
    """An answer that is vectors."""

    vectors: tuple[Vector, ...]


class OpenAIEmbedding:
    """An `EmbeddingModel` over the OpenAI SDK; how requests are sent, `ModelServer` says.

    Texts travel in batches of at most 128 and 256 KB, one after the other.

    Args:
        model: Name of the model.
        api_key: The key; a compatible server may need none.
        base_url: A compatible server; None for OpenAI.
        timeout_seconds: Limit of one request.
        limits: The account's limits, shared with everybody who names the account; None for none.
        dimensions: Length of the vectors, for models that can shorten them; None for their own.
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
        timeout_seconds: float = 60.0,
        limits: AccountLimits | None = None,
        dimensions: int | None = None,
        max_answer_bytes: int = 32 * 1024 * 1024,
    ) -> None:
        self._model = model
        self._dimensions = dimensions
        self._server = ModelServer(
            api_key=api_key,
            base_url=base_url,
            timeout_seconds=timeout_seconds,
            limits=limits,
            max_answer_bytes=max_answer_bytes,
            operation="embeddings",
        )

    @property
    def name(self) -> str:
        """The model's name, with `@` and the length where the settings shorten its vectors."""
        return f"{self._model}@{self._dimensions}" if self._dimensions else self._model

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        """Ask for the vectors, batch by batch; see `EmbeddingModel.embed`."""
        vectors: list[Vector] = []
        for batch in _batches(texts):
            expected = Estimate(sum(map(_bytes, batch)) // _BYTES_PER_TOKEN + 1, 0)
            send = partial(_ask, model=self._model, texts=batch, dimensions=self._dimensions)
            answer, _ = await self._server.ask(self._model, expected, send)
            vectors += answer.vectors
        _check_lengths(vectors, self._dimensions)
        return vectors

    async def aclose(self) -> None:
        """Close the connections of the running event loop."""
        await self._server.aclose()

    def close(self) -> None:
        """Close the connections of every event loop that runs."""
        self._server.close()


def _batches(texts: Sequence[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for text in texts:
        if batch and (len(batch) == _MOST_TEXTS or size + _bytes(text) > _MOST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(text)
        size += _bytes(text)
    if batch:
        yield batch


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "replace"))


async def _ask(
    client: AsyncOpenAI, *, model: str, texts: list[str], dimensions: int | None
) -> _Vectors:
    request: dict[str, Any] = {"model": model, "input": texts, "encoding_format": "base64"}
    if dimensions is not None:
        request["dimensions"] = dimensions
    raw = await client.embeddings.with_raw_response.create(**request)
    reply = read_reply(_Reply, raw.http_response.content)
    return _Vectors(
        text="",
        vectors=_in_order(reply, len(texts)),
        model=reply.model,
        input_tokens=(reply.usage or _Used()).prompt_tokens,
        headers=raw.http_response.headers,
    )


def _in_order(reply: _Reply, asked: int) -> tuple[Vector, ...]:
    """A server may answer in another order than it was asked."""
    by_index = {each.index: each.embedding for each in reply.data}
    if sorted(by_index) != list(range(asked)) or len(reply.data) != asked:
        raise BadEmbedding(
            f"The model server returned {len(reply.data)} vectors for {asked} texts, or numbered "
            "them wrongly. Check that the model is an embedding model."
        )
    return tuple(unit(_numbers(by_index[index])) for index in range(asked))


def _numbers(embedding: list[float] | str) -> Sequence[float]:
    """Servers that know no base64 answer with plain numbers."""
    if not isinstance(embedding, str):
        return embedding
    try:
        content = base64.b64decode(embedding, validate=True)
        numbers = array("f", content[: len(content) // _BYTES_PER_NUMBER * _BYTES_PER_NUMBER])
    except (binascii.Error, ValueError):
        raise BadEmbedding("The model server returned a vector that is not base64.") from None
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def _check_lengths(vectors: list[Vector], dimensions: int | None) -> None:
    lengths = {len(vector) for vector in vectors}
    if len(lengths) > 1 or (dimensions and lengths - {dimensions}):
        raise BadEmbedding(
            f"The model server returned vectors of the lengths {sorted(lengths)}"
            + (f" instead of {dimensions}." if dimensions else ".")
        )
