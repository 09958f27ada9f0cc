"""Advisory locks on files (`flock`), which the kernel drops when their last holder dies.

A lock belongs to the open file, not to the process: a forked child shares its parent's, and two
opens in one process are two holders. That is why every release here is explicit: closing alone
would leave the lock with a child that still has the file open.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_POLL_SECONDS = 0.02


class FileLock:
    """One open lock file. Not locked at first."""

    def __init__(self, path: Path) -> None:
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def try_exclusive(self) -> bool:
        """Locks alone. A shared lock held before is lost even if this fails."""
        return self._try(fcntl.LOCK_EX)

    def try_shared(self) -> bool:
        """Locks together with other sharers."""
        return self._try(fcntl.LOCK_SH)

    def held_by_another(self) -> bool:
        """Whether some other open file is locked alone. For one that is not locked here."""
        if not self.try_shared():
            return True
        fcntl.flock(self.fd, fcntl.LOCK_UN)
        return False

    def release(self) -> None:
        """Unlocks for every process that shares this open file, and closes it here."""
        fcntl.flock(self.fd, fcntl.LOCK_UN)
        self.forget()

    def forget(self) -> None:
        """Closes it here alone: whoever inherited the open file keeps the lock."""
        os.close(self.fd)

    def _try(self, kind: int) -> bool:
        try:
            fcntl.flock(self.fd, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


@contextmanager
def exclusive(path: Path, *, seconds: float) -> Iterator[None]:
    """Holds the lock alone, waiting up to `seconds` for it.

    Raises:
        TimeoutError: Another process kept it.
    """
    lock = FileLock(path)
    try:
        deadline = time.monotonic() + seconds
        while not lock.try_exclusive():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{path} stayed locked for {seconds:g} s")
            time.sleep(_POLL_SECONDS)
        yield
    finally:
        lock.release()
