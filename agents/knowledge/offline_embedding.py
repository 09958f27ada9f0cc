"""An embedding model without a model: deterministic and free, for tests and trials."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

from agents.knowledge.analysis import telling_words
from agents.knowledge.embedding import Vector, unit
from agents.llm.watch import watched_by_step
from envelope.usage import Usage

_DIMENSIONS = 256
_NGRAM = 4


class OfflineEmbedding:
    """An `EmbeddingModel` that hashes words and their parts into a vector.

    Texts that share words or stems are near each other; it knows no meaning. Feature hashing as in
    Weinberger et al., "Feature Hashing for Large Scale Multitask Learning", ICML 2009.
    """

    @property
    def name(self) -> str:
        """`offline-hashing-1`; another number means other vectors for the same text."""
        return "offline-hashing-1"

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        """Return the vector of each text."""
        with watched_by_step(self.name, "", "embeddings") as answered:
            vectors: list[Vector] = [_hashed(text) for text in texts]
            answered(self.name, Usage())
        return vectors

    def close(self) -> None:
        """Nothing is open."""


def _hashed(text: str) -> Vector:
    numbers = [0.0] * _DIMENSIONS
    for feature, count in Counter(_features(text)).items():
        digest = hashlib.blake2b(feature.encode(), digest_size=4).digest()
        place = int.from_bytes(digest[:3]) % _DIMENSIONS
        numbers[place] += count if digest[3] & 1 else -count
    return unit(numbers if any(numbers) else [1.0, *numbers[1:]])


def _features(text: str) -> list[str]:
    words = telling_words(text)
    parts = (
        f"#{word}#"[start : start + _NGRAM] for word in words for start in range(len(word) - 1)
    )
    return [*words, *parts]
