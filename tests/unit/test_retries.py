from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents import NO_RETRY, RetryPolicy
from envelope.errors import InvalidInput, Retryable


@given(st.integers(1, 60), st.floats(0.001, 10), st.floats(0.01, 100))
def test_a_wait_grows_and_never_passes_the_cap(attempt: int, base: float, cap: float) -> None:
    policy = RetryPolicy(attempts=61, base_seconds=base, cap_seconds=cap)
    wait = policy.wait_seconds(Retryable("x"), attempt)
    assert wait is not None
    step = min(cap, base * 2.0 ** (attempt - 1))
    assert step / 2 <= wait <= step


@pytest.mark.parametrize(
    ("asked", "waited"), [(0, 0.0), (2.5, 2.5), (1e9, 3_600.0), (math.nan, None), (-1, None)]
)
def test_a_sensible_retry_after_is_obeyed(asked: float, waited: float | None) -> None:
    policy = RetryPolicy(base_seconds=1, cap_seconds=1)
    wait = policy.wait_seconds(Retryable("x", retry_after=asked), 1)
    assert wait is not None
    assert wait == waited if waited is not None else 0.5 <= wait <= 1


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (Retryable("x"), True),
        (ConnectionError(), True),
        (TimeoutError(), True),
        (ValueError(), False),
        (InvalidInput("x"), False),
    ],
)
def test_only_what_may_pass_is_tried_again(error: Exception, again: bool) -> None:
    assert (RetryPolicy().wait_seconds(error, 1) is not None) is again
    assert RetryPolicy().wait_seconds(error, 3) is None
    assert NO_RETRY.wait_seconds(error, 1) is None
