"""The limits of an account at a provider, kept by all workers together."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, Literal

from agents.llm.rate_headers import retry_after, used_up
from envelope.ports.rates import Rate, RateLimits, RateWant

Kind = Literal["requests", "tokens"]

_NO_LIMIT: Final = Rate(amount=1e6, seconds=1.0, burst=1e6)
"""Where nobody set one: calls still pass the bucket, so that a pause holds them."""
_LIMITED: Final = 429
_LONGEST_GUESS = 30.0
_FIRST_GUESS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountLimits:
    """What one account may ask for; everybody who names it shares it.

    Attributes:
        rates: Where it is counted. A model may be asked from several event loops: hand it limits
            that each of them may use (`worker.coordination.rates.loops.LoopRates`), or use the
            model on one loop only.
        name: The account's name.
        requests: Requests per time; None for no limit.
        tokens: Tokens per time, sent and received; None for no limit.
    """

    rates: RateLimits
    name: str = "default"
    requests: Rate | None = None
    tokens: Rate | None = None

    def key(self, kind: Kind) -> str:
        """Return the name of the bucket that counts `kind`."""
        return f"account:{self.name}:{kind}"

    def wants(self, tokens: int) -> tuple[RateWant, ...]:
        """Return what one call wants.

        A call larger than the bucket takes all of it; the rest is settled with the real usage.
        """
        one = RateWant(key=self.key("requests"), rate=self.requests or _NO_LIMIT)
        if self.tokens is None:
            return (one,)
        share = min(float(tokens), self.tokens.burst)
        return one, RateWant(key=self.key("tokens"), rate=self.tokens, amount=share)


class AccountCall:
    """One call on the account: what it used so far, as far as known.

    Attributes:
        requests: Requests made.
        tokens: Tokens used; None where nobody knows, so the estimate stays.
    """

    def __init__(self, account: Account) -> None:
        self._account = account
        self._began = time.monotonic()
        self.requests = 0
        self.tokens: int | None = 0

    def begin(self) -> None:
        """The request leaves now; whatever becomes of it may count at the provider."""
        self._began = time.monotonic()
        self.requests, self.tokens = 1, None

    def answered(self, tokens: int, headers: Mapping[str, str]) -> None:
        """The provider answered; one that tells no usage leaves the estimate as it is."""
        self.tokens = tokens or None
        self._account.heard(headers, began=self._began)

    def refused(self) -> None:
        """The provider answered with an error: no tokens were used."""
        self.tokens = 0

    def limited(self, status: int, headers: Mapping[str, str]) -> None:
        """The provider refused because of its load or of our limits: that concerns all workers."""
        self.refused()
        self._account.limited(status, headers, began=self._began)


class Account:
    """Lets calls through as the account's limits allow, and tells all workers of its refusals.

    Args:
        limits: The limits; None lets every call through.
    """

    def __init__(self, limits: AccountLimits | None) -> None:
        self._limits = limits
        self._guess = 0.0
        self._guessed_at = 0.0

    @asynccontextmanager
    async def call(self, tokens: int) -> AsyncIterator[AccountCall]:
        """Wait until a call of about so many tokens is allowed; settle it at the end."""
        call, limits = AccountCall(self), self._limits
        if limits is None:
            yield call
            return
        reservation = await limits.rates.reserve(limits.wants(tokens))
        try:
            yield call
        finally:
            used = {limits.key("requests"): float(call.requests)}
            if call.tokens is not None:
                used[limits.key("tokens")] = float(call.tokens)
            limits.rates.settle(reservation, used)

    def heard(self, headers: Mapping[str, str], *, began: float) -> None:
        """A call went well; nothing may remain all the same."""
        if began >= self._guessed_at:
            self._guess = 0.0
        self._pause(used_up(headers))

    def limited(self, status: int, headers: Mapping[str, str], *, began: float) -> None:
        """Pause the account as the provider asks, or for a guess where it only limits us.

        Args:
            status: HTTP status of the refusal.
            headers: Its headers.
            began: When the call began, by the monotonic clock.
        """
        asked = retry_after(headers)
        asked = used_up(headers) if asked is None else asked
        if asked is None and status == _LIMITED:
            asked = self._guessed(began)
        self._pause(asked)

    def _guessed(self, began: float) -> float | None:
        """It grows with each refusal of a call that came after the last one, not with its peers."""
        if began < self._guessed_at:
            return None
        self._guess = min(_LONGEST_GUESS, self._guess * 2 or _FIRST_GUESS)
        self._guessed_at = time.monotonic()
        return self._guess

    def _pause(self, seconds: float | None) -> None:
        """Every call wants all buckets, so all pause: those who wait keep their distances."""
        if seconds and self._limits is not None:
            for want in self._limits.wants(0):
                self._limits.rates.pause(want.key, seconds)
