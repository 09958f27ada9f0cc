"""Keeps secrets out of what a run records: the messages of errors quote whatever was wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from envelope.canonical import canonical_json
from envelope.failure import Failure
from worker.engine.ending import Ending
from worker.redaction import Redactor

_LONGEST_MESSAGE = 4_000
"""A `Failure` takes no more, and a mask may be longer than what it hides."""


def masked_failure(redactor: Redactor, failure: Failure) -> Failure:
    """Return the failure without secrets."""
    message = redactor.text(failure.message)[:_LONGEST_MESSAGE]
    details = redactor.value(failure.details)
    return failure.model_copy(update={"message": message, "details": details})


def masked_json(redactor: Redactor, data: Mapping[str, Any]) -> str:
    """Return an event's data as canonical JSON without secrets.

    Raises:
        InvalidInput: It is no JSON.
    """
    return canonical_json(redactor.value(json.loads(canonical_json(data))))


def masked_ending(redactor: Redactor, ending: Ending) -> Ending:
    """Return the ending without secrets in what it tells of an error."""
    end, event = ending.end, ending.event
    if end is None or event is None or end.failure is None:
        return ending
    failure = masked_failure(redactor, Failure.model_validate_json(end.failure))
    trace = None if end.trace is None else redactor.text(end.trace)
    told = redactor.value(json.loads(event.data))
    return Ending(
        replace(end, failure=failure.model_dump_json(), trace=trace),
        replace(event, data=json.dumps(told)),
    )
