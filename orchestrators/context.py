"""The context that a flow sees: names every step, asks the step runner, composes branches."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID, uuid5

from agents.registry import AGENTS
from envelope.canonical import sha256_hex
from envelope.envelope import Envelope
from envelope.errors import InvalidInput
from envelope.ports.context import Log, StepInput
from envelope.running import utc_now
from envelope.signature import to_canonical
from orchestrators.branches import run_branches
from orchestrators.quiet import QuietWhileReplaying
from orchestrators.scope import Scope, current_scope, enter
from orchestrators.steps import StepCall, StepRunner

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """What a flow may know about its run."""

    run_id: str
    flow: str
    tenant: str = "default"
    user: str | None = None
    thread: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    allow_delivery: bool = False
    trace_id: str | None = None


class FlowContext:
    """Implements `envelope.ports.context.RunContext` over any `StepRunner`.

    Args:
        facts: The run.
        steps: What executes or replays its steps.
        log: A logger bound to the run.
    """

    def __init__(self, facts: RunFacts, steps: StepRunner, log: Log) -> None:
        self._facts = facts
        self._steps = steps
        self._root = Scope(self)
        self.log: Log = QuietWhileReplaying(log, steps)

    run_id = property(lambda self: self._facts.run_id)
    flow = property(lambda self: self._facts.flow)
    tenant = property(lambda self: self._facts.tenant)
    user = property(lambda self: self._facts.user)
    thread = property(lambda self: self._facts.thread)
    tags = property(lambda self: self._facts.tags)
    allow_delivery = property(lambda self: self._facts.allow_delivery)

    async def call(
        self,
        agent: str,
        request: StepInput,
        *,
        key: str | None = None,
        inline: bool | None = None,
    ) -> Envelope:
        """Run `agent` as a durable step; see `RunContext.call`."""
        slot = current_scope(self._root).slot(key)
        return await self._steps.run(_step(slot, agent, request, inline))

    async def gather(self, *calls: Awaitable[T]) -> list[T]:
        """Await several branches at once; the first failure cancels the others and is raised."""
        scope = current_scope(self._root)
        group = scope.slot(None)
        return await self._together(
            group,
            [_in_scope(scope.branch(group, number), call) for number, call in enumerate(calls)],
        )

    async def map(
        self,
        agent: str,
        requests: Iterable[StepInput],
        *,
        limit: int | None = None,
        key: str | None = None,
    ) -> list[Envelope]:
        """Call `agent` once per request, at most `limit` at a time; results keep their order."""
        if limit is not None and limit < 1:
            raise InvalidInput(f"map: limit must be at least 1, not {limit}.")
        group = current_scope(self._root).slot(key)
        slots = asyncio.Semaphore(limit) if limit else None
        steps = [
            self._run_limited(_step(f"{group}/{number}", agent, request, None), slots)
            for number, request in enumerate(requests)
        ]
        return await self._together(group, steps)

    def emit(self, event: str, **data: Any) -> None:
        """Append a progress event to the run, once, however often the run is replayed."""
        self._steps.emit(current_scope(self._root).origin(), event, data)

    def now(self) -> datetime:
        """Return the present time in UTC; a replay gets the recorded one."""
        slot = current_scope(self._root).value_slot()
        return datetime.fromisoformat(self._steps.value(slot, "now", lambda: utc_now().isoformat()))

    def uuid(self) -> UUID:
        """Return a UUID made of the run's id and the place in the flow (RFC 9562, version 5)."""
        return uuid5(UUID(self._facts.run_id), current_scope(self._root).value_slot())

    async def _run_limited(self, step: StepCall, slots: asyncio.Semaphore | None) -> Envelope:
        if slots is None:
            return await self._steps.run(step)
        async with slots:
            return await self._steps.run(step)

    async def _together(self, group: str, branches: Sequence[Any]) -> list[Any]:
        try:
            return await run_branches(branches)
        except BaseException:
            self._steps.abandon(f"{group}/")
            raise


async def _in_scope(scope: Scope, call: Awaitable[T]) -> T:
    enter(scope)
    return await call


def _step(slot: str, agent: str, request: StepInput, inline: bool | None) -> StepCall:
    definition = AGENTS.get(agent)
    text = to_canonical(request, definition.model)
    return StepCall(
        slot=slot,
        agent=definition,
        request=text,
        request_sha256=sha256_hex(text),
        inline=definition.inline if inline is None else inline,
    )
