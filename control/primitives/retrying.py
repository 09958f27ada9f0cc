"""Trying again: exponential backoff with jitter, for synchronous and asynchronous work."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from inspect import iscoroutinefunction
from typing import TypeVar

from agents.retries import RetryPolicy
from control.primitives.logger import primitives_logger
from envelope.errors import InvalidInput, Retryable, Unavailable

T = TypeVar("T")

RETRY_ON: tuple[type[Exception], ...] = (Retryable, Unavailable, ConnectionError, TimeoutError)
"""What may pass by itself, and so is worth another attempt."""


def with_retries(
    fn: Callable[[], T],
    retries: int = 3,
    delay: float = 0.5,
    *,
    cap: float = 30.0,
    retry_on: tuple[type[Exception], ...] = RETRY_ON,
    name: str | None = None,
) -> T:
    """Call `fn` until it succeeds, and return its result; the last failure is raised.

    The wait doubles from `delay` up to `cap`, drawn from the upper half of each step. An error with
    a sensible `retry_after` (seconds) is obeyed instead. Each failed attempt is logged. Only for
    work that may be done twice: an attempt that failed may have had its effect.

    Args:
        fn: Takes no arguments; bind them with `functools.partial` or a lambda.
        retries: Further attempts after the first.
        delay: Seconds before the first of them.
        cap: Longest wait in seconds, jitter included.
        retry_on: Errors that are worth another attempt; others are raised at once.
        name: How the log calls the work; the function's own name where None.

    Raises:
        InvalidInput: An argument makes no sense.
    """
    if iscoroutinefunction(fn):
        raise InvalidInput("This is a coroutine function: use control.primitives.aio.with_retries.")
    attempts = _Attempts(fn, retries, delay, cap, retry_on, name)
    while True:
        try:
            return fn()
        except Exception as error:  # noqa: BLE001 - raised again unless it is to be retried
            wait = attempts.failed(error)
        time.sleep(wait)


async def with_retries_async(
    fn: Callable[[], Awaitable[T]],
    retries: int = 3,
    delay: float = 0.5,
    *,
    cap: float = 30.0,
    retry_on: tuple[type[Exception], ...] = RETRY_ON,
    name: str | None = None,
) -> T:
    """Await `fn()` until it succeeds; see `control.primitives.with_retries`."""
    attempts = _Attempts(fn, retries, delay, cap, retry_on, name)
    while True:
        try:
            return await fn()
        except Exception as error:  # noqa: BLE001 - raised again unless it is to be retried
            wait = attempts.failed(error)
        await asyncio.sleep(wait)


class _Attempts:
    """Counts failed attempts, logs them and decides."""

    def __init__(
        self,
        fn: Callable[[], object],
        retries: int,
        delay: float,
        cap: float,
        retry_on: tuple[type[Exception], ...],
        name: str | None,
    ) -> None:
        if not isinstance(retries, int) or isinstance(retries, bool) or retries < 0:
            raise InvalidInput(f"`retries` is {retries!r}; it is a whole number, at least 0.")
        _check_seconds("delay", delay)
        _check_seconds("cap", cap)
        self._policy = RetryPolicy(
            attempts=retries + 1, base_seconds=delay, cap_seconds=cap, retry_on=retry_on
        )
        self._done = 0
        self._log = primitives_logger().bind(
            work=name or getattr(fn, "__qualname__", type(fn).__name__), attempts=retries + 1
        )

    def failed(self, error: Exception) -> float:
        """Return the seconds to wait; raises `error` where there is no further attempt."""
        self._done += 1
        wait = self._policy.wait_seconds(error, self._done)
        told = {"attempt": self._done, "error": f"{type(error).__name__}: {error}"}
        if wait is None:
            self._log.error("retries.gave_up", **told)
            raise error
        self._log.warning("retries.waiting", seconds=round(wait, 3), **told)
        return wait


def _check_seconds(what: str, value: float) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value < 0:
        raise InvalidInput(f"`{what}` is {value!r}; it is a number of seconds, at least 0.")
