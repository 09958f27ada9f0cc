"""The task class whose `run` may be `async def`."""

import asyncio
import contextlib
import inspect
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from functools import wraps
from typing import Any

from celery import Task

from worker.pool.bridge import run_blocking
from worker.pool.host import Host
from worker.pool.interruption import TaskExit

_running: ContextVar[tuple[str, Any] | None] = ContextVar("muster_celery_request", default=None)


class AsyncTask(Task):  # type: ignore[type-arg]  # generic in the stubs only
    """A Celery task whose body may be a coroutine function.

    The body is Celery's in every respect: `self.request`, `self.retry()`, `autoretry_for`,
    `Reject`, `Ignore`, time limits and signals work inside it, under each pool. `self.request` is
    also visible in asyncio tasks that the body starts. Called directly, `await task(x)` runs the
    body in the caller's loop; without a running loop `task(x)` blocks until it is done.

    Example:
        >>> @app.task(bind=True, acks_late=True)
        ... async def fetch(self, url: str) -> int:
        ...     return len(await client.get(url))
    """

    abstract = True

    #: Whether the body is a coroutine function. The asyncio pool runs others in threads.
    is_async = False

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        body = inspect.getattr_static(cls, "run")
        is_static = isinstance(body, staticmethod)
        function = body.__func__ if is_static else body
        if "run" in cls.__dict__ and inspect.iscoroutinefunction(function):
            cls.is_async = True
            setattr(cls, "run", _called_like_a_function(function, is_static=is_static))  # noqa: B010  # mypy forbids to assign a method

    def _get_request(self) -> Any:
        """The request of the execution that this code belongs to."""
        if not self.request_stack:
            running = _running.get()
            if running is not None and running[0] == self.name:
                return running[1]
        return super()._get_request()  # type: ignore[misc]  # absent from the stubs

    request = property(_get_request)

    def run_coroutine(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Runs the body's coroutine in whatever way this process and caller allow."""
        host = Host.current()
        eager = bool(getattr(self.request_stack.top, "is_eager", False))
        if host is not None and (eager or not host.stepping):
            return self._in_host(host, coroutine)
        if not _in_running_loop():
            return run_blocking(self, self._with_request(coroutine))
        if eager:
            coroutine.close()
            raise RuntimeError(
                f"Task {self.name} cannot run eagerly inside a running event loop: "
                "await the task itself instead, as in `await task(…)`."
            )
        return coroutine

    def _in_host(self, host: Host, coroutine: Coroutine[Any, Any, Any]) -> Any:
        try:
            return host.wait(self._with_request(coroutine))
        except (SystemExit, KeyboardInterrupt) as error:
            raise TaskExit(f"The body of task {self.name} raised {error!r}.") from error

    async def _with_request(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        token = _running.set((self.name or "", self.request))
        try:
            return await coroutine
        finally:
            # A coroutine that nobody ends is closed by the garbage collector, in another context.
            with contextlib.suppress(ValueError):
                _running.reset(token)


def _called_like_a_function(
    body: Callable[..., Coroutine[Any, Any, Any]], *, is_static: bool
) -> Callable[..., Any]:
    @wraps(body)
    def run(self: AsyncTask, *args: Any, **kwargs: Any) -> Any:
        coroutine = body(*args, **kwargs) if is_static else body(self, *args, **kwargs)
        return self.run_coroutine(coroutine)

    return run


def _in_running_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
