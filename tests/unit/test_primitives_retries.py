"""`with_retries`, synchronous and not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from control.primitives import aio, with_retries
from envelope.errors import InvalidInput, QueueUnavailable, Retryable


class Flaky:
    """Fails with the errors given, then returns how often it was called."""

    def __init__(self, *errors: Exception) -> None:
        self._errors = list(errors)
        self.calls = 0

    def __call__(self) -> int:
        self.calls += 1
        if self._errors:
            raise self._errors.pop(0)
        return self.calls


def call_sync(work: Flaky, *args: Any, **options: Any) -> int:
    return with_retries(work, *args, **options)


def call_async(work: Flaky, *args: Any, **options: Any) -> int:
    async def fn() -> int:
        return work()

    return asyncio.run(aio.with_retries(fn, *args, **options))


Call = Callable[..., int]


@pytest.fixture(params=[call_sync, call_async])
def call(request: pytest.FixtureRequest) -> Call:
    found: Call = request.param
    return found


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits asked for; none is waited."""
    asked: list[float] = []

    async def no_sleep(seconds: float) -> None:
        asked.append(seconds)

    monkeypatch.setattr(time, "sleep", asked.append)
    monkeypatch.setattr(asyncio, "sleep", no_sleep)
    return asked


def test_it_succeeds_after_failures_and_waits_longer_each_time(
    call: Call, waits: list[float]
) -> None:
    work = Flaky(ConnectionError(), TimeoutError(), QueueUnavailable("away"))
    assert call(work) == 4
    for wait, step in zip(waits, (0.5, 1, 2), strict=True):
        assert step / 2 <= wait <= step


def test_the_last_failure_is_raised(call: Call, waits: list[float]) -> None:
    work = Flaky(*(ConnectionError(str(number)) for number in range(9)))
    with pytest.raises(ConnectionError, match="2"):
        call(work, retries=2, delay=0)
    assert work.calls == 3
    assert waits == [0, 0]


def test_no_retries_is_one_attempt(call: Call, waits: list[float]) -> None:
    work = Flaky(ConnectionError())
    with pytest.raises(ConnectionError):
        call(work, retries=0)
    assert (work.calls, waits) == (1, [])


def test_only_what_may_pass_is_tried_again(call: Call) -> None:
    work = Flaky(ValueError("bug"))
    with pytest.raises(ValueError, match="bug"):
        call(work)
    assert work.calls == 1
    assert call(Flaky(ValueError("flaky")), retry_on=(ValueError,)) == 2


def test_retry_after_is_obeyed_and_the_cap_is_kept(call: Call, waits: list[float]) -> None:
    work = Flaky(Retryable("x", retry_after=7), *(ConnectionError() for _ in range(9)))
    call(work, retries=10, delay=1, cap=2)
    assert waits[0] == 7
    assert all(0.5 <= wait <= 2 for wait in waits[1:])


def test_each_failed_attempt_is_logged(call: Call) -> None:
    with capture_logs() as logs, pytest.raises(ConnectionError):
        call(Flaky(ConnectionError("a"), ConnectionError("b")), retries=1, name="the work")
    told = [(line["event"], line["work"], line["attempt"], line["error"]) for line in logs]
    assert told == [
        ("retries.waiting", "the work", 1, "ConnectionError: a"),
        ("retries.gave_up", "the work", 2, "ConnectionError: b"),
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"retries": -1},
        {"retries": 1.5},
        {"retries": True},
        {"delay": -1},
        {"delay": float("nan")},
        {"cap": float("inf")},
        {"cap": "1"},
    ],
)
def test_senseless_arguments_are_refused_before_the_first_attempt(
    call: Call, wrong: dict[str, Any]
) -> None:
    work = Flaky()
    with pytest.raises(InvalidInput):
        call(work, **wrong)
    assert work.calls == 0


def test_a_coroutine_function_is_sent_to_the_asynchronous_form() -> None:
    async def fn() -> None: ...

    with pytest.raises(InvalidInput, match=r"aio\.with_retries"):
        with_retries(fn)


def test_a_cancelled_attempt_is_not_tried_again() -> None:
    calls = 0

    async def fn() -> None:
        nonlocal calls
        calls += 1
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(aio.with_retries(fn))
    assert calls == 1
