"""When a step is tried again: a policy as data, and one function that returns the decision."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from envelope.errors import Retryable

_LONGEST_RETRY_AFTER = 3_600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often and how soon a failed attempt is repeated.

    Attributes:
        attempts: Executions in all, the first included.
        base_seconds: Wait before the second attempt; it doubles from there.
        cap_seconds: Longest wait of the backoff, jitter included.
        retry_on: Exceptions that are worth another attempt. Others end the step.
    """

    attempts: int = 3
    base_seconds: float = 0.5
    cap_seconds: float = 30.0
    retry_on: tuple[type[BaseException], ...] = (Retryable, ConnectionError, TimeoutError)

    def wait_seconds(self, error: BaseException, attempt: int) -> float | None:
        """Return the seconds to wait before the next attempt; None when there is none.

        The wait is drawn evenly from the upper half of the exponential step ("equal jitter", AWS
        Architecture Blog, 2015) and never above the cap. A sensible `retry_after` takes its place.
        """
        if attempt >= self.attempts or not isinstance(error, self.retry_on):
            return None
        asked = getattr(error, "retry_after", None)
        if isinstance(asked, int | float) and math.isfinite(asked) and asked >= 0:
            return min(float(asked), _LONGEST_RETRY_AFTER)
        step = min(self.cap_seconds, self.base_seconds * 2.0 ** (attempt - 1))
        return step * (0.5 + random.random() / 2)  # noqa: S311 - jitter, not cryptography


NO_RETRY = RetryPolicy(attempts=1)
