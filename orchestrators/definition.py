"""What a flow is: a coroutine function from a validated payload to an envelope."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel

from envelope.envelope import Envelope

if TYPE_CHECKING:
    from orchestrators.flow.node import Node

FlowFunction = Callable[[Any, Any], Awaitable[Envelope]]
OnConflict = Literal["queue", "reject", "join", "replace"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowDefinition:
    """A registered flow.

    Attributes:
        name: Its stable name; its topic is `runs.<name>`.
        version: From 1; a run stays on the version that it started with.
        function: The user's orchestrator.
        model: The model of its payload.
        singleton: Template of the lock that a run holds, such as `run:{user}:{thread}`.
        on_conflict: What a run does when another holds that lock.
        drawing: What to show of a plain function, whose order only its code knows.
    """

    name: str
    version: int
    function: FlowFunction
    model: type[BaseModel]
    singleton: str | None
    on_conflict: OnConflict
    drawing: Node | None = None

    @property
    def where(self) -> str:
        """Module and name of the code."""
        return f"{self.function.__module__}.{self.function.__qualname__}"
