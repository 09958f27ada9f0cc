"""The headers that a webhook's request may add."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

_MOST: Final = 20
_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")
_VALUE: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,998}[\x21-\x7e])?")
_OURS: Final = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "forwarded",
        "host",
        "idempotency-key",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
        "via",
    }
)
_OUR_FAMILIES: Final = ("webhook-", "proxy-", "x-forwarded-", "x-real-", "sec-")
_CREDENTIALS: Final = re.compile(
    r"auth|cookie|credential|passw|secret|session|signature|token|(?:api|access|private)-?key"
)


def checked_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers with names in lower case.

    Credentials are refused, not only because a journal and an approval page would show them: a
    request must not borrow an identity that the signature does not have.

    Raises:
        ValueError: A name or value is not allowed; the message names the header, not its value.
    """
    if len(headers) > _MOST:
        raise ValueError(f"at most {_MOST} headers")
    named = {name.lower(): value for name, value in headers.items()}
    if len(named) < len(headers):
        raise ValueError("two headers differ in upper and lower case only")
    for name, value in named.items():
        _check(name, value)
    return named


def _check(name: str, value: str) -> None:
    if _NAME.fullmatch(name) is None:
        raise ValueError("a header's name has up to 64 letters, digits and '-'")
    if name in _OURS or name.startswith(_OUR_FAMILIES):
        raise ValueError(f"the header {name!r} is not yours to set")
    if _CREDENTIALS.search(name):
        raise ValueError(
            f"the header {name!r} looks like a credential; the signature authenticates"
        )
    if _VALUE.fullmatch(value) is None:
        raise ValueError(f"the header {name!r} needs 1 to 1,000 visible ASCII characters")
