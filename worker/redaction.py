"""Keeps secrets out of whatever leaves the process: logs, errors, pages, reports.

A value is masked when its key is the name of a secret, when it holds a configured secret, or when
it looks like one: a bearer token, an `sk-…` key, a password in a URL or a connection string.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, unquote, urlsplit

MASK = "***"

# A shorter secret would also mask ordinary words: with the password "a" no line stays readable.
_SHORTEST_SECRET = 6
# Deeper than any honest log line: a hostile value must not exhaust the stack.
_DEEPEST = 12
_TOO_DEEP = "…"

_SECRET_KEY = re.compile(
    r"(?:^|[-_.])"
    r"(?:pass(?:word|wd|phrase)?|pwd|secrets?|token|authorization|cookies?|credentials?|dsn"
    r"|(?:api|private|access|signing|encryption)[-_]?keys?)"
    r"(?:$|[-_.])",
    re.IGNORECASE,
)
_CAMEL_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

_BEARER = re.compile(r"\b(?P<keep>(?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE)
_OPENAI_KEY = re.compile(r"\bsk-[A-Za-z0-9_-]{8,}")
# As urlsplit reads it: the user part ends at the last "@" before the path begins.
_URL_PASSWORD = re.compile(
    r"(?P<keep>\b[a-z][a-z0-9+.-]*://[^\s:/?#@\"']*:)[^\s/?#\"']*(?=@)", re.IGNORECASE
)
_NAMED_SECRET = re.compile(
    r"(?P<keep>\b[\w-]*"
    r"(?:pass(?:word|wd|phrase)|secret|token|(?:api|private)[-_]?key|credentials?|authorization)"
    r"[\"']?\s*[=:]\s*[\"']?)"
    r"(?:(?:bearer|basic)\s+)?[^\s\"'&,;)}\]]+",
    re.IGNORECASE,
)
_KEEPING = rf"\g<keep>{MASK}"


class Redactor:
    """Masks secrets in any JSON-like value. Holds the configured secrets by value.

    Args:
        secrets: Values that must never appear. Shorter than six characters are left out, since
            they would mask ordinary text.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        spellings = {form for secret in secrets for form in _spellings(secret)}
        known = sorted((s for s in spellings if len(s) >= _SHORTEST_SECRET), key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, known))) if known else None

    def value(self, value: Any, *, key: str = "", deepest: int = _DEEPEST) -> Any:
        """The same value with every secret masked. Never raises and never changes its argument.

        Args:
            value: Anything.
            key: The name that it has where it stands.
            deepest: Levels that are shown; what lies deeper is left out.
        """
        return self._masked(value, key, deepest)

    def text(self, text: str) -> str:
        """The same text with every secret masked."""
        masked = self._known.sub(MASK, text) if self._known else text
        return mask_text(masked)

    def _masked(self, value: Any, key: str, levels: int) -> Any:
        if isinstance(value, Mapping | list | tuple | set | frozenset):
            return self._masked_inside(value, key, levels - 1) if levels > 0 else _TOO_DEEP
        return self._masked_leaf(value, key)

    def _masked_inside(self, value: Any, key: str, levels: int) -> Any:
        if isinstance(value, Mapping):
            return {self._name(k): self._masked(v, _as_text(k), levels) for k, v in value.items()}
        return [self._masked(item, key, levels) for item in value]

    def _name(self, key: Any) -> Any:
        """A secret may be a name as well: `{"sk-…": "the old key"}`."""
        return self.text(key) if isinstance(key, str) else key

    def _masked_leaf(self, value: Any, key: str) -> Any:
        if value is None or isinstance(value, bool):
            return value
        if is_secret_key(key):
            return MASK if value != "" else value
        if isinstance(value, int | float):
            return value
        if isinstance(value, bytes | bytearray):
            return self.text(value.decode("utf-8", "backslashreplace"))
        return self.text(_as_text(value))


def _spellings(secret: str) -> tuple[str, ...]:
    """As it is, in a URL, in JSON, and as Python shows it inside quotes."""
    as_json = (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1])
    return (secret, quote(secret, safe=""), *as_json, repr(secret)[1:-1])


def _as_text(value: object) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001  # a log line must not fail on somebody's broken __str__
        return f"<{type(value).__name__}>"


def is_secret_key(key: str) -> bool:
    """Whether a key of this name holds a secret, as `api_key`, `X-Api-Key` and `authToken` do."""
    return bool(key) and _SECRET_KEY.search(_CAMEL_HUMP.sub("_", key)) is not None


def mask_text(text: str) -> str:
    """Masks what looks like a secret in free text, without knowing any."""
    text = _URL_PASSWORD.sub(_KEEPING, text)
    text = _NAMED_SECRET.sub(_KEEPING, text)
    text = _BEARER.sub(_KEEPING, text)
    return _OPENAI_KEY.sub(MASK, text)


def mask_url(url: str) -> str:
    """The URL with its password masked, in the user part and in the query."""
    return mask_text(url)


def url_password(url: str | None) -> str | None:
    """The password inside a URL, decoded; None without one or when the URL cannot be read."""
    if not url:
        return None
    try:
        password = urlsplit(url).password
    except ValueError:
        return None
    return unquote(password) if password else None
