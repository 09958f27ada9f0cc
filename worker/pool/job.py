"""One message that the pool executes, from its acceptance to its outcome."""

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any

from billiard.einfo import ExceptionInfo
from billiard.exceptions import Terminated, TimeLimitExceeded, WorkerLostError

from worker.pool.host import HostedCall
from worker.pool.interruption import SoftTimeLimitExceeded
from worker.pool.process_loop import process_loop

Settlement = Callable[[], None]
Tell = Callable[[Settlement], None]


class Job(ABC):
    """A call of Celery's tracer, with the callbacks by which Celery follows it.

    Celery holds a job weakly and calls `terminate` on it. `pid` is what the job goes by in
    `celery inspect` and what `revoke(terminate=True)` finds it by: a number of its own, since all
    jobs share a process.

    Args:
        pid: Unique within the pool.
        call: The tracer's call.
        callbacks: `callback`, `error_callback`, `accept_callback`, `timeout_callback` as Celery
            passes them to a pool.
        soft_timeout: Seconds until `SoftTimeLimitExceeded`; None for no limit.
        timeout: Seconds until the job is ended as `TimeLimitExceeded`; None for no limit.
    """

    def __init__(
        self,
        pid: int,
        call: Callable[[], Any],
        callbacks: dict[str, Callable[..., Any]],
        *,
        soft_timeout: float | None,
        timeout: float | None,
        terminate: Callable[["Job"], None],
    ) -> None:
        self.pid = pid
        self.call = call
        self.callbacks = callbacks
        self.soft_timeout = soft_timeout
        self.timeout = timeout
        self.terminated = False
        self._terminate = terminate
        self._timers: list[asyncio.TimerHandle] = []

    @property
    @abstractmethod
    def can_be_ended(self) -> bool:
        """Whether a terminated job ends by itself soon."""

    @abstractmethod
    def launch(self, tell: Tell, settle: Tell) -> None:
        """Starts the job.

        Args:
            tell: Receives, on any thread, what Celery is to be told meanwhile.
            settle: Receives, on any thread and once, what Celery is to be told of the outcome.
        """

    @abstractmethod
    def end(self) -> None:
        """Ends a running job from outside, as far as that is possible."""

    def terminate(self, signal: Any = None) -> None:  # noqa: ARG002  # Celery's signature
        """Celery's request to end the job, running or not. May be repeated."""
        self._terminate(self)

    def start_clocks(
        self, on_soft: Callable[[float], None], on_hard: Callable[[float], None]
    ) -> None:
        """Starts the time limits. On the loop's thread."""
        later = asyncio.get_running_loop().call_later
        if self.soft_timeout:
            self._timers.append(later(self.soft_timeout, on_soft, self.soft_timeout))
        if self.timeout:
            self._timers.append(later(self.timeout, on_hard, self.timeout))

    def stop_clocks(self) -> None:
        """Stops the time limits. On the loop's thread."""
        while self._timers:
            self._timers.pop().cancel()

    def outcome(self, result: Callable[[], Any]) -> Settlement:
        """What Celery is told of the result. Must run where the exception can be caught."""
        if self.terminated:
            return partial(self._failed, _info(Terminated("terminated")))
        try:
            value = result()
        except Exception:  # noqa: BLE001  # the tracer's own refusals, such as Reject
            return partial(self._failed, ExceptionInfo())
        except BaseException as error:  # noqa: BLE001  # SystemExit and the like
            return partial(self._failed, _info(WorkerLostError(repr(error))))
        return partial(self.callbacks["callback"], value)

    def _failed(self, info: ExceptionInfo) -> None:
        self.callbacks["error_callback"](info)


class LoopJob(Job):
    """A job whose body is a coroutine: it runs on the process's loop."""

    can_be_ended = True

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._hosted = HostedCall(self.call)

    def launch(self, tell: Tell, settle: Tell) -> None:
        """Starts the tracer in a greenlet on the loop."""
        self._tell, self._settle = tell, settle
        process_loop().call_soon_threadsafe(self._begin)

    def end(self) -> None:
        """Cancels the body."""
        process_loop().call_soon_threadsafe(self._hosted.kill, asyncio.CancelledError("revoked"))

    def _begin(self) -> None:
        self._hosted.start(self._ended)
        self.start_clocks(self._on_soft_limit, self._on_hard_limit)

    def _on_soft_limit(self, seconds: float) -> None:
        self._hosted.interrupt(SoftTimeLimitExceeded(seconds))
        self._tell(partial(self.callbacks["timeout_callback"], True, seconds))

    def _on_hard_limit(self, seconds: float) -> None:
        # Through the tracer, which records the failure and lets Celery acknowledge by its rules.
        self._hosted.kill(TimeLimitExceeded(seconds))

    def _ended(self, result: Callable[[], Any]) -> None:
        self.stop_clocks()
        self._settle(self.outcome(result))


class ThreadJob(Job):
    """A job whose body is a plain function: it runs in a thread, so as not to block the loop.

    A thread cannot be ended from outside. At the hard limit Celery records the failure, and the
    thread keeps its slot until its body returns.
    """

    can_be_ended = False

    def launch(self, tell: Tell, settle: Tell) -> None:
        """Starts the tracer in a daemon thread: one that hangs cannot hold up the exit."""
        self._tell, self._settle = tell, settle
        self._given_up = False
        if self.soft_timeout or self.timeout:
            process_loop().call_soon_threadsafe(
                self.start_clocks, self._on_soft_limit, self._on_hard_limit
            )
        threading.Thread(target=self._run, name=f"muster-task-{self.pid}", daemon=True).start()

    def end(self) -> None:
        """Nothing can be done to a thread; its outcome will be ignored."""

    def _run(self) -> None:
        try:
            value = self.call()
        except BaseException as error:  # noqa: BLE001  # it is handed over whole, never lost
            settlement = self.outcome(partial(_raise, error))
        else:
            settlement = self.outcome(lambda: value)
        if self.soft_timeout or self.timeout:
            process_loop().call_soon_threadsafe(self.stop_clocks)
        self._settle(_nothing if self._given_up else settlement)

    def _on_soft_limit(self, seconds: float) -> None:
        self._tell(partial(self.callbacks["timeout_callback"], True, seconds))

    def _on_hard_limit(self, seconds: float) -> None:
        self._given_up = True
        self._tell(partial(self.callbacks["timeout_callback"], False, seconds))


def _info(error: BaseException) -> ExceptionInfo:
    try:
        raise error  # noqa: TRY301  # Celery's record of an error wants a traceback
    except BaseException:  # noqa: BLE001  # as above
        return ExceptionInfo()


def _nothing() -> None:
    """Celery was told already."""


def _raise(error: BaseException) -> None:
    raise error
