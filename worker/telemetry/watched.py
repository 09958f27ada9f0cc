"""Ports with a watch on them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from envelope.effect import Effect, Gated, Send, Sent
from envelope.errors import EffectUnknown, NotSent, Refused
from envelope.ports.effects import EffectOrigin, Effects
from envelope.ports.permits import AgentPermits, PermitAsk, Permits
from envelope.ports.rates import BucketReport, RateLimits, RateWant, Reservation
from worker.telemetry.meters import Meters
from worker.telemetry.tracer import Tracer

_OUTCOMES: Sequence[tuple[type[BaseException], str]] = (
    (Gated, "gated"),
    (Refused, "refused"),
    (NotSent, "not_sent"),
    (EffectUnknown, "unknown"),
)


class WatchedEffects:
    """Effects that are counted and traced; implements `envelope.ports.effects.Effects`."""

    def __init__(self, effects: Effects, meters: Meters, tracer: Tracer) -> None:
        self._effects = effects
        self._meters = meters
        self._tracer = tracer

    async def perform(self, origin: EffectOrigin, effect: Effect, send: Send) -> Sent:
        """Perform it; errors as `AgentContext.effect`."""
        try:
            with self._tracer.effect(effect):
                sent = await self._effects.perform(origin, effect, send)
        except BaseException as error:
            self._meters.effect_ended(effect.channel, _outcome(error))
            raise
        self._meters.effect_ended(effect.channel, "sent_before" if sent.before else "sent")
        return sent


class WatchedPermits:
    """Permits whose waits are measured; implements `envelope.ports.permits.Permits`."""

    def __init__(self, permits: Permits, meters: Meters) -> None:
        self._permits = permits
        self._meters = meters

    async def acquire(self, ask: PermitAsk) -> None:
        """Wait for the permit."""
        begun = time.monotonic()
        await self._permits.acquire(ask)
        self._meters.permit_waited(ask.agent, time.monotonic() - begun)

    def release(self, agent: str, run_id: str, step: str) -> None:
        """Give it back."""
        self._permits.release(agent, run_id, step)

    def told(self, notice: str) -> None:
        """Take a notice."""
        self._permits.told(notice)

    async def look(self) -> None:
        """Do a round of care."""
        await self._permits.look()

    async def set_limits(self, limits: Mapping[str, int]) -> None:
        """Set the limits of run time."""
        await self._permits.set_limits(limits)

    async def report(self) -> Sequence[AgentPermits]:
        """Return who holds and waits."""
        return await self._permits.report()

    async def close(self) -> None:
        """Give everything back."""
        await self._permits.close()


class WatchedRates:
    """Rate limits whose waits are measured; implements `envelope.ports.rates.RateLimits`."""

    def __init__(self, rates: RateLimits, meters: Meters) -> None:
        self._rates = rates
        self._meters = meters

    async def reserve(self, wants: Sequence[RateWant]) -> Reservation:
        """Wait for the turn."""
        begun = time.monotonic()
        reservation = await self._rates.reserve(wants)
        self._meters.rate_waited((want.key for want in wants), time.monotonic() - begun)
        return reservation

    def settle(self, reservation: Reservation, used: Mapping[str, float]) -> None:
        """Correct an estimate."""
        self._rates.settle(reservation, used)

    def pause(self, key: str, seconds: float) -> None:
        """Let nobody through for so long."""
        self._rates.pause(key, seconds)

    async def report(self) -> Sequence[BucketReport]:
        """Return all buckets."""
        return await self._rates.report()

    async def close(self) -> None:
        """Let go of connections."""
        await self._rates.close()


def _outcome(error: BaseException) -> str:
    """A word for it; what nobody foresaw, and a cancellation, are `cut_off`."""
    return next((word for kind, word in _OUTCOMES if isinstance(error, kind)), "cut_off")
