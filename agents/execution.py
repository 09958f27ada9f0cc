"""Executes a step: validate input, run the agent, validate its envelope, repeat if worth it."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass

from pydantic import JsonValue

from agents.context import StepContext
from agents.definition import AgentDefinition
from envelope.effect import Gated
from envelope.envelope import Envelope, Status
from envelope.errors import InvalidEnvelope
from envelope.failure import Failure
from envelope.running import RUNNING, Running, utc_now
from envelope.signature import from_canonical
from envelope.usage import Usage

BeforeAttempt = Callable[[int], Awaitable[None]]
OnUsage = Callable[[Usage], None]
OnRetry = Callable[[int, BaseException, float], Awaitable[None] | None]
Sleep = Callable[[float], Awaitable[None]]
Around = Callable[[StepContext], AbstractContextManager[object]]


@dataclass(frozen=True, slots=True)
class Executed:
    """An envelope that passed the boundary, its JSON, and the attempt that made it."""

    envelope: Envelope
    json: str
    attempt: int


async def execute(
    definition: AgentDefinition,
    request_json: str,
    context_of: Callable[[int], StepContext],
    *,
    max_bytes: int,
    first_attempt: int = 1,
    before_attempt: BeforeAttempt | None = None,
    on_retry: OnRetry | None = None,
    on_usage: OnUsage | None = None,
    around: Around = nullcontext,
    sleep: Sleep = asyncio.sleep,
) -> Executed:
    """Execute a step to its end, repeating attempts as the agent's policy says.

    Args:
        definition: The agent.
        request_json: Its input as canonical JSON.
        context_of: Makes the context of an attempt.
        max_bytes: Cap of the envelope's JSON.
        first_attempt: Number of the first attempt; a step taken over goes on counting.
        before_attempt: Awaited before each attempt, with its number; what it waits for, such as the
            agent's rate, is no part of the agent's timeout, and what it raises ends the step.
        on_retry: Told the attempt, its error and the wait in seconds, before the wait.
        on_usage: Told what each attempt used, however it ended.
        around: Surrounds each attempt, and sees what it raises.
        sleep: Waits between attempts.

    Raises:
        Exception: What the last attempt raised.
    """
    attempt = first_attempt
    while True:
        if before_attempt is not None:
            await before_attempt(attempt)
        ctx = context_of(attempt)
        try:
            with around(ctx):
                return await execute_once(definition, request_json, ctx, max_bytes, on_usage)
        except Exception as error:
            wait = definition.retries.wait_seconds(error, attempt)
            if wait is None:
                raise
            await _tell(on_retry, attempt, error, wait)
            await sleep(wait)
            attempt += 1


async def execute_once(
    definition: AgentDefinition,
    request_json: str,
    ctx: StepContext,
    max_bytes: int,
    on_usage: OnUsage | None = None,
) -> Executed:
    """Execute one attempt; `RUNNING` names it to everything below."""
    request = from_canonical(request_json, definition.model)
    running = Running(
        run_id=ctx.run_id,
        step=ctx.step,
        agent=ctx.agent,
        attempt=ctx.attempt,
        trace_id=ctx.trace_id,
        started_at=utc_now(),
        usage=Usage(),
        meter=ctx.meter,
    )
    token = RUNNING.set(running)
    try:
        async with asyncio.timeout(definition.timeout_seconds):
            made = await _invoke(definition, ctx, request)
    except Gated as gated:
        made = _gated(definition, gated)
    finally:
        RUNNING.reset(token)
        if on_usage is not None:
            on_usage(running.usage)
    return _passed(definition, made, running, max_bytes)


async def _invoke(definition: AgentDefinition, ctx: StepContext, request: object) -> object:
    if definition.is_async:
        return await definition.function(ctx, request)  # type: ignore[misc] # is_async says so
    made = await asyncio.to_thread(definition.function, ctx, request)
    return await made if inspect.isawaitable(made) else made


def _gated(definition: AgentDefinition, gated: Gated) -> Envelope:
    """That nothing was sent is a result, not a failure."""
    missing: list[JsonValue] = [asdict(each) for each in gated.missing]
    error = Failure(code=gated.code, message=str(gated), details={"missing": missing})
    return Envelope.from_records([], definition.name, status=Status.GATED, error=error)


def _passed(
    definition: AgentDefinition, made: object, running: Running, max_bytes: int
) -> Executed:
    """Stamp the envelope with what the engine knows and validate every record of it anew."""
    if not isinstance(made, Envelope):
        raise InvalidEnvelope(
            f"Agent {definition.name!r} returned {type(made).__name__}, not an Envelope. "
            "Use Envelope.from_records(rows, source=…)."
        )
    stamp = {
        "run_id": running.run_id,
        "step": running.step,
        "agent": running.agent,
        "attempt": running.attempt,
        "trace_id": running.trace_id,
        "started_at": running.started_at,
        "finished_at": utc_now(),
        "usage": running.usage,
    }
    stamped = made.model_copy(update={"metadata": made.metadata.model_copy(update=stamp)})
    text = stamped.to_json(max_bytes=max_bytes)
    return Executed(Envelope.from_json(text, max_bytes=None), text, running.attempt)


async def _tell(on_retry: OnRetry | None, attempt: int, error: BaseException, wait: float) -> None:
    told = on_retry(attempt, error, wait) if on_retry else None
    if told is not None:
        await told
