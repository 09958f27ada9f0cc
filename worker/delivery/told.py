"""What a sender says of an effect, as the ledger can keep it and people may read it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from envelope.effect import Receipt
from worker.redaction import Redactor

_LONGEST = 4_000


class Told:
    """Masks secrets, and drops what no database carries: NUL, lone surrogates, NaN, overlong text.

    What happened must be written down, however odd the words of who says so.

    Args:
        redactor: Knows the secrets.
    """

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor

    def text(self, text: str) -> str:
        """Return a title or a reason."""
        return _plain(self._redactor.text(text))

    def receipt(self, receipt: Receipt) -> Receipt:
        """Return a receipt."""
        kept: Receipt = _kept(self._redactor.value(receipt))
        return kept


def _kept(value: Any) -> Any:
    """The redactor leaves mappings, lists, texts, numbers, truths and None."""
    if isinstance(value, Mapping):
        return {_plain(str(name)): _kept(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_kept(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return _plain(value) if isinstance(value, str) else value


def _plain(text: str) -> str:
    return text.replace("\x00", "").encode("utf-8", "replace").decode()[:_LONGEST]
