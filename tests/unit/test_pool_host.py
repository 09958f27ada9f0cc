"""Synchronous code that awaits: interruption, verdicts, abandonment."""

import asyncio
import contextlib
import contextvars
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import pytest

from worker.pool.host import Host, HostedCall
from worker.pool.interruption import SoftTimeLimitExceeded, TaskCancelled

Body = Callable[[], Coroutine[Any, Any, Any]]
Act = Callable[[HostedCall], None]


def hosted(body: Body, *acts: Act, grace: float = 5.0) -> Any:
    """Runs the body as a tracer would, acting on it from outside after each turn of the loop."""

    def tracer() -> Any:
        host = Host.current()
        assert host is not None
        return host.wait(body())

    async def main() -> Any:
        ended: asyncio.Future[Callable[[], Any]] = asyncio.get_running_loop().create_future()
        call = HostedCall(tracer, grace=grace)
        call.start(ended.set_result)
        for act in acts:
            await asyncio.sleep(0.01)
            act(call)
        return (await asyncio.wait_for(ended, 10))()

    return asyncio.run(main())


def soft(call: HostedCall) -> None:
    call.interrupt(SoftTimeLimitExceeded(1))


def kill(call: HostedCall) -> None:
    call.kill(TimeoutError("verdict"))


async def sleep_long() -> None:
    await asyncio.sleep(600)


def test_a_body_awaits_and_returns() -> None:
    async def body() -> int:
        await asyncio.sleep(0)
        return await asyncio.get_running_loop().run_in_executor(None, lambda: 42)

    assert hosted(body) == 42


def test_an_interruption_arrives_at_the_await_and_can_be_caught() -> None:
    async def body() -> str:
        try:
            await asyncio.sleep(600)
        except SoftTimeLimitExceeded as limit:
            await asyncio.sleep(0)
            return f"caught {limit.args[0]}"
        return "never"

    assert hosted(body, soft) == "caught 1"


def test_an_interruption_leaves_the_task_uncancelled() -> None:
    async def body() -> int:
        with contextlib.suppress(SoftTimeLimitExceeded):
            await asyncio.sleep(600)
        task = asyncio.current_task()
        assert task is not None
        return task.cancelling()

    assert hosted(body, soft) == 0


def test_an_interruption_cancels_the_children_of_a_group() -> None:
    ends: list[str] = []

    async def member() -> None:
        try:
            await asyncio.sleep(600)
        finally:
            ends.append("ended")

    async def body() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(member())
            group.create_task(member())

    with pytest.raises(SoftTimeLimitExceeded):
        hosted(body, soft)
    assert ends == ["ended", "ended"]


def test_a_killed_body_cleans_up_and_the_verdict_stands() -> None:
    steps: list[str] = []

    async def body() -> str:
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            steps.append("cleaned up")
        return "as if nothing had happened"

    with pytest.raises(TimeoutError, match="verdict"):
        hosted(body, kill)
    assert steps == ["cleaned up"]


def test_a_body_that_goes_on_after_its_kill_is_abandoned() -> None:
    async def body() -> None:
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(600)

    with pytest.raises(TimeoutError, match="verdict"):
        hosted(body, kill, grace=0.05)


def test_a_call_killed_before_it_begins_never_runs() -> None:
    ran: list[str] = []

    async def main() -> None:
        ended: asyncio.Future[Callable[[], Any]] = asyncio.get_running_loop().create_future()
        call = HostedCall(partial(ran.append, "ran"))
        call.kill(TimeoutError("verdict"))
        call.start(ended.set_result)
        (await ended)()

    with pytest.raises(TimeoutError, match="verdict"):
        asyncio.run(main())
    assert ran == []


def test_a_cancellation_from_within_is_an_error_that_a_tracer_records() -> None:
    async def body() -> None:
        child = asyncio.ensure_future(sleep_long())
        await asyncio.sleep(0)
        child.cancel()
        await child

    with pytest.raises(TaskCancelled):
        hosted(body)


def test_a_timeout_within_the_body_stays_a_timeout() -> None:
    async def body() -> None:
        async with asyncio.timeout(0.01):
            await asyncio.sleep(600)

    with pytest.raises(TimeoutError):
        hosted(body)


def test_the_body_shares_its_context_with_the_code_around_it() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")

    async def body() -> str:
        await asyncio.sleep(0)
        return variable.get()

    async def main() -> str:
        ended: asyncio.Future[Callable[[], Any]] = asyncio.get_running_loop().create_future()

        def tracer() -> Any:
            variable.set("set by the tracer")
            host = Host.current()
            assert host is not None
            return host.wait(body())

        HostedCall(tracer).start(ended.set_result)
        return str((await ended)())

    assert asyncio.run(main()) == "set by the tracer"


def test_many_hosts_take_turns() -> None:
    async def body(number: int) -> int:
        await asyncio.sleep(0.001 * (number % 7))
        return number

    def tracer(number: int) -> Any:
        host = Host.current()
        assert host is not None
        return host.wait(body(number))

    async def main() -> list[int]:
        loop = asyncio.get_running_loop()
        futures = [loop.create_future() for _ in range(500)]
        for number, future in enumerate(futures):
            HostedCall(partial(tracer, number)).start(future.set_result)
        return [outcome() for outcome in await asyncio.gather(*futures)]

    assert asyncio.run(main()) == list(range(500))
