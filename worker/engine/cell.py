"""A process of its own for one run, or for one attempt of a step."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

from envelope.failure import Failure
from worker.engine.pipes import counted, json_lines
from worker.telemetry.telemetry import Telemetry

Emit = Callable[[str, dict[str, Any]], None]

_AT_ONCE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOrder:
    """All that another process needs to execute an attempt.

    It has no part in the journal but for effects, which it performs in the name of `executor`, the
    worker that claimed the step for `attempt`. What it traces hangs below `place`.
    """

    run_id: str
    flow: str
    step: str
    agent: str
    attempt: int
    tenant: str
    user: str | None
    thread: str | None
    allow_delivery: bool
    trace_id: str | None
    request: str
    origin_id: str | None = None
    executor: str | None = None
    place: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepAnswer:
    """What came of it: an envelope's JSON or a failure."""

    attempt: int
    envelope: str | None = None
    failure: Failure | None = None


class Cell(Protocol):
    """Executes one run or step apart from all others."""

    async def run(self, worker_id: str, owner: str, runs: Sequence[tuple[str, int]]) -> int:
        """Have runs (id, epoch), handed over by `owner`, executed by a worker of that name.

        Returns the exit code of their process.
        """

    async def step(self, order: StepOrder, emit: Emit) -> StepAnswer | None:
        """Have an attempt executed; None when its process died."""


class SubprocessCell:
    """A fresh Python process, which reads the same settings from its environment.

    At most four for steps at once: a start costs more than a second of processor time. Runs have
    places of their own (`Isolation`), or they would wait for ever for their isolated steps.

    Attributes:
        telemetry: Where what they count is counted, and their traces hang; the engine sets its own.
    """

    def __init__(self) -> None:
        self._free_for_steps = asyncio.Semaphore(_AT_ONCE)
        self.telemetry = Telemetry()

    async def run(self, worker_id: str, owner: str, runs: Sequence[tuple[str, int]]) -> int:
        """Start `python -m worker.isolated runs …` and wait for it."""
        handed = [f"{run_id}:{epoch}" for run_id, epoch in runs]
        async with counted(self.telemetry.meters) as counts:
            fds = (counts,)
            process = await _start("runs", str(counts), worker_id, owner, *handed, pass_fds=fds)
            try:
                return await process.wait()
            finally:
                await _end(process, signal.SIGTERM)  # it gives back what it holds

    async def step(self, order: StepOrder, emit: Emit) -> StepAnswer | None:
        """Start `python -m worker.isolated step …`; it answers line by line through a pipe."""
        order = replace(order, place=self.telemetry.place())
        async with self._free_for_steps, counted(self.telemetry.meters) as counts:
            return await self._step(order, emit, counts)

    async def _step(self, order: StepOrder, emit: Emit, counts: int) -> StepAnswer | None:
        reading, writing = os.pipe()
        process = await _start("step", str(writing), str(counts), pass_fds=(writing, counts))
        os.close(writing)
        answer = None
        try:
            await _hand(process, json.dumps(asdict(order)).encode())
            async for line in json_lines(reading):
                answer = _answer(line, emit) or answer
            await process.wait()
        finally:
            await _end(process, signal.SIGKILL)
        return answer


async def _start(*arguments: str, pass_fds: tuple[int, ...] = ()) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "worker.isolated",
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        pass_fds=pass_fds,
        start_new_session=True,  # what stops the worker's group does not stop what it watches
    )


async def _hand(process: asyncio.subprocess.Process, order: bytes) -> None:
    """Write one line to the process's standard input: an argument of that size would be refused.

    The input stays open: its end tells the process that its worker is dead.
    """
    if process.stdin is not None:
        with suppress(ConnectionError):  # it died before it read; its exit says so
            process.stdin.write(order + b"\n")
            await process.stdin.drain()


async def _end(process: asyncio.subprocess.Process, how: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        process.send_signal(how)
    await process.wait()


def _answer(line: dict[str, Any], emit: Emit) -> StepAnswer | None:
    if "event" in line:
        emit(line["event"], line["data"])
        return None
    failure = line["failure"]
    return StepAnswer(
        attempt=line["attempt"],
        envelope=line["envelope"],
        failure=Failure.model_validate_json(failure) if failure else None,
    )
