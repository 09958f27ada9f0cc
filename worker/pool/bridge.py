"""Runs an `async def` task body under prefork, threads and solo: on the process's loop thread."""

import asyncio
import concurrent.futures
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, TypeVar

from celery import Task

# What current_task reads. Celery has no public setter.
from celery._state import _task_stack  # type: ignore[attr-defined]  # absent from the stubs

from worker.pool.host import Host, HostedCall
from worker.pool.interruption import SoftTimeLimitExceeded
from worker.pool.process_loop import process_loop

T = TypeVar("T")


def run_blocking(task: Task[Any, Any], coroutine: Coroutine[Any, Any, T]) -> T:
    """Runs the coroutine on the process's loop and blocks the calling thread until it ends.

    What is raised in the waiting thread meanwhile (prefork raises the soft time limit there) is
    thrown into the coroutine, whose answer to it decides.

    Raises:
        BaseException: Whatever the coroutine raises.
    """
    done: concurrent.futures.Future[T] = concurrent.futures.Future()
    call = HostedCall(partial(_in_host, task, task.request_stack.top, coroutine))
    loop = process_loop()
    loop.call_soon_threadsafe(call.start, partial(_settle, done))
    while True:
        try:
            return done.result()
        except BaseException as error:
            if done.done():
                raise
            loop.call_soon_threadsafe(call.interrupt, _as_interruption(error))
            if not isinstance(error, Exception):
                raise


def _as_interruption(error: BaseException) -> BaseException:
    if isinstance(error, SoftTimeLimitExceeded.__bases__[0]):
        return SoftTimeLimitExceeded(*error.args)
    return error if isinstance(error, Exception) else asyncio.CancelledError()


def _in_host(task: Task[Any, Any], request: Any, coroutine: Coroutine[Any, Any, T]) -> T:
    """Shows the body the request that the tracer pushed in its own thread."""
    host = Host.current()
    assert host is not None  # noqa: S101  # HostedCall runs nothing elsewhere
    _task_stack.push(task)
    task.request_stack.push(request)
    try:
        return host.wait(coroutine)
    finally:
        task.request_stack.pop()
        _task_stack.pop()


def _settle(done: concurrent.futures.Future[T], outcome: Callable[[], T]) -> None:
    try:
        value = outcome()
    except BaseException as error:  # noqa: BLE001  # it is raised again in the waiting thread
        done.set_exception(error)
    else:
        done.set_result(value)
