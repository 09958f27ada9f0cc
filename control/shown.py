"""Rows of the journal as they may be shown: without the secrets that somebody put into them.

The journal itself keeps a payload as it came, or the run could not be executed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from enum import Enum
from typing import TYPE_CHECKING, Any, Self, TypeVar

from envelope.failure import Failure
from worker.engine.masking import masked_failure
from worker.redaction import Redactor
from worker.settings import Settings

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

R = TypeVar("R", bound="DataclassInstance")

_JSON = frozenset({"payload", "envelope", "input", "result", "data"})
"""Fields of rows that hold JSON."""

_DEEPEST = 100
"""Levels of JSON that are shown."""


class Shown:
    """Masks what configured secrets, names and looks give away as secret, in any row.

    Args:
        redactor: Knows the secrets.
    """

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor

    @classmethod
    def by_settings(cls) -> Self:
        """Know the secrets of the settings that a command reads."""
        return cls(Redactor(Settings.load().secrets()))

    def row(self, row: R) -> R:
        """Return the row without secrets."""
        changed = {
            field.name: self._value(field.name, getattr(row, field.name)) for field in fields(row)
        }
        return replace(row, **changed)

    def rows(self, rows: Iterable[R]) -> list[R]:
        """Return rows without secrets."""
        return [self.row(row) for row in rows]

    def _value(self, name: str, value: Any) -> Any:
        if isinstance(value, Mapping):
            return self._redactor.value(value)
        if not isinstance(value, str) or isinstance(value, Enum):
            return value
        if name == "failure":
            failure = Failure.model_validate_json(value)
            return masked_failure(self._redactor, failure).model_dump_json()
        return self._json(value) if name in _JSON else self._redactor.text(value)

    def _json(self, text: str) -> str:
        masked = self._redactor.value(json.loads(text), deepest=_DEEPEST)
        return json.dumps(masked, ensure_ascii=False)
