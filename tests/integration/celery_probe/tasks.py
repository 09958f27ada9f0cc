"""Probe tasks: each does one thing that a worker test looks for."""

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

from celery import current_task
from celery.exceptions import Reject
from kombu.asynchronous import get_event_loop

from tests.integration.celery_probe.app import app
from tests.integration.celery_probe.trace import client, leave
from worker.app import register
from worker.pool.interruption import SoftTimeLimitExceeded
from worker.pool.process_loop import process_loop


async def add(a: int, b: int) -> int:
    await asyncio.sleep(0.01)
    leave("added", sum=a + b, on_process_loop=asyncio.get_running_loop() is process_loop())
    return a + b


async def nap(seconds: float, mark: str = "nap") -> None:
    client.hincrby("naps", "running", 1)
    client.hset("naps", "most", max(_count("most"), _count("running")))
    try:
        await asyncio.sleep(seconds)
    finally:
        client.hincrby("naps", "running", -1)
    client.rpush("napped", mark)


async def wait_a_second() -> None:
    await asyncio.sleep(1)
    client.incr("waited")


def _count(field: str) -> int:
    return int(client.hget("naps", field) or 0)


async def tick() -> None:
    """Nothing: what remains is the price of a message."""


async def fail() -> None:
    await asyncio.sleep(0)
    raise ValueError("the body failed")


async def retry_by_hand(self: Any) -> int:
    await asyncio.sleep(0)
    leave("attempt", retries=self.request.retries)
    if self.request.retries < 2:
        raise self.retry(countdown=0, max_retries=3)
    return int(self.request.retries)


async def retry_by_itself(self: Any) -> None:
    await asyncio.sleep(0)
    leave("attempt", retries=self.request.retries)
    if self.request.retries < 2:
        raise ConnectionError("not yet")


async def look_at_request(self: Any) -> None:
    before = self.request.id
    await asyncio.sleep(0.01)

    async def child() -> str | None:
        await asyncio.sleep(0)
        return str(self.request.id)

    (in_child,) = await asyncio.gather(child())
    leave(
        "request",
        before=before,
        after=self.request.id,
        child=in_child,
        current=current_task.name,
        queue=self.request.delivery_info["routing_key"],
    )


async def start_child(self: Any) -> None:
    await asyncio.sleep(0)
    app.tasks["probe.look_at_parent"].delay()
    leave("parent", id=self.request.id)


async def look_at_parent(self: Any) -> None:
    leave("child", parent=self.request.parent_id)


async def hang(mark: str = "hang") -> None:
    client.rpush("hanging", mark)
    try:
        await asyncio.sleep(600)
    except asyncio.CancelledError:
        client.rpush("cancelled", mark)
        raise


async def hang_and_refuse_to_end() -> None:
    client.rpush("hanging", "stubborn")
    while True:
        with contextlib.suppress(BaseException):
            await asyncio.sleep(600)


async def catch_soft_limit() -> str:
    try:
        await asyncio.sleep(600)
    except SoftTimeLimitExceeded:
        leave("soft limit caught")
        return "cleaned up"
    return "never"


async def soft_limit_in_a_group() -> None:
    async def member() -> None:
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            leave("member cancelled")
            raise

    async with asyncio.TaskGroup() as group:
        group.create_task(member())


async def exit_process() -> None:
    await asyncio.sleep(0)
    raise SystemExit(3)


async def reject() -> None:
    await asyncio.sleep(0)
    raise Reject("no", requeue=False)


async def drained(self: Any) -> None:
    """Works in small steps, and puts itself back when the worker stops."""
    client.rpush("hanging", "drained")
    for _ in range(600):
        await asyncio.sleep(0.1)
        if app.drain.announced:
            leave("stopped at a step", task=self.request.id)
            return


async def break_the_consumer() -> None:
    """Make Celery's hub meet an error that nobody expects."""
    await asyncio.sleep(0)
    get_event_loop().call_soon(_break)


def _break() -> None:
    raise RuntimeError("the consumer is broken")


@app.drain.on_drain
async def _note_drain(how: str) -> None:
    leave("drain", how=how, on_process_loop=asyncio.get_running_loop() is process_loop())


def plain(seconds: float) -> str:
    time.sleep(seconds)
    leave("plain", thread=threading.current_thread().name, pid=os.getpid())
    return "done"


BODIES: list[Callable[..., Coroutine[Any, Any, Any]]] = [
    *(add, tick, nap, wait_a_second, fail, hang, hang_and_refuse_to_end),
    *(catch_soft_limit, soft_limit_in_a_group, exit_process, reject, break_the_consumer),
]
for body in BODIES:
    register(app, f"probe.{body.__name__}", body)
for bound in (retry_by_hand, look_at_request, start_child, look_at_parent, drained):
    register(app, f"probe.{bound.__name__}", bound, bind=True)
register(
    app,
    "probe.retry_by_itself",
    retry_by_itself,
    bind=True,
    autoretry_for=(ConnectionError,),
    retry_backoff=False,
    default_retry_delay=0,
)
register(app, "agent.copywriter", add)
register(app, "agent.rag", nap)
register(app, "run.lead", wait_a_second)
register(app, "probe.nap_acked_early", nap, acks_late=False)
register(app, "probe.hang_requeued_at_its_limit", hang, acks_on_timeout=False)
app.task(name="probe.plain")(plain)
