"""The catalogue of Redis keys, read from its page."""

from __future__ import annotations

import re
from pathlib import Path

_PAGE = Path(__file__).parents[2] / "docs" / "reference" / "redis-keys.md"
_PRIORITY = "(\x06\x16\\d)?"


def unknown_keys(keys: list[str]) -> list[str]:
    """Return those of the keys that the page does not name."""
    known = [re.compile(pattern) for pattern in _patterns(_PAGE.read_text())]
    assert len(known) > 20
    return sorted(key for key in keys if not any(one.fullmatch(key) for one in known))


def _patterns(page: str) -> list[str]:
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    names = [name for row in rows for name in re.findall(r"`([^`]+)`", row)]
    return ["".join(_part(part) for part in re.split(r"(<\w+>)", n)) + _PRIORITY for n in names]


def _part(text: str) -> str:
    """A part that users choose is quoted and holds no colon; a line is `priority:tenant`."""
    if text == "<line>":
        return r"\d:[^:]*"
    return "[^:]*" if text.startswith("<") else re.escape(text)
