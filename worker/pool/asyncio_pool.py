"""The asyncio pool: thousands of `async def` tasks at once in one process, under Celery's tracer.

Chosen by the setting `worker_pool = "worker.pool.asyncio_pool:TaskPool"`; `-P prefork`, `threads`
or `solo` still win over it on the command line.
"""

import itertools
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from celery.concurrency.base import BasePool
from celery.exceptions import ImproperlyConfigured
from celery.utils import threads

from worker.pool.inbox import Inbox
from worker.pool.job import Job, LoopJob, Settlement, ThreadJob
from worker.pool.process_loop import process_loop

_POLL_SECONDS = 0.02
_TIMER_SECONDS = 0.5
_END_SECONDS = 6.0


class TaskPool(BasePool):
    """Runs the tracer of `async def` tasks in greenlets on one loop, of plain tasks in threads.

    At most `limit` (`-c`) jobs run; further ones wait here, not accepted and so not acknowledged.
    Jobs of a task that is `weightless` take no slot: they mostly wait for other jobs.
    """

    limit: int
    body_can_be_buffer = True
    signal_safe = False

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._pids = itertools.count(1)
        self._waiting: deque[Job] = deque()
        self._running: dict[int, Job] = {}
        self._weightless: dict[int, Callable[[], None]] = {}
        self._lock = threading.RLock()
        self._inbox: Inbox

    # -- life -------------------------------------------------------------------------------

    def on_start(self) -> None:
        """Starts the loop.

        Raises:
            ImproperlyConfigured: `USE_FAST_LOCALS` is set, so Celery cannot tell greenlets apart.
        """
        if getattr(threads, "USE_FAST_LOCALS", None):
            raise ImproperlyConfigured(
                "The asyncio pool runs many tasks in one thread, and USE_FAST_LOCALS makes Celery "
                "keep one task.request per thread. Unset USE_FAST_LOCALS or use another pool."
            )
        self._inbox = Inbox(has_hub=not self.options.get("threads"))
        self.app.holds_many_runs = True
        process_loop()

    def register_with_event_loop(self, loop: Any) -> None:
        """Celery's hub is about to run, at first or again after a reconnection."""
        self._inbox.attach(loop)

    def on_close(self) -> None:
        """Drops what has not begun: its messages are not acknowledged and return to the queue."""
        self._waiting.clear()

    def flush(self) -> None:
        """The connection is lost: Celery's requests that have not begun are void."""
        self._waiting.clear()

    def on_stop(self) -> None:
        """Waits until every job has ended that can end."""
        self.on_close()
        self._wait_while(self._unfinished, None)

    def on_terminate(self) -> None:
        """Ends every job, then waits a few seconds at most."""
        self.on_close()
        for job in tuple(self._running.values()):
            self.end_job(job)
        self._wait_while(self._unfinished, _END_SECONDS)

    def wait_idle(self, seconds: float) -> bool:
        """Lets running jobs end for at most `seconds`; whether all of them did."""
        self._waiting.clear()
        self._wait_while(lambda: bool(self._running), seconds)
        return not self._running

    def _unfinished(self) -> bool:
        return any(job.can_be_ended or not job.terminated for job in self._running.values())

    def _wait_while(self, condition: Callable[[], bool], seconds: float | None) -> None:
        """Serves the inbox in this thread. Polls: a signal handler may have interrupted us here."""
        deadline = None if seconds is None else time.monotonic() + seconds
        next_timers = time.monotonic() + _TIMER_SECONDS
        while condition() and (deadline is None or time.monotonic() < deadline):
            time.sleep(_POLL_SECONDS)
            self._inbox.drain()
            if time.monotonic() >= next_timers:
                self._inbox.tick()
                next_timers += _TIMER_SECONDS

    # -- jobs -------------------------------------------------------------------------------

    def on_apply(  # type: ignore[override]  # the stubs know no arguments
        self,
        target: Callable[..., Any],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        soft_timeout: float | None = None,
        timeout: float | None = None,
        **options: Any,
    ) -> Job:
        """Takes one message from Celery; begins it as soon as a slot is free."""
        task = self.app.tasks.get(args[0]) if args and self.app is not None else None
        kind = LoopJob if getattr(task, "is_async", False) else ThreadJob
        job = kind(
            next(self._pids),
            partial(target, *args, **(kwargs or {})),
            {name: options.get(name) or _ignore for name in _CALLBACKS},
            soft_timeout=soft_timeout or self.options.get("soft_timeout"),
            timeout=timeout or self.options.get("timeout"),
            terminate=self.end_job,
        )
        with self._lock:
            if getattr(task, "weightless", False):
                self._weightless[job.pid] = self.app.intake.lend()
                self._accept(job)
            else:
                self._waiting.append(job)
                self._fill_slots()
        return job

    def _fill_slots(self) -> None:
        while self._waiting and len(self._running) - len(self._weightless) < self.limit:
            self._accept(self._waiting.popleft())

    def _accept(self, job: Job) -> None:
        """Gives a slot; Celery announces the start and acknowledges now if it does so early."""
        self._running[job.pid] = job
        job.callbacks["accept_callback"](job.pid, time.monotonic())
        if job.terminated:  # Celery asked for its end as it was accepted
            self._forget(job)
        else:
            job.launch(self._inbox.put, partial(self._settle, job))

    def _settle(self, job: Job, settlement: Settlement) -> None:
        self._inbox.put(partial(self._free_slot, job, settlement))

    def _free_slot(self, job: Job, settlement: Settlement) -> None:
        with self._lock:
            self._forget(job)
            try:
                settlement()
            finally:
                self._fill_slots()

    def _forget(self, job: Job) -> None:
        del self._running[job.pid]
        give_back = self._weightless.pop(job.pid, None)
        if give_back is not None:
            give_back()

    def terminate_job(self, pid: int, signal: Any = None) -> None:  # noqa: ARG002  # Celery's
        """Ends the job that was accepted under `pid`; Celery itself has settled its message."""
        job = self._running.get(pid)
        if job is not None:
            self.end_job(job)

    def end_job(self, job: Job) -> None:
        """Ends a job. One that still waits is accepted at once, for Celery to announce its end."""
        with self._lock:
            if job.terminated:
                return
            job.terminated = True
            if job in self._waiting:
                self._waiting.remove(job)
                job.callbacks["accept_callback"](job.pid, time.monotonic())
            elif job.pid in self._running:
                job.end()

    # -- size and figures -------------------------------------------------------------------

    def grow(self, n: int = 1) -> None:
        """Allows `n` more jobs at once."""
        with self._lock:
            self.limit += n
            self._fill_slots()

    def shrink(self, n: int = 1) -> None:
        """Allows `n` fewer jobs at once; running ones end in their own time.

        Raises:
            ValueError: No slot would be left.
        """
        if self.limit - n < 1:
            raise ValueError(f"The pool has {self.limit} slots and must keep at least one.")
        self.limit -= n

    def _get_info(self) -> dict[str, Any]:
        kinds = [type(job) for job in tuple(self._running.values())]
        return {
            **super()._get_info(),  # type: ignore[misc]  # absent from the stubs
            "processes": [os.getpid()],
            "running": len(kinds),
            "waiting": len(self._waiting),
            "weightless": len(self._weightless),
            "threads": kinds.count(ThreadJob),
        }


_CALLBACKS = ("callback", "error_callback", "accept_callback", "timeout_callback")


def _ignore(*_: Any) -> None:
    """Stands for a callback that the caller did not give."""
