"""Notes when a worker wants a processor and gets none: what it loses then, the machine took.

A machine with few processors, or one that shares them with others, can keep a process from its
heartbeats for longer than a lease. Linux counts that time for each thread: the second number of
`/proc/PID/task/TID/schedstat`, in nanoseconds
(https://docs.kernel.org/scheduler/sched-stats.html). Where it is not told, nothing is noted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread

from tests.rig.faults.history import History

Waits = dict[str, float]
"""By thread, the seconds for which it has waited for a processor since it began."""

_SAMPLE_SECONDS = 0.5
_NOTABLE_SECONDS = 0.4  # who waits for less of a sample has run, and could renew its lease


@contextmanager
def noting_starvation(history: History, pids: Callable[[], Iterable[int]]) -> Iterator[None]:
    """Write a line `starved` (`pid`, `seconds`) for each half second that a thread waited through.

    At least four fifths of it: a machine whose processes all get on, if slowly, starves nobody.
    """
    over = Event()
    witness = Thread(target=_note, args=(history, pids, over), name="starvation", daemon=True)
    witness.start()
    try:
        yield
    finally:
        over.set()
        witness.join()


def waits_of(pid: int) -> Waits:
    """How long each thread of a process has waited for a processor; empty where it is gone."""
    return {task: int(told.split()[1]) / 1e9 for task, told in _schedstats(pid)}


def longest_wait(before: Waits, now: Waits) -> float:
    """For how many seconds the thread that fared worst has waited since an earlier look."""
    return max((now[task] - before[task] for task in before.keys() & now.keys()), default=0.0)


def _note(history: History, pids: Callable[[], Iterable[int]], over: Event) -> None:
    known: dict[int, Waits] = {}
    looked = time.monotonic()
    while not over.wait(_SAMPLE_SECONDS):
        # A machine that stood still, or had none for this thread either, shows in its lateness.
        late = time.monotonic() - looked - _SAMPLE_SECONDS
        looked = time.monotonic()
        now = {pid: waits_of(pid) for pid in pids()}
        for pid, waits in now.items():
            seconds = max(late, longest_wait(known.get(pid, {}), waits))
            if seconds >= _NOTABLE_SECONDS:
                history.write("starved", pid=pid, seconds=round(seconds, 3))
        known = now


def _schedstats(pid: int) -> Iterator[tuple[str, str]]:
    with suppress(OSError):  # the process has ended, or this is no Linux
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):  # the thread has ended
                yield task.name, (task / "schedstat").read_text()
