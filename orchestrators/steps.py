"""What executes the steps of a flow: the engine's journal-backed runner, or the in-process one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from agents.definition import AgentDefinition
from envelope.approval import Approval, ApprovalRequest
from envelope.envelope import Envelope
from envelope.resources import Resources
from orchestrators.definition import FlowDefinition


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCall:
    """A step that a flow asks for.

    Attributes:
        slot: Its id within the run; the same at every replay.
        agent: The agent to run.
        request: The validated input as canonical JSON.
        request_sha256: Hash of that text, by which a replay recognises the step.
        inline: Whether it runs in this process.
    """

    slot: str
    agent: AgentDefinition
    request: str
    request_sha256: str
    inline: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildCall:
    """A child run that a flow asks for; `payload` is validated, canonical JSON."""

    slot: str
    flow: FlowDefinition
    payload: str
    payload_sha256: str
    tags: Mapping[str, str] = field(default_factory=dict)


class StepRunner(Protocol):
    """Executes or replays what a flow asks for."""

    @property
    def replaying(self) -> bool:
        """Whether recorded steps remain that the flow has not met again yet."""

    async def run(self, call: StepCall) -> Envelope:
        """Return the step's envelope, recorded or fresh; errors as `RunContext.call`."""

    async def sleep(self, slot: str, seconds: float) -> None:
        """Wait so long after the first time that this slot was met."""

    async def receive(self, slot: str, signal: str, timeout: float | None) -> Any:  # noqa: ASYNC109 - durable
        """Return the data of the next signal; errors as `RunContext.wait_for`."""

    async def approve(self, slot: str, request: ApprovalRequest) -> Approval:
        """Return a person's consent, recorded or given now; errors as `RunContext.approve`."""

    async def child(self, call: ChildCall) -> Envelope:
        """Return a child run's envelope; errors as `RunContext.child`."""

    def lock(self, key: str) -> AbstractAsyncContextManager[None]:
        """Hold a lock of the cluster."""

    async def once(self, slot: str, make: Callable[[], Awaitable[Any]]) -> Any:
        """Return the value recorded under `slot`, or make, record and return it."""

    @property
    def resources(self) -> Resources:
        """What the process provides."""

    def value(self, slot: str, kind: str, make: Callable[[], str]) -> str:
        """Return the value recorded under `slot`, or make, record and return it."""

    def emit(self, origin: str, event: str, data: Mapping[str, Any]) -> None:
        """Append an event, once per `origin`."""

    def abandon(self, prefix: str) -> None:
        """Note that steps below `prefix` were given up by the flow and need not be met again."""
