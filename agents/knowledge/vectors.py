"""What vectors of passages are made of and when they compare, in either database."""

from __future__ import annotations

from agents.knowledge.errors import BadEmbedding


def embedded_text(heading: str, text: str) -> str:
    """Return what a model is given of a passage: what it is about stands in its heading."""
    return f"{heading}\n\n{text}" if heading else text


def check_lengths(model: str, lengths: set[int]) -> None:
    """Refuse vectors of different lengths under one model's name.

    Raises:
        BadEmbedding: There is more than one length.
    """
    if len(lengths) > 1:
        raise BadEmbedding(
            f"Vectors of model {model!r} have {len(lengths)} lengths: {sorted(lengths)}. Its name "
            "must stand for one length; set MUSTER_EMBEDDING_DIMENSIONS."
        )
