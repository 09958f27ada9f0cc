"""What a run waits for, as the text of a column."""

from __future__ import annotations

from json import dumps, loads
from typing import Any

from envelope.ports.journal_rows import Waits


def waits_text(waits: Waits | None) -> str | None:
    """Return the text; parts that say nothing are left out."""
    if waits is None:
        return None
    parts: dict[str, Any] = {
        "until": waits.until,
        "signals": dict(waits.signals) or None,
        "children": list(waits.children) or None,
        "singleton": waits.singleton,
    }
    return dumps({name: part for name, part in parts.items() if part is not None})


def waits_from(text: str | None) -> Waits | None:
    """Return what the text says."""
    if text is None:
        return None
    parts = loads(text)
    return Waits(
        until=parts.get("until"),
        signals=parts.get("signals", {}),
        children=tuple(parts.get("children", ())),
        singleton=parts.get("singleton"),
    )
