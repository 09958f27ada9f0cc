"""The port: texts go in, vectors come out."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from typing import Protocol

from agents.knowledge.errors import BadEmbedding

Vector = Sequence[float]
"""Numbers of unit length, so that the inner product of two is their cosine."""


class EmbeddingModel(Protocol):
    """Turns texts into vectors. Safe to use from many tasks and event loops at once.

    What its calls use is added to the running step by the implementation.
    """

    @property
    def name(self) -> str:
        """Which vectors compare: those of models of one name."""

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        """Return the vector of each text, in order, all of one length and of unit norm.

        Raises:
            ModelBusy: The provider is overloaded, limits us or is away: worth another attempt.
            ModelTimeout: No whole answer within the time limit: worth another attempt.
            ModelRejected: The provider refuses the request, the key or the model's name.
            BadEmbedding: What came back are no vectors of the texts.
        """

    def close(self) -> None:
        """Close what was opened."""


def unit(numbers: Sequence[float]) -> array[float]:
    """Return `numbers` scaled to length 1, as 32-bit floats.

    Raises:
        BadEmbedding: They are empty, all zero, or one of them is no number.
    """
    norm = math.hypot(*numbers)
    if not math.isfinite(norm) or norm == 0:
        raise BadEmbedding(
            f"A vector of {len(numbers)} numbers has the length {norm}. "
            "Check that the model is an embedding model."
        )
    return array("f", [number / norm for number in numbers])
