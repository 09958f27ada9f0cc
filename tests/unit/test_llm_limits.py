"""What providers say about their limits, and what a call is expected to use."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.llm.estimates import Estimates
from agents.llm.rate_headers import duration, retry_after, used_up


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("6m0s", 360),
        ("20ms", 0.02),
        ("1s", 1),
        ("1h2m3.5s", 3_723.5),
        ("1d", 86_400),
        ("250us", 0.000_25),
        ("250µs", 0.000_25),
        ("0s", 0),
        ("59.7", 59.7),
        (" 2s ", 2),
    ],
)
def test_durations_as_openai_writes_them(text: str, seconds: float) -> None:
    assert duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", [None, "", "soon", "s", "-3s", "3 s", "1s2", "inf", "nan", "٣s"])
def test_what_is_no_duration(text: str | None) -> None:
    assert duration(text) is None


@given(st.text(), st.text())
def test_no_header_is_too_strange(left: str, reset: str) -> None:
    headers = {"x-ratelimit-remaining-tokens": left, "x-ratelimit-reset-tokens": reset}
    assert used_up(headers) is None or used_up(headers) >= 0
    waits = retry_after({"retry-after": left, "retry-after-ms": reset})
    assert waits is None or waits >= 0


def test_the_later_of_what_is_used_up_counts() -> None:
    headers = {
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "3s",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "1m",
    }
    assert used_up(headers) == 60
    assert used_up(headers | {"x-ratelimit-remaining-tokens": "12"}) == 3
    assert used_up(headers | {"x-ratelimit-reset-tokens": "soon"}) == 3
    assert used_up({}) is None


def test_retry_after_may_be_a_date() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=90))
    waits = retry_after({"retry-after": later})
    assert waits == pytest.approx(90, abs=5)


def test_estimates_learn_how_long_outputs_are() -> None:
    estimates = Estimates()
    first = estimates.of("Copy", ["x" * 4_000, "äöü€"], 400)
    assert (first.input_tokens, first.output_tokens) == (1_003, 101)
    for _ in range(40):
        estimates.learn("Copy", 200)
        estimates.learn("Copy", 0)
    assert estimates.of("Copy", [], 400).output_tokens == pytest.approx(200, abs=2)
    assert estimates.of("Copy", [], 50).tokens == 52
    assert estimates.of("Other", [], 400).output_tokens == 101
