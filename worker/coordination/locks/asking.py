"""Asks Redis for locks: sends, waits in line, withdraws."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from envelope.errors import QueueUnavailable, Unavailable
from worker.coordination.locks.ask import Answer, Ask
from worker.coordination.locks.batch import Batch
from worker.coordination.locks.keys import ERA, FENCE, INDEX, keys_of
from worker.coordination.locks.line import Line
from worker.coordination.locks.scripts import Scripts

_WAITER_MS = 3_000
"""How long a waiter whose process is silent keeps its place."""

Alone = Callable[[], Awaitable[bool]]
"""Whether nobody else can hold a lock, because no other worker lives."""


class Asking:
    """The asks of one process; those of one loop turn travel in one call.

    Args:
        scripts: The scripts on Redis.
        line: Says when those who wait look again.
        grace_ms: How long a new era gives nothing out, in milliseconds.
        alone: Asked once, where the first ask of this process meets an era that is not open.
        log: A structured logger.
    """

    def __init__(
        self, scripts: Scripts, line: Line, grace_ms: int, alone: Alone | None, log: Any
    ) -> None:
        self._scripts = scripts
        self._line = line
        self._grace_ms = grace_ms
        self._alone = alone
        self._log = log
        self._fence = 0
        self._batch = Batch(self._send)
        self._opening = asyncio.Lock()
        self._opened_era = ""
        self._closed = False

    async def answer(self, ask: Ask) -> Answer:
        """Return the lock, or what was in the way when the time to wait was over.

        Raises:
            QueueUnavailable: Redis is away. Whoever waits already is patient with it.
        """
        wait = ask.request.wait
        if wait == 0:
            return await self._first(ask)
        ask.waits = True
        with self._line.standing(ask.id) as bell:
            answer = await self._first(ask)
            try:
                async with asyncio.timeout(wait):
                    while not answer.got:
                        self._line.watch()
                        await bell.wait()
                        bell.clear()
                        answer = await self._look(ask) or answer
            except TimeoutError:
                ask.waits = False
                return await self._ask(ask)
            return answer

    async def close(self) -> None:
        """Answer nobody any more."""
        self._closed = True
        await self._line.close()
        await self._batch.close()

    async def _first(self, ask: Ask) -> Answer:
        answer = await self._ask(ask)
        if answer.verdict == "opening" and await self._opens(answer.era):
            return await self._ask(ask)
        return answer

    async def _look(self, ask: Ask) -> Answer | None:
        try:
            return await self._ask(ask)
        except QueueUnavailable as error:
            self._log.debug("locks.look_failed", key=ask.request.key, error=str(error))
            return None

    async def _ask(self, ask: Ask) -> Answer:
        """Ask once. A caller that is cancelled leaves the reply to whoever withdraws the ask."""
        if self._closed:
            raise RuntimeError("These locks are closed.")
        ask.sent_at = time.monotonic()
        ask.reply = self._batch.put(ask)
        await asyncio.wait({ask.reply})
        answer = ask.reply.result()
        ask.ticket = answer.ticket
        return answer

    async def _opens(self, era: str) -> bool:
        """Whether this process, new to these locks and alone, has opened the era."""
        async with self._opening:
            if self._alone is not None:
                if await _holds_nothing_back(self._alone):
                    await self._scripts.run("open", [ERA], era)
                    self._opened_era = era
                self._alone = None
        return self._opened_era == era

    async def _send(self, batch: Sequence[Ask]) -> list[Answer]:
        keys = [INDEX, ERA, FENCE, *(key for ask in batch for key in keys_of(ask.name))]
        told = [part for ask in batch for part in ask.fields()]
        replies = await self._scripts.run(
            "ask", keys, self._grace_ms, self._fence, _WAITER_MS, *told
        )
        answers = [Answer.of(reply) for reply in replies]
        for answer in answers:
            self._learn(answer)
        return answers

    def _learn(self, answer: Answer) -> None:
        if answer.got:
            self._fence = max(self._fence, answer.fence)
        if answer.verdict != "opening":
            self._alone = None  # only a newcomer may ask


async def _holds_nothing_back(alone: Alone) -> bool:
    try:
        return await alone()
    except Unavailable:
        return False
