from __future__ import annotations

import pytest

from envelope import Failure
from envelope.errors import Cancelled, InvalidInput, Retryable
from envelope.failure import StepFailed, trace_text


def _raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


@pytest.mark.parametrize(
    ("error", "code", "kind", "message"),
    [
        (InvalidInput("bad"), "VALIDATION_FAILED", "terminal", "bad"),
        (Retryable("later"), "RETRYABLE", "retryable", "later"),
        (Cancelled("stop"), "CANCELLED", "cancelled", "stop"),
        (KeyError("x"), "TASK_EXECUTION_FAILED", "terminal", "KeyError: 'x'"),
    ],
)
def test_an_error_becomes_data(error: Exception, code: str, kind: str, message: str) -> None:
    failure = Failure.of(_raised(error), step="s", agent="a", attempt=2)
    assert (failure.code, failure.kind, failure.message) == (code, kind, message)
    assert (failure.step, failure.agent, failure.attempt) == ("s", "a", 2)
    assert Failure.model_validate_json(failure.model_dump_json()) == failure


def test_a_step_s_failure_is_carried_through() -> None:
    inner = Failure(code="X", message="m", step="s", agent="a")
    assert Failure.of(StepFailed(inner)) is inner


def test_failures_of_one_cause_share_a_fingerprint() -> None:
    first, second = (Failure.of(_raised(ValueError(text))) for text in ("one", "two"))
    assert first.fingerprint == second.fingerprint
    assert Failure.of(_raised(KeyError("one"))).fingerprint != first.fingerprint


def test_any_text_can_be_carried_by_a_database() -> None:
    error = _raised(ValueError("nul \x00 surrogate \ud800 " + "x" * 10_000))
    failure = Failure.of(error)
    assert "\x00" not in failure.message
    assert len(failure.message) == 4_000
    failure.message.encode()
    trace_text(error).encode()
