"""Text that becomes part of a header: one line, with nothing that a mail program would obey."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

# Control characters, lone surrogates, line and paragraph separators.
_BREAKING: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})
# They turn the reading order round, so that a name or file shows as another one.
_TURNING: Final = frozenset(
    "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)
_ENCODED_WORD: Final = re.compile(r"=\?[^?]*\?[^?]*\?")


def one_line(text: str) -> str:
    """Return `text` without blanks around it, if a header can carry it as it is.

    Raises:
        ValueError: It holds a control character, a line break of any alphabet, a character that
            turns the reading order, or an encoded word (RFC 2047), which could hide one of them.
            The message does not repeat it.
    """
    for character in text:
        if unicodedata.category(character) in _BREAKING or character in _TURNING:
            raise ValueError(f"must not hold the control character U+{ord(character):04X}")
    if _ENCODED_WORD.search(text):
        raise ValueError("must not hold an encoded word such as =?utf-8?…?=; write plain text")
    return text.strip()
