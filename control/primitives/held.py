"""A lock in the hands of a caller."""

from __future__ import annotations

import time
from collections.abc import Mapping

from control.primitives.shared import Shared
from envelope.errors import LockLost
from envelope.ports.locks import LockInfo


class HeldLock:
    """A lock that was acquired, renewed in the background until it is released or lost.

    Attributes:
        key: What is locked.
        owner: The token that may release it; no other call has the same.
        fence: Rises with every acquisition of any key. Hand it to what the lock protects, so that
            late writes of an earlier owner can be refused.
        metadata: What was noted on it.
        ttl: Seconds after which it lapses when it is not renewed.
        released: True once it was released while it was still held.
    """

    def __init__(self, info: LockInfo, ttl: float, shared: Shared) -> None:
        self.key: str = info.key
        self.owner: str = info.owner
        self.fence: int = info.fence
        self.metadata: Mapping[str, str] = info.metadata
        self.ttl = ttl
        self.released = False
        self.shared = shared
        self._acquired_at = time.monotonic()
        self._ended_at: float | None = None
        self._was_lost = False

    @property
    def held_seconds(self) -> float:
        """For how long it is held, or was held until its release."""
        return (self._ended_at or time.monotonic()) - self._acquired_at

    @property
    def lost(self) -> bool:
        """Whether it was lost: another may have the lock, so the work must not go on."""
        return self._was_lost or self.shared.locks.lost(self.key, self.owner)

    def ensure_held(self) -> None:
        """Ask between the parts of long work.

        Raises:
            LockLost: It was lost.
        """
        if self.lost:
            raise self.loss()

    def loss(self) -> LockLost:
        """Return the error that says that it was lost."""
        return LockLost(
            f"Lock {self.key!r} (fence {self.fence}) was lost after {self.held_seconds:.1f} s: it "
            f"could not be renewed for {self.ttl:g} s, or was released by somebody else. Another "
            "may have it by now. Discard what was not finished, or acquire the lock again."
        )

    def ending(self) -> None:
        """Note the moment of release, and whether it is lost by then."""
        self._was_lost = self.lost
        self._ended_at = self._ended_at or time.monotonic()

    def ended(self, released: bool) -> bool:
        """Note what came of the release; whether it was held until then."""
        released = released and not self._was_lost
        self.released = self.released or released
        return released

    def __repr__(self) -> str:
        state = "released" if self.released else "lost" if self.lost else "held"
        return f"<HeldLock {self.key!r} fence={self.fence} {state} {self.held_seconds:.1f} s>"
