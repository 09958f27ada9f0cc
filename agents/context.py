"""The context of one attempt of a step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from envelope.effect import Effect, Gated, Missing, Send, Sent
from envelope.metering import Meter
from envelope.ports.context import Log
from envelope.ports.effects import EffectOrigin, Effects
from envelope.resources import Resources

T = TypeVar("T")

_NO_EFFECTS = Missing(rule="settings", message="Nothing here performs effects.")


@dataclass(frozen=True, slots=True, kw_only=True)
class StepContext:
    """What an agent sees (an `AgentContext`), made by whoever executes the step.

    Attributes:
        effects: Performs the step's effects; None where nothing does.
        origin_id: The first run of a chain of repetitions; None where the run repeats none.
        epoch: The run's fencing number, where its own process executes the step.
        executor: The process that claimed the step, where it came from the agent's queue.
        claimed: The attempt for which that process claimed it.
    """

    run_id: str
    step: str
    agent: str
    attempt: int
    tenant: str
    user: str | None
    thread: str | None
    allow_delivery: bool
    trace_id: str | None
    log: Log
    resources: Resources
    emitter: Callable[[str, dict[str, Any]], None]
    streamer: Callable[[str], None] | None = None
    meter: Meter | None = None
    effects: Effects | None = None
    origin_id: str | None = None
    epoch: int | None = None
    executor: str | None = None
    claimed: int | None = None

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt of this step, also in runs that repeat this one."""
        return f"{self.origin_id or self.run_id}:{self.step}"

    async def effect(self, effect: Effect, send: Send) -> Sent:
        """Act on the outside world, at most once per key; see `AgentContext.effect`."""
        if self.effects is None:
            raise Gated([_NO_EFFECTS])
        return await self.effects.perform(self._origin(), effect, send)

    def _origin(self) -> EffectOrigin:
        return EffectOrigin(
            run_id=self.run_id,
            step=self.step,
            attempt=self.attempt,
            agent=self.agent,
            tenant=self.tenant,
            user=self.user,
            allow_delivery=self.allow_delivery,
            idempotency_key=self.idempotency_key,
            epoch=self.epoch,
            executor=self.executor,
            claimed=self.claimed,
        )

    def resource(self, kind: type[T]) -> T:
        """Return what is provided under `kind`; raises NotRegistered with what there is."""
        return self.resources.get(kind)

    def emit(self, event: str, **data: Any) -> None:
        """Append a progress event to the run."""
        self.emitter(event, data)

    def stream(self, text: str) -> None:
        """Show a piece of text to whoever watches now; it may be lost."""
        if self.streamer is not None:
            self.streamer(text)
