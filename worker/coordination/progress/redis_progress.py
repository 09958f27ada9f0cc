"""Progress over a Redis stream for each thread.

Keys: `muster:progress:<quoted thread>`, a stream of about the last 10,000 events, kept for a day
after the last one.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from envelope.errors import InvalidInput
from worker.coordination.connection import connection
from worker.coordination.locks.scripts import NETWORK_SECONDS, asking_redis
from worker.coordination.progress.model import Progress, ProgressEvent

_KEPT_EVENTS = 10_000
_KEPT_SECONDS = 86_400
_PAGE = 500
_FOLLOWERS = 1_000
_BLOCK_SECONDS = 1.0
_LONGEST_THREAD = 1_000


class RedisProgress:
    """Emits and follows progress; belongs to the event loop that first uses it.

    Args:
        url: Address of Redis. Nothing connects before the first call.
    """

    def __init__(self, url: str) -> None:
        # Not repeated: an event emitted twice would be two events. `asking_redis` limits the time.
        self._redis = connection(url, connections=_FOLLOWERS, answer_seconds=None)
        self._emit = self._redis.register_script(Path(__file__).with_name("emit.lua").read_text())

    async def emit(self, thread: str, event: Progress) -> int:
        """Append an event and return its number.

        Raises:
            InvalidInput, TooLarge: The thread or the data cannot be written.
            QueueUnavailable: Redis is away; the event may have been written or not.
        """
        fields = (event.step, repr(event.progress), event.data_json())
        key = _key(thread)
        async with asking_redis():
            return int(await self._emit(keys=[key], args=[*fields, _KEPT_EVENTS, _KEPT_SECONDS]))

    async def follow(
        self, thread: str, after: int = 0, silence: float | None = None
    ) -> AsyncGenerator[ProgressEvent, None]:
        """Yield the events numbered above `after`, those emitted later as they come.

        Where Redis forgot the thread (a day of silence, a flush) numbers begin at 1 again, and so
        does the reader.

        Args:
            thread: Whose progress.
            after: The number of the last event already known.
            silence: Ends after so many seconds without an event; None never ends.

        Raises:
            InvalidInput: An argument makes no sense.
            QueueUnavailable: Redis is away; go on later with `after`.
        """
        key, number = _key(thread), _checked_after(after)
        _check_silence(silence)
        silent_since = time.monotonic()
        while True:
            left = _left(silent_since, silence)
            events = await self._next(key, number, min(left, _BLOCK_SECONDS))
            for event in events:
                yield event
                number, silent_since = event.number, time.monotonic()
            if not events and _left(silent_since, silence) <= 0:
                return
            if not events and await self._last(key) < number:
                number = 0

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    async def _next(self, key: str, number: int, seconds: float) -> list[ProgressEvent]:
        milliseconds = max(1, round(seconds * 1_000))
        async with asking_redis(seconds + NETWORK_SECONDS):
            streams: Any = await self._redis.xread({key: f"{number}-0"}, _PAGE, milliseconds)
        entries = [entry for _, found in streams for entry in found]
        return [_event(entry_id, fields) for entry_id, fields in entries]

    async def _last(self, key: str) -> int:
        async with asking_redis():
            last: Any = await self._redis.xrevrange(key, count=1)
        return _number(last[0][0]) if last else 0


def _key(thread: str) -> str:
    if not isinstance(thread, str) or not 0 < len(thread) <= _LONGEST_THREAD:
        raise InvalidInput(
            f"The thread of a progress event is text of 1 to {_LONGEST_THREAD} characters."
        )
    try:
        return f"muster:progress:{quote(thread, safe='')}"
    except UnicodeEncodeError:
        raise InvalidInput("The thread of a progress event holds a lone surrogate.") from None


def _checked_after(after: int) -> int:
    if not isinstance(after, int) or isinstance(after, bool) or after < 0:
        raise InvalidInput(f"`after` is {after!r}; it is the number of an event, 0 for all.")
    return after


def _check_silence(silence: float | None) -> None:
    if silence is not None and (not isinstance(silence, int | float) or not silence >= 0):
        raise InvalidInput(
            f"`silence` is {silence!r}; it is a number of seconds, or None to follow for ever."
        )


def _left(silent_since: float, silence: float | None) -> float:
    return math.inf if silence is None else silent_since + silence - time.monotonic()


def _number(entry_id: str) -> int:
    return int(entry_id.partition("-")[0])


def _event(entry_id: str, fields: Mapping[str, str]) -> ProgressEvent:
    data: dict[str, Any] = json.loads(fields["data"])
    return ProgressEvent(
        number=_number(entry_id),
        step=fields["step"],
        progress=float(fields["progress"]),
        data=data,
        at=int(fields["at"]) / 1e6,
    )
