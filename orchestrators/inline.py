"""Runs a flow in this process, with no queue, no journal, no file: for tests and scripts."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from copy import copy
from dataclasses import replace
from typing import Any

import structlog
from pydantic import BaseModel

from agents.context import StepContext
from agents.execution import Sleep, execute
from envelope.approval import Approval, ApprovalRequest
from envelope.canonical import canonical_json
from envelope.envelope import MAX_BYTES, Envelope
from envelope.errors import InvalidEnvelope, InvalidInput, NotRegistered, WaitTimedOut
from envelope.failure import Failure, StepFailed
from envelope.ids import new_id
from envelope.resources import Resources
from envelope.signature import from_canonical, to_canonical
from orchestrators.context import FlowContext, RunFacts
from orchestrators.definition import FlowDefinition
from orchestrators.outside import Approve, DirectDelivery, WithDelivery
from orchestrators.registry import FLOWS
from orchestrators.running import run_flow
from orchestrators.steps import ChildCall, StepCall

Flow = str | Callable[[Any, Any], Awaitable[Envelope]]
OnEvent = Callable[[str, Mapping[str, Any]], None]


async def run_inline(
    flow: Flow,
    request: BaseModel | Mapping[str, Any],
    *,
    resources: Resources | None = None,
    user: str | None = None,
    thread: str | None = None,
    tenant: str = "default",
    tags: Mapping[str, str] | None = None,
    allow_delivery: bool = False,
    on_event: OnEvent | None = None,
    sleep: Sleep = asyncio.sleep,
    signals: Mapping[str, Sequence[Any]] | None = None,
    approve: Approve | None = None,
) -> Envelope:
    """Run `flow` to its end and return its envelope.

    Args:
        flow: A registered flow's name, or its function.
        request: The payload.
        resources: What the agents ask for with `ctx.resource`.
        user: The user to run for.
        thread: That user's thread.
        tenant: Whose run it is.
        tags: The run's tags.
        allow_delivery: Whether effects on the outside world are allowed. They are then performed at
            once, each key one time, with no gate and no ledger.
        on_event: Told each event's name and data.
        sleep: Waits between attempts and in `ctx.sleep`; a test passes one that does not wait.
        signals: By name, the data that `ctx.wait_for` gets, one after the other. Where there is
            none left, the wait times out at once.
        approve: Asked for what `ctx.approve` waits for; returns whether it consents. Without it
            nobody consents, and the flow `delivery` asks nobody.

    Raises:
        StepFailed: A step failed for good and the flow did not catch it.
        InvalidInput: The payload does not fit the flow's model.
        NotRegistered: There is no such flow.
    """
    definition = _definition(flow)
    payload = from_canonical(to_canonical(request, definition.model), definition.model)
    facts = RunFacts(
        run_id=new_id(),
        flow=definition.name,
        tenant=tenant,
        user=user,
        thread=thread,
        tags=tags or {},
        allow_delivery=allow_delivery,
    )
    log = structlog.get_logger("muster").bind(run=facts.run_id, flow=facts.flow)
    delivery = DirectDelivery(approve)
    provided = WithDelivery(resources or Resources(), delivery)
    steps = InProcessSteps(facts, provided, delivery, log, on_event, sleep, signals or {})
    return await _made(definition, FlowContext(facts, steps, log), payload)


async def _made(definition: FlowDefinition, ctx: FlowContext, payload: object) -> Envelope:
    made = await run_flow(definition, ctx, payload)
    if not isinstance(made, Envelope):
        raise InvalidEnvelope(
            f"Flow {definition.name!r} returned {type(made).__name__}, not an Envelope."
        )
    return Envelope.from_json(made.to_json())


class InProcessSteps:
    """A `StepRunner` that executes every step at once, here, and keeps nothing."""

    replaying = False

    def __init__(
        self,
        facts: RunFacts,
        resources: Resources,
        delivery: DirectDelivery,
        log: Any,
        on_event: OnEvent | None,
        sleep: Sleep,
        signals: Mapping[str, Sequence[Any]],
    ) -> None:
        self._facts = facts
        self.resources = resources
        self._delivery = delivery
        self._log = log
        self._on_event = on_event
        self._sleep = sleep
        self._used: set[str] = set()
        self._free: dict[str, asyncio.Semaphore] = {}
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._signals = {name: deque(data) for name, data in signals.items()}

    async def run(self, call: StepCall) -> Envelope:
        """Execute the step under its agent's concurrency."""
        self._use(call.slot)
        name = call.agent.name
        free = self._free.setdefault(name, asyncio.Semaphore(call.agent.concurrency))
        async with free:
            return await self._execute(call)

    async def sleep(self, slot: str, seconds: float) -> None:  # noqa: ARG002 - port
        """Wait, by the caller's own sleep."""
        await self._sleep(seconds)

    async def receive(self, slot: str, signal: str, timeout: float | None) -> Any:  # noqa: ARG002, ASYNC109 - port
        """Return what the caller gave for this signal."""
        waiting = self._signals.get(signal)
        if not waiting:
            raise WaitTimedOut(f"No signal {signal!r} was given to run_inline(signals=…).")
        return waiting.popleft()

    async def approve(self, slot: str, request: ApprovalRequest) -> Approval:
        """Ask the caller."""
        return self._delivery.approve(slot, request)

    async def child(self, call: ChildCall) -> Envelope:
        """Run the child here, under the same listener and locks."""
        self._use(call.slot)
        facts = replace(self._facts, run_id=new_id(), flow=call.flow.name, tags=call.tags)
        log = self._log.bind(run=facts.run_id, flow=facts.flow)
        steps = copy(self)
        steps._facts, steps._used = facts, set()  # noqa: SLF001 - a runner of our own
        payload = from_canonical(call.payload, call.flow.model)
        try:
            return await _made(call.flow, FlowContext(facts, steps, log), payload)
        except Exception as error:
            raise StepFailed(Failure.of(error, step=call.slot)) from error

    @asynccontextmanager
    async def lock(self, key: str) -> AsyncIterator[None]:
        """Hold a lock of this run and its children."""
        async with self._locks[key]:
            yield

    async def once(self, slot: str, make: Callable[[], Awaitable[Any]]) -> Any:  # noqa: ARG002 - port
        """Make the value; it is JSON here too."""
        return json.loads(canonical_json(await make()))

    def value(self, slot: str, kind: str, make: Callable[[], str]) -> str:  # noqa: ARG002 - port
        """Make the value."""
        return make()

    def emit(self, origin: str, event: str, data: Mapping[str, Any]) -> None:  # noqa: ARG002 - port
        """Tell the caller's listener."""
        if self._on_event:
            self._on_event(event, data)

    def abandon(self, prefix: str) -> None:
        """Nothing is recorded, so nothing is missed."""

    def _use(self, slot: str) -> None:
        if slot in self._used:
            raise InvalidInput(f"Two steps of this run have the key {slot!r}.")
        self._used.add(slot)

    async def _execute(self, call: StepCall) -> Envelope:
        try:
            done = await execute(
                call.agent,
                call.request,
                lambda attempt: self._context(call, attempt),
                max_bytes=MAX_BYTES,
                sleep=self._sleep,
            )
        except Exception as error:
            failure = Failure.of(error, step=call.slot, agent=call.agent.name)
            raise StepFailed(failure) from error
        if done.envelope.error is not None and done.envelope.status == "error":
            raise StepFailed(done.envelope.error, done.json)
        return done.envelope

    def _context(self, call: StepCall, attempt: int) -> StepContext:
        facts = self._facts
        return StepContext(
            run_id=facts.run_id,
            step=call.slot,
            agent=call.agent.name,
            attempt=attempt,
            tenant=facts.tenant,
            user=facts.user,
            thread=facts.thread,
            allow_delivery=facts.allow_delivery,
            trace_id=facts.trace_id,
            log=self._log.bind(step=call.slot, agent=call.agent.name, attempt=attempt),
            resources=self.resources,
            emitter=lambda event, data: self.emit("", event, data),
            effects=self._delivery,
        )


def _definition(flow: Flow) -> FlowDefinition:
    if isinstance(flow, str):
        return FLOWS.get(flow)
    for known in FLOWS:
        if known.function is flow:
            return known
    raise NotRegistered(
        f"{getattr(flow, '__qualname__', flow)} is not registered. Put @orchestrator(…) above it."
    )
