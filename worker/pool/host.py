"""Lets synchronous code await: it runs in a greenlet that yields its futures to an asyncio task.

Celery's tracer is synchronous and calls the task body like any function. Run in a `Host`, that
call may reach an `async def` body: the host steps the coroutine itself and, at every await, hands
the future to its driver, which is an ordinary asyncio task. The body thus runs in the tracer's
own greenlet, which is what Celery keys `task.request` and `current_task` by.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from typing import Any, Self, TypeVar

from greenlet import (  # type: ignore[import-untyped]  # it ships no types
    getcurrent,
    greenlet,
)

from worker.pool.interruption import TaskCancelled

T = TypeVar("T")


class Host(greenlet):  # type: ignore[misc]  # untyped base
    """A greenlet of synchronous code that may await. Created on the loop's thread, in a task."""

    def __init__(self, work: Callable[[], Any]) -> None:
        super().__init__()
        # The same context, not a copy: what the tracer's signals set is what the body reads.
        self.gr_context = getcurrent().gr_context
        self._work = work
        self.stepping = False
        self.verdict: BaseException | None = None
        self.abandoned = False

    @classmethod
    def current(cls) -> Self | None:
        """The host whose code is running right now, if any."""
        running = getcurrent()
        return running if isinstance(running, cls) else None

    def run(self) -> Any:
        """The greenlet's body."""
        return self._work()

    def wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine to its end from synchronous code in this host.

        Raises:
            TaskCancelled: The coroutine ended by a cancellation that nobody ordered.
            BaseException: The verdict of whoever ended it from outside, else its own error.
        """
        try:
            result = self._run_coroutine(coroutine)
        except BaseException as error:
            self._pass_verdict(error)
            if isinstance(error, asyncio.CancelledError) and not isinstance(error, Exception):
                raise TaskCancelled("The task body was cancelled from within.") from error
            raise
        self._pass_verdict(None)
        return result

    def _pass_verdict(self, cause: BaseException | None) -> None:
        """A verdict stands whatever the body made of its cancellation."""
        if self.verdict is not None:
            raise self.verdict from cause

    def _run_coroutine(self, coroutine: Coroutine[Any, Any, T]) -> T:
        resume: Callable[[], Any] = partial(coroutine.send, None)
        while True:
            outer, self.stepping = self.stepping, True
            try:
                future = resume()
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]  # StopIteration is untyped
            finally:
                self.stepping = outer
            resume = self._await(coroutine, future)

    def _await(self, coroutine: Coroutine[Any, Any, Any], future: Any) -> Callable[[], Any]:
        """Sleeps until the future is done; the step with which the coroutine goes on."""
        try:
            value = self.parent.switch(future)
        except BaseException as error:
            if self.abandoned:
                _close(coroutine)
                raise
            return partial(coroutine.throw, error)
        return partial(coroutine.send, value)


def _close(coroutine: Coroutine[Any, Any, Any]) -> None:
    with contextlib.suppress(RuntimeError):  # it awaits even in its last rites: leave it there
        coroutine.close()


class HostedCall:
    """One synchronous call that runs in a host, and the means to interrupt what it awaits.

    All methods must be called on the loop's thread.

    Args:
        work: The call. It may await through `Host.current().wait(…)`.
        grace: Seconds that a killed body has for its clean-up before it is abandoned.
    """

    def __init__(self, work: Callable[[], Any], *, grace: float = 5.0) -> None:
        self._work = work
        self._grace = grace
        self._host: Host | None = None
        self._task: asyncio.Task[None] | None = None
        self._pending: BaseException | None = None
        self._verdict: BaseException | None = None

    def start(self, on_end: Callable[[Callable[[], Any]], None]) -> None:
        """Starts the call; `on_end` receives a function that returns or raises its outcome."""
        self._task = asyncio.get_running_loop().create_task(self._drive(on_end))

    def interrupt(self, error: BaseException) -> None:
        """Throws an error into the body at its current await. Without effect at the end."""
        if self._task is not None and not self._task.done():
            self._pending = error
            if self._host is not None:
                self._task.cancel()

    def kill(self, verdict: BaseException) -> None:
        """Cancels the body; the call ends with the verdict. A body that goes on is abandoned."""
        if self._verdict is not None:
            return
        self._verdict = verdict
        if self._host is not None:
            self._host.verdict = verdict
        self.interrupt(asyncio.CancelledError())
        asyncio.get_running_loop().call_later(self._grace, self._abandon)

    def _abandon(self) -> None:
        if self._host is not None and self._task is not None and not self._task.done():
            self._host.abandoned = True
            self.interrupt(asyncio.CancelledError())

    async def _drive(self, on_end: Callable[[Callable[[], Any]], None]) -> None:
        try:
            _raise_if(self._verdict)  # killed before it began
            value = await _Steps(self)
        except BaseException as error:  # noqa: BLE001  # it is handed over whole, never lost
            on_end(partial(_raise, error))
        else:
            on_end(lambda: value)

    def steps(self) -> Generator[Any, Any, Any]:
        """The futures that the call awaits, for the driving task."""
        host = self._host = Host(self._work)
        if self._pending is not None:
            asyncio.current_task().cancel()  # type: ignore[union-attr]  # driven by a task
        waiting_for = host.switch()
        while not host.dead:
            try:
                value = yield waiting_for
            except BaseException as error:  # noqa: BLE001  # it belongs to the host
                waiting_for = host.throw(self._taken() or error)
            else:
                interruption = self._taken()
                waiting_for = host.throw(interruption) if interruption else host.switch(value)
        return waiting_for

    def _taken(self) -> BaseException | None:
        """The pending interruption, once. It came as a cancellation, which is thereby used up."""
        error, self._pending = self._pending, None
        if error is not None and isinstance(error, Exception):
            asyncio.current_task().uncancel()  # type: ignore[union-attr]  # driven by a task
        return error


class _Steps:
    """Makes a hosted call awaitable."""

    def __init__(self, call: HostedCall) -> None:
        self._call = call

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._call.steps()


def _raise(error: BaseException) -> None:
    raise error


def _raise_if(error: BaseException | None) -> None:
    if error is not None:
        raise error
