"""Async task bodies outside a worker: called directly, eagerly, from threads."""

import asyncio
import threading
from typing import Any

import pytest

from worker.app import MusterCelery, configure, register
from worker.pool.process_loop import process_loop


@pytest.fixture
def app() -> MusterCelery:
    made = MusterCelery("unit", set_as_current=False)
    configure(made, "redis://127.0.0.1:1/0")
    return made


async def double(number: int) -> int:
    await asyncio.sleep(0)
    return 2 * number


async def where() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


def _thread() -> str:
    return threading.current_thread().name


async def fail() -> None:
    await asyncio.sleep(0)
    raise LookupError("nothing there")


def test_a_direct_call_blocks_and_runs_on_the_process_loop(app: MusterCelery) -> None:
    assert register(app, "double", double)(21) == 42
    assert register(app, "where", where)() is process_loop()


def test_a_direct_call_raises_what_the_body_raises(app: MusterCelery) -> None:
    with pytest.raises(LookupError, match="nothing there"):
        register(app, "fail", fail)()


def test_within_a_running_loop_a_task_is_awaited(app: MusterCelery) -> None:
    task = register(app, "where", where)

    async def caller() -> bool:
        awaitable: Any = task()
        return (await awaitable) is asyncio.get_running_loop()

    assert asyncio.run(caller())


def test_eager_execution_returns_the_result(app: MusterCelery) -> None:
    assert register(app, "double", double).apply(args=(4,)).get() == 8


def test_eager_execution_inside_a_running_loop_says_what_to_do(app: MusterCelery) -> None:
    task = register(app, "double", double)

    async def caller() -> str:
        return repr(task.apply(args=(4,)).result)

    assert "await the task itself" in asyncio.run(caller())


def test_a_bound_body_sees_its_request_in_what_it_starts(app: MusterCelery) -> None:
    async def look(self: Any) -> tuple[str, str]:
        async def child() -> str:
            await asyncio.sleep(0)
            return str(self.request.id)

        return str(self.request.id), await asyncio.create_task(child())

    result = register(app, "look", look, bind=True).apply(task_id="the-id")
    assert result.get() == ("the-id", "the-id")


def test_a_plain_body_stays_plain(app: MusterCelery) -> None:
    decorate: Any = app.task(name="plain", lazy=False, shared=False)
    task = decorate(_thread)
    assert task.is_async is False
    assert task() == threading.current_thread().name


def test_the_process_loop_survives_a_background_task_that_asks_to_exit() -> None:
    loop = process_loop()

    async def leave() -> None:
        raise SystemExit(3)

    async def alive() -> str:
        return "alive"

    loop.call_soon_threadsafe(lambda: loop.create_task(leave()))
    assert asyncio.run_coroutine_threadsafe(alive(), loop).result(10) == "alive"
    assert process_loop() is loop
