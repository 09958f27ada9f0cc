"""Mentions and hashtags in running text: what would call on people whom nobody chose."""

from __future__ import annotations

import re
from typing import Final

_MENTION: Final = re.compile(r"(?<!\w)@\w")
_HASHTAG: Final = re.compile(r"(?<!\w)#\w")
_MARKS: Final = re.compile(r"(?<!\w)[@#]+(?=\w)")


def has_mention(text: str) -> bool:
    """Whether `text` mentions somebody, as in `@acme` and `.@acme`; `me@acme.test` does not."""
    return _MENTION.search(text) is not None


def has_hashtag(text: str) -> bool:
    """Whether `text` holds a hashtag."""
    return _HASHTAG.search(text) is not None


def unmarked(text: str) -> str:
    """Return `text` with its mentions and hashtags as plain words."""
    return _MARKS.sub("", text)
