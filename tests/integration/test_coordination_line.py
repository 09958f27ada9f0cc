"""A line to a real Redis: answers in order, whatever happens to a call."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from tests.conformance import permits_redis
from worker.coordination.connection import Line

redis = permits_redis.emptied


def run(url: str, case: Callable[[Line], Awaitable[None]], **options: Any) -> None:
    async def within() -> None:
        line = Line(url, **options)
        try:
            await case(line)
        finally:
            await line.close()

    asyncio.run(within())


def test_answers_come_in_the_order_of_the_commands(redis_url: str, redis: Any) -> None:
    async def case(line: Line) -> None:
        assert await line.ask(("SET", "a", 1), ("GET", "a"), ("GET", "b")) == ["OK", "1", None]
        answers = await asyncio.gather(*(line.ask(("ECHO", number)) for number in range(20)))
        assert answers == [[str(number)] for number in range(20)]

    run(redis_url, case)


def test_a_refused_command_leaves_the_others_and_the_line_alone(redis_url: str, redis: Any) -> None:
    async def case(line: Line) -> None:
        before = await line.ask(("CLIENT", "ID"))
        with pytest.raises(ResponseError):
            await line.ask(("SET", "a", 1), ("HGET", "a", "b"), ("SET", "c", 2))
        assert await line.ask(("MGET", "a", "c")) == [["1", "2"]]
        assert await line.ask(("CLIENT", "ID")) == before

    run(redis_url, case)


def test_a_connection_that_died_at_rest_is_replaced_before_anything_is_sent(
    redis_url: str, redis: Any
) -> None:
    async def case(line: Line) -> None:
        (number,) = await line.ask(("CLIENT", "ID"))
        await asyncio.to_thread(redis.client_kill_filter, _id=number)
        while not await line._connection.can_read():
            await asyncio.sleep(0.01)  # its end arrives
        (other,) = await line.ask(("CLIENT", "ID"))
        assert other != number

    run(redis_url, case)


def test_a_call_that_is_given_up_takes_its_answer_along(redis_url: str, redis: Any) -> None:
    async def case(line: Line) -> None:
        call = asyncio.create_task(line.ask(("BLPOP", "never", 0)))
        while not redis.info("clients")["blocked_clients"]:
            await asyncio.sleep(0.01)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert await line.ask(("ECHO", "mine")) == ["mine"]

    run(redis_url, case)


def test_an_answer_that_does_not_come_in_time_is_an_error(redis_url: str, redis: Any) -> None:
    async def case(line: Line) -> None:
        with pytest.raises(TimeoutError):
            await line.ask(("BLPOP", "never", 0))
        assert await line.ask(("ECHO", "mine")) == ["mine"]

    run(redis_url, case, seconds=0.1)


def test_a_connection_that_is_cut_in_a_call_is_an_error_and_nothing_is_repeated(
    redis_url: str, redis: Any
) -> None:
    async def case(line: Line) -> None:
        (number,) = await line.ask(("CLIENT", "ID"))
        call = asyncio.create_task(line.ask(("INCR", "count"), ("BLPOP", "never", 0)))
        while not redis.exists("count"):
            await asyncio.sleep(0.01)
        redis.client_kill_filter(_id=number)
        with pytest.raises(RedisConnectionError):
            await call
        assert await line.ask(("GET", "count")) == ["1"]

    run(redis_url, case)
