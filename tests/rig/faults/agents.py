"""The rig's agents: each leaves a line in the history before and after what it does."""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel

from agents import RetryPolicy, agent
from agents.retries import NO_RETRY
from envelope import Envelope
from envelope.errors import Retryable
from tests.rig.faults.history import History
from tests.rig.faults.http import post
from tests.rig.faults.stub_llm import AGENT_HEADER, PID_HEADER, RUN_HEADER, STEP_HEADER

STUB_VARIABLE = "MUSTER_TEST_STUB_LLM"
WRITERS = 4
EDITORS = 3
PATIENT = RetryPolicy(attempts=200, base_seconds=0.1, cap_seconds=0.5)

_BUSY = 429
_DEADLY_STARTS = 2


class Work(BaseModel):
    """What a step is asked to do.

    Attributes:
        number: What its record says.
        seconds: How long it takes.
        after: Steps that must have been committed before this one may begin.
        flaky: Whether its first attempt fails in a way that is worth another one.
        how: How a deadly agent dies.
        secret: A canary that nobody may ever write down.
    """

    number: int = 0
    seconds: float = 0.2
    after: list[str] = []
    flaky: bool = False
    how: str = "exit"
    secret: str = ""


@contextmanager
def traced(ctx: Any, request: Work) -> Iterator[None]:
    """Write `start`, then `end` with how it went; what is killed in between has no end."""
    history = History.of_environment()
    facts = {
        "run": ctx.run_id,
        "step": ctx.step,
        "agent": ctx.agent,
        "attempt": ctx.attempt,
        "pid": os.getpid(),
    }
    history.write("start", **facts, after=request.after)
    outcome = "cancelled"
    try:
        yield
        outcome = "done"
    except Exception as error:
        outcome = type(error).__name__
        raise
    finally:
        history.write("end", **facts, outcome=outcome)


def made(request: Work) -> Envelope:
    return Envelope.from_records([{"number": request.number}], source="rig")


async def work(ctx: Any, request: Work) -> Envelope:
    with traced(ctx, request):
        await asyncio.sleep(request.seconds)
        if request.flaky and ctx.attempt == 1:
            raise Retryable("not at the first attempt")
        ctx.emit("rig.worked", number=request.number)
        return made(request)


@agent("rig-near", inline=True, concurrency=10_000, retries=PATIENT)
async def near(ctx: Any, request: Work) -> Envelope:
    """Work in the run's own process."""
    return await work(ctx, request)


@agent("rig-far", concurrency=10_000, retries=PATIENT)
async def far(ctx: Any, request: Work) -> Envelope:
    """Work on the agent's queue."""
    return await work(ctx, request)


@agent("rig-writer", concurrency=WRITERS, retries=PATIENT)
async def writer(ctx: Any, request: Work) -> Envelope:
    """Ask the stub model, on the agent's queue."""
    return await _asked(ctx, request)


@agent("rig-editor", inline=True, concurrency=EDITORS, retries=PATIENT)
async def editor(ctx: Any, request: Work) -> Envelope:
    """Ask the stub model, in the run's own process."""
    return await _asked(ctx, request)


@agent("rig-killer", inline=True, retries=NO_RETRY)
async def killer(ctx: Any, request: Work) -> Envelope:
    """Take the whole process along."""
    with traced(ctx, request):
        _die(request.how)
    return made(request)


@agent("rig-far-killer", retries=NO_RETRY)
async def far_killer(ctx: Any, request: Work) -> Envelope:
    """The same on the agent's queue."""
    with traced(ctx, request):
        _die(request.how)
    return made(request)


@agent("rig-brittle", inline=True, retries=NO_RETRY)
async def brittle(ctx: Any, request: Work) -> Envelope:
    """Kill the first two processes that execute it; in the third, alone by then, work."""
    mine = [line for line in History.of_environment().of_run(ctx.run_id) if line["what"] == "start"]
    with traced(ctx, request):
        if len(mine) < _DEADLY_STARTS:
            _die("exit")
        await asyncio.sleep(request.seconds)
        return made(request)


@agent("rig-hang", inline=True, timeout=0.5, retries=NO_RETRY)
async def hang(ctx: Any, request: Work) -> Envelope:
    """Never answer."""
    with traced(ctx, request):
        await asyncio.Event().wait()
    return made(request)


async def _asked(ctx: Any, request: Work) -> Envelope:
    with traced(ctx, request):
        url = urlsplit(os.environ[STUB_VARIABLE])
        headers = {
            AGENT_HEADER: ctx.agent,
            RUN_HEADER: ctx.run_id,
            STEP_HEADER: ctx.step,
            PID_HEADER: str(os.getpid()),
        }
        body = json.dumps({"model": "stub", "seconds": request.seconds}).encode()
        status, told, _ = await post(
            url.hostname or "", url.port or 0, f"{url.path}/chat/completions", body, headers
        )
        if status == _BUSY:
            raise Retryable("the model is busy", retry_after=float(told.get("retry-after", "1")))
        return made(request)


def _die(how: str) -> None:
    if how == "segfault":
        ctypes.string_at(0)
    os._exit(13)
