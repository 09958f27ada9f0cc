"""The context that a flow sees: names every step, asks the step runner, composes branches."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence, Sized
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID, uuid5

from agents.registry import AGENTS
from envelope.approval import Approval, ApprovalRequest
from envelope.canonical import sha256_hex
from envelope.envelope import Envelope
from envelope.errors import InvalidInput
from envelope.ports.context import Log, OnError, StepInput
from envelope.running import utc_now
from envelope.signature import to_canonical
from orchestrators.branches import run_branches
from orchestrators.mapping import Progress, StepMapping
from orchestrators.quiet import QuietWhileReplaying
from orchestrators.registry import FLOWS
from orchestrators.scope import Scope, current_scope, enter
from orchestrators.steps import ChildCall, StepCall, StepRunner

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
        limit: int = 1000,
        key: str | None = None,
        on_error: OnError = "raise",
    ) -> list[Envelope]:
        """Call `agent` once per request; see `RunContext.map`."""
        made = self._mapped(agent, requests, limit, None, key, on_error)
        return [envelope async for envelope in made]

    def each(
        self,
        agent: str,
        requests: Iterable[StepInput],
        *,
        limit: int = 100,
        key: str | None = None,
        on_error: OnError = "raise",
    ) -> AsyncIterator[Envelope]:
        """Yield what `map` would return, in order; see `RunContext.each`."""
        return self._mapped(agent, requests, limit, limit, key, on_error)

    async def sleep(self, seconds: float) -> None:
        """Wait; see `RunContext.sleep`."""
        await self._steps.sleep(current_scope(self._root).value_slot(), _seconds(seconds))

    async def wait_for(self, signal: str, *, timeout: float | None = None) -> Any:  # noqa: ASYNC109 - durable
        """Return the data of the next signal; see `RunContext.wait_for`."""
        slot = current_scope(self._root).value_slot()
        return await self._steps.receive(
            slot, signal, None if timeout is None else _seconds(timeout)
        )

    async def child(
        self,
        flow: str,
        payload: StepInput,
        *,
        key: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> Envelope:
        """Run another flow as a child of this run; see `RunContext.child`."""
        slot = current_scope(self._root).slot(key)
        definition = FLOWS.get(flow)
        text = to_canonical(payload, definition.model)
        call = ChildCall(
            slot=slot,
            flow=definition,
            payload=text,
            payload_sha256=sha256_hex(text),
            tags=dict(tags or {}),
        )
        return await self._steps.child(call)

    async def approve(self, request: ApprovalRequest) -> Approval:
        """Wait until a person consents to exactly this; see `RunContext.approve`."""
        return await self._steps.approve(current_scope(self._root).value_slot(), request)

    def lock(self, key: str) -> AbstractAsyncContextManager[None]:
        """Hold a lock of the cluster; see `RunContext.lock`."""
        return self._steps.lock(key)

    async def once(self, make: Callable[[], Awaitable[Any]]) -> Any:
        """Return what `make` returned the first time; see `RunContext.once`."""
        return await self._steps.once(current_scope(self._root).value_slot(), make)

    def resource(self, kind: type[T]) -> T:
        """Return what is provided under `kind`; see `RunContext.resource`."""
        return self._steps.resources.get(kind)

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

    async def _mapped(
        self,
        agent: str,
        requests: Iterable[StepInput],
        limit: int,
        keep: int | None,
        key: str | None,
        on_error: OnError,
    ) -> AsyncIterator[Envelope]:
        group = current_scope(self._root).slot(key)
        calls = (
            _step(f"{group}/{number}", agent, request, None)
            for number, request in enumerate(requests)
        )
        mapping = StepMapping(self._steps, calls, limit=limit, keep=keep, on_error=on_error)
        total = len(requests) if isinstance(requests, Sized) else None
        progress = Progress(self._steps, group, agent, total)
        try:
            async with aclosing(mapping.results()) as results:
                async for envelope in results:
                    progress.step()
                    yield envelope
        except BaseException:
            self._steps.abandon(f"{group}/")
            raise

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


def _seconds(value: float) -> float:
    if not math.isfinite(value) or value < 0:
        raise InvalidInput(f"A wait takes a number of seconds, 0 or more, not {value!r}.")
    return float(value)
