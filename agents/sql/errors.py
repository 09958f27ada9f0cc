"""What can go wrong with an agent's own store."""

from __future__ import annotations

from typing import Literal

from envelope.errors import Retryable, Terminal

Rule = Literal["unique", "foreign_key", "not_null", "check", "exclusion"]


class StoreUnavailable(Retryable):
    """The database of an agent's store is away or busy: worth another attempt."""

    code = "STORE_UNAVAILABLE"


class StoreBroken(Terminal):
    """The database refuses the work: wrong file, missing right, foreign table."""

    code = "STORE_BROKEN"


class ConstraintViolated(StoreBroken):
    """A row breaks a rule of its table; nothing of its transaction was written.

    Args:
        message: What was broken; names the rule, never a value.
        rule: The kind of rule.
        name: The constraint or, for `not_null`, the column, as far as the database names it.
    """

    code = "CONSTRAINT_VIOLATED"

    def __init__(self, message: str, *, rule: Rule, name: str = "") -> None:
        super().__init__(message)
        self.rule = rule
        self.name = name


class ValueRefused(StoreBroken):
    """A value does not fit its column's type; nothing of its transaction was written."""

    code = "VALUE_REFUSED"
