"""Finds text in a fact that speaks to the model instead of informing it."""

from __future__ import annotations

import re
from collections.abc import Iterable

from envelope.record import Record

_INSTRUCTION = re.compile(
    r"\b(?:ignore|disregard|forget|override)\b[^.\n]{0,60}"
    r"\b(?:previous|prior|above|earlier|all|your|these|the)\b[^.\n]{0,40}"
    r"\b(?:instructions?|prompts?|rules?|guidelines?|context)\b"
    r"|\b(?:system|developer) (?:prompt|message)\b"
    r"|\byou are (?:now|no longer)\b"
    r"|\b(?:act|behave|respond|reply) as (?:if|an?|the)\b[^.\n]{0,40}\b(?:model|assistant|admin)"
    r"|\bdo not (?:tell|inform|mention)\b[^.\n]{0,40}\b(?:user|human|anyone)"
    r"|\b(?:send|forward|mail|bcc|cc)\b[^.\n]{0,60}\S@\S"
    r"|\bnew instructions?\s*:"
    r"|<\|[a-z_]+\|>|\[/?INST\]|^\s*(?:system|assistant)\s*:",
    re.IGNORECASE | re.MULTILINE,
)


def looks_like_instruction(text: str) -> bool:
    """Whether `text` reads as an attempt to steer a model. Heuristic: for audit and for leaving
    such sentences out of quotations, never the only line of defence.
    """
    return _INSTRUCTION.search(text) is not None


def suspicious(facts: Iterable[Record]) -> list[str]:
    """Return the ids of the records that hold such text."""
    return [fact.id for fact in facts if looks_like_instruction(fact_text(fact))]


def fact_text(fact: Record) -> str:
    """Return what a record says: its `text`, or every value that it holds."""
    text = fact.data.get("text")
    if isinstance(text, str):
        return text
    return "\n".join(f"{key}: {value}" for key, value in fact.data.items() if value is not None)
