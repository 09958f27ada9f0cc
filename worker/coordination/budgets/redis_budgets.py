"""Budgets for the whole cluster. Keys: see `budget.lua`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Collection
from typing import Any
from urllib.parse import quote

from envelope.errors import Unavailable
from envelope.ports.budgets import RESERVED_SECONDS, Amount, BudgetLimit, Spent
from worker.coordination.budgets.calls import SETTLED_SECONDS, Remembered
from worker.coordination.budgets.checking import sensible
from worker.coordination.budgets.line import Answer, RedisLine
from worker.coordination.budgets.refusal import budget_exceeded
from worker.coordination.budgets.spending import Spending

_CLOSING_SECONDS = 2.0
_AGAIN_SECONDS = 1.0

Words = tuple[str | float, ...]


class RedisBudgets:
    """Budgets that count for everybody who uses this Redis. Belongs to one event loop.

    The journal knows what committed steps have used; Redis adds what is under way. Should Redis
    forget, the budget is set up from the journal again, and each process adds its own calls that
    the journal does not know yet.

    Args:
        url: Address of Redis.
        spent: What the journal knows to be spent.
        log: A structured logger.
    """

    def __init__(self, url: str, spent: Spent, log: Any) -> None:
        self._line = RedisLine(url, log)
        self._spending = Spending(spent)
        self._own = Remembered()
        self._log = log
        self._settling: set[asyncio.Task[None]] = set()

    async def reserve(
        self,
        limit: BudgetLimit,
        call: str,
        estimate: Amount,
        *,
        seconds: float = RESERVED_SECONDS,
    ) -> None:
        """Set `estimate` aside for a call; see `Budgets.reserve`.

        Raises:
            BudgetExceeded: It does not fit any more.
            JournalUnavailable: Nothing was known of the budget, and the journal is away.
        """
        wanted = sensible(estimate)
        words = ("reserve", call, wanted.tokens, wanted.usd, seconds, *_limits(limit))
        try:
            answer = await self._done(limit.root_id, words, self._ask(limit.root_id, words))
        except asyncio.CancelledError:
            await self.settle(limit, call, Amount())
            raise
        word, _, tokens, usd, reserved_tokens, reserved_usd = answer
        if word == "over":
            raise budget_exceeded(
                limit,
                used=Amount(tokens=int(float(tokens)), usd=float(usd)),
                reserved=Amount(tokens=int(float(reserved_tokens)), usd=float(reserved_usd)),
                wanted=wanted,
            )
        self._own.note(limit.root_id, call, wanted, settled=False, seconds=seconds)

    async def settle(self, limit: BudgetLimit, call: str, used: Amount) -> None:
        """Put what was used in the place of the estimate; see `Budgets.settle`."""
        really = sensible(used)
        words = ("settle", call, really.tokens, really.usd, RESERVED_SECONDS, *_limits(limit))
        asked = self._ask(limit.root_id, words)
        if really == Amount():
            self._own.forget(limit.root_id, [call])
        else:
            self._own.note(limit.root_id, call, really, settled=True, seconds=SETTLED_SECONDS)
        settling = asyncio.ensure_future(self._settled(limit.root_id, words, asked))
        self._settling.add(settling)
        settling.add_done_callback(self._settling.discard)

    def committed(self, limit: BudgetLimit, calls: Collection[str]) -> None:
        """Forget settled calls: the journal counts them from now on."""
        self._own.forget(limit.root_id, calls)

    async def close(self) -> None:
        """Send what is pending, if that is quick, and let go of connections."""
        if self._settling:
            await asyncio.wait(self._settling, timeout=_CLOSING_SECONDS)
        for settling in list(self._settling):
            settling.cancel()
            await asyncio.wait({settling})
        await self._line.close()

    async def _settled(self, root_id: str, words: Words, asked: Awaitable[Answer]) -> None:
        while True:
            try:
                await self._done(root_id, words, asked)
            except Unavailable as error:
                self._log.warning("budgets.unsettled", run=root_id, error=type(error).__name__)
                await asyncio.sleep(_AGAIN_SECONDS)
                asked = self._ask(root_id, words)
            else:
                return

    async def _done(self, root_id: str, words: Words, asked: Awaitable[Answer]) -> Answer:
        """Wait for an act to be done, telling Redis what it does not know."""
        answer = await asked
        while answer[0] in {"new", "forgotten"}:
            spent = await self._spending.of(root_id) if answer[0] == "new" else ("", "")
            answer = await self._ask(root_id, words, spent, remembering=True)
        self._own.of(root_id).born = answer[1]
        return answer

    def _ask(
        self,
        root_id: str,
        words: Words,
        spent: tuple[str | float, str | float] = ("", ""),
        *,
        remembering: bool = False,
    ) -> asyncio.Future[Answer]:
        own = self._own.of(root_id)
        told = ("1", *own.words()) if remembering else ("",)
        return self._line.ask(_keys(root_id), (own.born, *spent, *words, *told))


def _keys(root_id: str) -> tuple[str, str]:
    key = f"muster:budget:{quote(root_id, safe='')}"
    return key, f"{key}:calls"


def _limits(limit: BudgetLimit) -> tuple[str | float, str | float]:
    return (
        "" if limit.tokens is None else limit.tokens,
        "" if limit.usd is None else limit.usd,
    )
