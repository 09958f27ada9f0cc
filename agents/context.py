"""The context of one attempt of a step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from envelope.metering import Meter
from envelope.ports.context import Log
from envelope.resources import Resources

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class StepContext:
    """What an agent sees (an `AgentContext`), made by whoever executes the step."""

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

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt of this step."""
        return f"{self.run_id}:{self.step}"

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
