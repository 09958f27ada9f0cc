"""Chooses the embedding model that the settings ask for."""

from __future__ import annotations

import importlib

from agents.knowledge.embedding import EmbeddingModel
from agents.knowledge.offline_embedding import OfflineEmbedding
from agents.llm.account import AccountLimits

_OFFLINE = "offline"


def embedding_model(
    model: str | None,
    api_key: str | None,
    base_url: str | None,
    timeout_seconds: float,
    limits: AccountLimits | None = None,
    dimensions: int | None = None,
) -> EmbeddingModel | None:
    """Return the embedding model of that name; None where none is named.

    Args:
        model: `offline` for the one that needs no provider, else a name of the provider's.
        api_key: The key; a compatible server may need none.
        base_url: A compatible server; None for OpenAI.
        timeout_seconds: Absolute limit of one call.
        limits: The account's limits; None for none.
        dimensions: Length of the vectors, for models that can shorten them.

    Raises:
        ModelAccessDenied: The key cannot stand in an HTTP header.
    """
    if model is None:
        return None
    if model == _OFFLINE:
        return OfflineEmbedding()
    # The SDK takes most of a second to import; a process without a model does not wait for it.
    sdk = importlib.import_module("agents.knowledge.openai_embedding")
    made: EmbeddingModel = sdk.OpenAIEmbedding(
        model,
        api_key=api_key or None,
        base_url=base_url or None,
        timeout_seconds=timeout_seconds,
        limits=limits,
        dimensions=dimensions,
    )
    return made
