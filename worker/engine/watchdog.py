"""Ends a process whose event loop is stuck: nobody else does, and whoever waits for its end hangs.

Its lease lapses and its runs go on elsewhere, but the process itself would stay, deaf to every
signal that the loop handles. So a thread of its own asks the loop to answer, again and again. It
counts questions, not seconds: a process that was paused, or whose machine slept, has asked no
more than it could answer, and is not blamed.

Code that loops without ever letting go of Python's lock (a regular expression that explodes) stops
that thread as well. Against this the kernel's timer of processor time is wound up at every
question. It stands still while the process is paused, and kills when it runs out.
"""

from __future__ import annotations

import asyncio
import faulthandler
import os
import signal
import sys
import threading
import traceback
from itertools import islice
from typing import Any

from worker.settings import Settings

EXIT_CODE = 70
"""How a stuck process ends: `EX_SOFTWARE` of sysexits.h."""

_QUESTIONS = 40
_FRAMES = 40
_LOG_SECONDS = 1.0
_STDERR = 2


def worker_limit(settings: Settings) -> float:
    """Return how many seconds a worker's loop may stand still: twice the lease.

    After one lease others have its runs already, yet a loop that comes back is worth more than a
    new process.
    """
    return 2 * settings.lease_seconds


def cell_limit(settings: Settings) -> float:
    """Return how many seconds the loop of a process apart may stand still.

    The process must be dead, and blamed by its watcher, while its lease still holds: otherwise
    another worker takes the run and nobody learns what killed it. A lease is at least one heartbeat
    short of its full length when the loop gets stuck; a quarter of the rest is for the watcher.
    """
    return 0.75 * (settings.lease_seconds - settings.heartbeat_seconds)


class Watchdog:
    """Ends this process with `EXIT_CODE` when its loop has not turned for a while.

    Before that it logs `worker.loop_stuck` with the stack of the loop's thread: files, lines and
    functions, no values.

    Args:
        limit: Seconds that the loop may stand still.
        log: The structured logger.

    Example:
        >>> watchdog = Watchdog(worker_limit(settings), log)
        >>> watchdog.start()  # on the loop
        >>> watchdog.stop()
    """

    def __init__(self, limit: float, log: Any) -> None:
        self._limit = limit
        self._log = log
        self._interval = limit / _QUESTIONS
        self._answered = threading.Event()
        self._stopped = threading.Event()

    def start(self) -> None:
        """Watch the loop that is running in this thread."""
        loop, thread = asyncio.get_running_loop(), threading.get_ident()
        threading.Thread(
            target=self._watch, args=(loop, thread), name="muster-watchdog", daemon=True
        ).start()

    def stop(self) -> None:
        """Watch no longer; without effect where it never began."""
        self._stopped.set()

    def _watch(self, loop: asyncio.AbstractEventLoop, thread: int) -> None:
        timer = _ProcessorTimer(max(self._limit, 2 * self._interval * (os.cpu_count() or 1)))
        stuck = self._stuck(loop, timer)
        timer.stop()
        if stuck:
            self._end(thread)

    def _stuck(self, loop: asyncio.AbstractEventLoop, timer: _ProcessorTimer) -> bool:
        """Ask until the loop owes too many answers, or until nobody wants to know any more."""
        unanswered = 0
        self._answered.set()
        while unanswered < _QUESTIONS:
            timer.wind_up()
            if self._stopped.wait(self._interval) or loop.is_closed():
                return False
            if not self._answered.is_set():
                unanswered += 1
            else:
                unanswered = 0
                self._ask(loop)
        return True

    def _ask(self, loop: asyncio.AbstractEventLoop) -> None:
        self._answered.clear()
        try:
            loop.call_soon_threadsafe(self._answered.set)
        except RuntimeError:
            self._stopped.set()  # the loop was closed this very moment: its work is done

    def _end(self, thread: int) -> None:
        """Tell and end; the loop may be stuck in the log itself, so nobody waits for that long."""
        telling = threading.Thread(target=self._tell, args=(thread,), daemon=True)
        telling.start()
        telling.join(_LOG_SECONDS)
        os._exit(EXIT_CODE)

    def _tell(self, thread: int) -> None:
        self._log.critical("worker.loop_stuck", seconds=self._limit, stack=_stack(thread))


class _ProcessorTimer:
    """Kills this process, after a dump of its stacks, once it has used so much processor time.

    All threads count, so the caller gives it more than they can use between two windings. Where
    something else, a profiler, has the timer's signal, it does nothing.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._ours = signal.getsignal(signal.SIGPROF) is signal.SIG_DFL
        if self._ours:
            faulthandler.register(signal.SIGPROF, file=_STDERR, all_threads=True, chain=True)

    def wind_up(self) -> None:
        if self._ours:
            signal.setitimer(signal.ITIMER_PROF, self._seconds)

    def stop(self) -> None:
        if self._ours:
            signal.setitimer(signal.ITIMER_PROF, 0)
            faulthandler.unregister(signal.SIGPROF)


def _stack(thread: int) -> list[str]:
    """Return where a thread is, the innermost call first."""
    frame = sys._current_frames().get(thread)  # noqa: SLF001  # the documented way
    if frame is None:
        return []
    return [
        f"{at.f_code.co_filename}:{line} {at.f_code.co_name}"
        for at, line in islice(traceback.walk_stack(frame), _FRAMES)
    ]
