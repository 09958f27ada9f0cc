"""Failures of nodes: which of them another node takes care of, and what stands in their place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from envelope.envelope import Envelope
from envelope.errors import (
    AlreadyRegistered,
    BudgetExceeded,
    Cancelled,
    InvalidInput,
    LockLost,
    NotRegistered,
    TooLarge,
)
from envelope.failure import Failure, StepFailed
from orchestrators.flow.errors import InvalidFlow, SagaFailed

ErrorFilter = type[Exception] | str | Callable[[Exception], bool]
"""An exception's class, a failure's code such as `MODEL_BUSY`, or a test of the exception."""

Filters = ErrorFilter | tuple[ErrorFilter, ...]

_HOPELESS_ERRORS: Final = (
    InvalidInput,
    NotRegistered,
    AlreadyRegistered,
    BudgetExceeded,
    TooLarge,
    LockLost,
    InvalidFlow,
)
_HOPELESS_CODES: Final = frozenset(error.code for error in _HOPELESS_ERRORS)


def may_pass(error: Exception) -> bool:
    """Return whether trying again, or another way, can help: the default of every filter.

    Wrong input, unknown names, used-up budgets and the like stay as they are.
    """
    return not isinstance(error, _HOPELESS_ERRORS) and code_of(error) not in _HOPELESS_CODES


def code_of(error: Exception) -> str | None:
    """Return the stable code of an error; of a failed step, that of its failure."""
    if isinstance(error, StepFailed):
        return error.failure.code
    return getattr(error, "code", None)


def handles(filters: Filters, error: Exception) -> bool:
    """Return whether a node with these filters takes care of `error`.

    Nobody takes care of a cancellation: whatever follows it is an end, not another attempt.
    """
    if _is_cancellation(error):
        return False
    return any(
        _matches(one, error) for one in (filters if isinstance(filters, tuple) else (filters,))
    )


def checked_filters(filters: Filters, where: str) -> Filters:
    """Return the filters.

    Raises:
        InvalidFlow: One of them is none.
    """
    for one in filters if isinstance(filters, tuple) else (filters,):
        is_error = isinstance(one, type) and issubclass(one, Exception)
        is_test = callable(one) and not isinstance(one, type)
        if not (is_error or is_test or isinstance(one, str)):
            raise InvalidFlow(
                f"{where}: {one!r} is no filter of errors. Give an exception's class, a failure's "
                "code such as 'MODEL_BUSY', a function of the exception, or a tuple of these."
            )
    return filters


def as_envelope(error: Exception, source: str) -> Envelope:
    """Return the envelope of status `error` that stands for a node that failed."""
    if isinstance(error, StepFailed) and error.envelope_json is not None:
        return Envelope.from_json(error.envelope_json, max_bytes=None)
    return Envelope.from_error(Failure.of(error), source=source)


def _matches(one: ErrorFilter, error: Exception) -> bool:
    if isinstance(one, str):
        return code_of(error) == one
    if isinstance(one, type):
        return isinstance(error, one)
    return one(error)


def _is_cancellation(error: Exception) -> bool:
    if isinstance(error, SagaFailed):
        return error.cancelled
    if isinstance(error, StepFailed):
        return error.failure.kind == "cancelled"
    return isinstance(error, Cancelled)
