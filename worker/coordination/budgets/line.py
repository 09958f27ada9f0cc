"""One line to Redis: what one loop turn asks of the budgets travels in one pipeline, in order."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError

from envelope.errors import QueueUnavailable
from worker.coordination.connection import Presence, connection

_SCRIPT = Path(__file__).with_name("budget.lua").read_text("utf-8")
_AGAIN_SECONDS = 0.25

Answer = Sequence[str]


@dataclass(slots=True, eq=False)
class _Act:
    keys: Sequence[str]
    arguments: Sequence[str | float]
    told: asyncio.Future[Answer]


class RedisLine:
    """Runs `budget.lua`. Whatever Redis does not answer is asked again until it does.

    Args:
        url: Address of Redis.
        log: A structured logger.
    """

    def __init__(self, url: str, log: Any) -> None:
        self._url = url
        self._presence = Presence(log, "budgets")
        self._redis: Redis | None = None
        self._sha = ""
        self._pending: list[_Act] = []
        self._sending: asyncio.Task[None] | None = None

    def ask(self, keys: Sequence[str], arguments: Sequence[str | float]) -> asyncio.Future[Answer]:
        """Run the script with the next batch; the future gets its answer."""
        told: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._pending.append(_Act(keys, arguments, told))
        if self._sending is None or self._sending.done():
            self._sending = asyncio.ensure_future(self._send())
        return told

    async def close(self) -> None:
        """Stop asking, refuse what is not answered yet, and let go of the connection."""
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.wait({self._sending})
        for act in self._pending:
            if not act.told.done():
                act.told.set_exception(
                    QueueUnavailable("The budgets of this process are closed: it is ending.")
                )
        if self._redis is not None:
            await self._redis.aclose()

    async def _send(self) -> None:
        while self._pending:
            try:
                await self._run(list(self._pending))
            except (RedisError, OSError) as error:
                self._presence.away(error)
                await asyncio.sleep(_AGAIN_SECONDS)
            else:
                self._presence.back()
            self._pending = [act for act in self._pending if not act.told.done()]

    async def _run(self, batch: Sequence[_Act]) -> None:
        """Run a batch; what the server does not answer, as it does not know the script, stays.

        Raises:
            RedisError: Redis is away or refuses to run the script now.
        """
        redis = self._connection()
        if not self._sha:
            self._sha = await redis.script_load(_SCRIPT)
        async with redis.pipeline(transaction=False) as pipeline:
            for act in batch:
                pipeline.evalsha(self._sha, len(act.keys), *act.keys, *act.arguments)
            answers = await pipeline.execute(raise_on_error=False)
        for act, answer in zip(batch, answers, strict=True):
            if isinstance(answer, NoScriptError):
                self._sha = ""
            elif isinstance(answer, Exception):
                raise answer
            elif not act.told.done():
                act.told.set_result(answer)

    def _connection(self) -> Redis:
        if self._redis is None:
            self._redis = connection(self._url)
        return self._redis
