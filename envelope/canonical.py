"""Canonical JSON and the hashes made of it.

The text is that of RFC 8785 in spirit: sorted keys, no blanks, UTF-8, no NaN. Numbers keep Python's
shortest form, which is the same on every CPython.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from envelope.errors import InvalidInput

_ENCODER = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
)
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def canonical_json(value: Any) -> str:
    """Return the one JSON text of `value`.

    Raises:
        InvalidInput: The value holds NaN, infinity, NUL, a lone surrogate, something that is not
            JSON, or is nested too deeply.
    """
    try:
        text = _ENCODER.encode(value)
        text.encode()
    except RecursionError:
        raise InvalidInput("The value is nested too deeply to be JSON.") from None
    except UnicodeEncodeError:
        raise InvalidInput("The text holds a lone surrogate, which UTF-8 cannot carry.") from None
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"The value is not JSON: {error}") from None
    if "\\u0000" in text and _NUL.search(text):
        raise InvalidInput("The text holds a NUL character, which databases refuse.")
    return text


def sha256_hex(text: str) -> str:
    """Return the SHA-256 of `text` in UTF-8, as 64 lower-case hex digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def content_hash(value: Any) -> str:
    """Return the SHA-256 of the canonical JSON of `value`."""
    return sha256_hex(canonical_json(value))
