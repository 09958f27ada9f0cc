"""One ask for a lock, and Redis's answer to it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from envelope.errors import LockHeld
from worker.coordination.locks.keys import quoted
from worker.coordination.locks.request import LockRequest


@dataclass(slots=True, eq=False)
class Ask:
    """An ask that may be repeated until it is answered with the lock.

    Attributes:
        id: Its own, after the id of its process: `<process>/<number>`.
        ticket: Its place in the order of asking, once it stands in line.
        waits: Whether it stands in line or leaves it.
        sent_at: When it was last sent, by the local monotonic clock.
        reply: The reply to it, as last sent.
    """

    request: LockRequest
    id: str
    holder: str
    ticket: str = ""
    waits: bool = False
    sent_at: float = field(default_factory=time.monotonic)
    reply: asyncio.Future[Answer] | None = None

    @property
    def name(self) -> str:
        """The quoted key."""
        return quoted(self.request.key)

    def lock_fields(self) -> list[str | int]:
        """What the scripts write into the lock, in their order."""
        request = self.request
        metadata = json.dumps(dict(request.metadata))
        milliseconds = round(request.ttl * 1_000)
        return [
            *(self.name, self.id, request.owner, milliseconds),
            *(self.holder, request.why, metadata),
        ]

    def fields(self) -> list[str | int]:
        """What `ask.lua` takes, in its order."""
        return [*self.lock_fields(), self.ticket, int(self.waits)]


@dataclass(frozen=True, slots=True)
class Answer:
    """What `ask.lua` returned for one ask: the verdict, the ticket, then what the verdict tells."""

    verdict: str
    ticket: str
    told: Sequence[str]

    @classmethod
    def of(cls, reply: Sequence[str]) -> Answer:
        """Take a reply apart."""
        return cls(reply[0], reply[1], reply[2:])

    @property
    def got(self) -> bool:
        """Whether the lock was acquired."""
        return self.verdict == "got"

    @property
    def fence(self) -> int:
        """The fencing number of an acquired lock."""
        return int(self.told[0])

    @property
    def since(self) -> str:
        """When an acquired lock was first acquired by its owner, in microseconds since 1970."""
        return self.told[1]

    @property
    def era(self) -> str:
        """The era in which it was acquired, or which gives out no locks yet."""
        return self.told[2] if self.got else self.told[1]

    def refusal(self, key: str) -> LockHeld:
        """Return the error that says who is in the way, and what to do."""
        if self.verdict == "held":
            holder, since, why, lapses = self.told
            return LockHeld(
                f"Lock {key!r} is held by {holder} since {_clock(since)}"
                f"{f' ({why})' if why else ''}; it lapses in {int(lapses) / 1000:.1f} s unless it "
                "is renewed. Try again later, or wait longer for it."
            )
        if self.verdict == "opening":
            seconds = int(self.told[0]) / 1000
            return LockHeld(
                f"Lock {key!r} is not given out yet: Redis is new or was flushed, and earlier "
                f"owners have {seconds:.1f} s left to take their locks back. Try again then, or "
                "wait longer for it.",
                retry_after=seconds,
            )
        return LockHeld(
            f"Lock {key!r} has just become free, and others were first to ask for it (waiting: "
            f"{self.told[0]}). Try again later, or wait longer for it."
        )


def _clock(micros: str) -> str:
    return datetime.fromtimestamp(int(micros) / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
