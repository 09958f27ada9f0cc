"""Short ways to say what a test of the journal is about."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Protocol

from envelope.events import TERMINAL_EVENTS
from envelope.ports.journal import Journal
from envelope.ports.journal_rows import (
    Claim,
    RunState,
    StepState,
    Waits,
)
from envelope.ports.journal_writes import Commit, NewEvent, NewRun, RunEnd, StepWrite, WorkerInfo
from envelope.ports.ledger import Ledger
from worker.journal.memory import MemoryJournal
from worker.journal.sql import SqlJournal

_numbers = count(1)


class Books(Journal, Ledger, Protocol):
    """A journal with its ledger."""


@dataclass
class Backend:
    """A place where journals live; every journal made here sees the same rows."""

    name: str
    url: str = ""
    _memory: MemoryJournal = field(default_factory=MemoryJournal)

    @property
    def durable(self) -> bool:
        return self.name != "memory"

    def journal(self, **options: Any) -> Books:
        return SqlJournal(self.url, **options) if self.durable else self._memory

    @asynccontextmanager
    async def opened(self, **options: Any) -> AsyncIterator[Books]:
        journal = self.journal(**options)
        await journal.open()
        try:
            yield journal
        finally:
            await journal.close()

    def using(self, body: Callable[[Books], Awaitable[None]]) -> None:
        """Run a test's body with an open journal."""

        async def run() -> None:
            async with self.opened() as journal:
                await body(journal)

        asyncio.run(run())


def a_run(run_id: str | None = None, **fields: Any) -> NewRun:
    values: dict[str, Any] = {
        "run_id": run_id or f"run-{next(_numbers):06}",
        "flow": "lead",
        "version": 1,
        "payload": '{"company": "ACME"}',
        "payload_sha256": "a" * 64,
        "source": "test",
    }
    return NewRun(**values | fields)


def a_worker(worker_id: str = "w1", **fields: Any) -> WorkerInfo:
    values: dict[str, Any] = {"worker_id": worker_id, "hostname": "host", "pid": 42}
    return WorkerInfo(**values | fields)


def a_step(step: str = "research", state: StepState = StepState.SUCCEEDED, **fields: Any) -> Any:
    values: dict[str, Any] = {
        "step": step,
        "agent": "rag",
        "state": state,
        "input_sha256": "b" * 64,
        "input": '{"q": 1}',
    }
    if state is StepState.SUCCEEDED:
        values["result"] = '{"records": []}'
    return StepWrite(**values | fields)


def an_event(kind: str = "note", **fields: Any) -> NewEvent:
    return NewEvent(type=kind, **fields)


def ending(state: RunState = RunState.SUCCEEDED, **fields: Any) -> dict[str, Any]:
    """The events and end of a commit that ends a run."""
    return {
        "events": [an_event(f"run.{state.value}")],
        "end": RunEnd(state=state, **fields),
    }


async def accepted(journal: Journal, **fields: Any) -> str:
    """Accept a run and return its id."""
    return (await journal.accept(a_run(**fields))).run_id


async def claimed(journal: Journal, worker: str = "w1", **fields: Any) -> Claim:
    """Accept a run and let a living worker claim it."""
    await journal.beat(a_worker(worker), 60)
    claim = await journal.claim(await accepted(journal, **fields), worker)
    assert claim is not None
    return claim


def waiting(**waits: Any) -> dict[str, Any]:
    """The event and end of a commit that suspends a run."""
    return {
        "events": [an_event("run.waiting")],
        "end": RunEnd(state=RunState.WAITING, waits=Waits(**waits)),
    }


async def suspended(journal: Journal, worker: str = "w1", **waits: Any) -> Claim:
    """Claim a run and let it wait."""
    claim = await claimed(journal, worker)
    await journal.commit(write_of(claim, **waiting(**waits)))
    return claim


async def ended(journal: Journal, state: RunState = RunState.SUCCEEDED, **fields: Any) -> str:
    """Accept, claim and end a run; return its id."""
    claim = await claimed(journal, **fields)
    await journal.commit(write_of(claim, **ending(state)))
    return claim.run.run_id


async def state_of(journal: Journal, run_id: str) -> RunState:
    """The state of a run that is there."""
    run = await journal.run(run_id)
    assert run is not None
    return run.state


async def woken(journal: Journal, **options: Any) -> list[str]:
    """Wake what can be woken; return the ids of the hints, which must be right."""
    hints = await journal.wake(100, **options)
    for hint in hints:
        run = await journal.run(hint.run_id)
        assert run is not None
        assert (run.flow, run.priority) == (hint.flow, hint.priority)
        assert (run.state, run.owner, run.waits) == (RunState.QUEUED, None, None)
        assert (run.sends, run.sent_at is not None) == (1, True)
    return [hint.run_id for hint in hints]


async def last_event(journal: Journal, run_id: str) -> tuple[str, dict[str, Any]]:
    """The type and the data of a run's last event."""
    event = list(await journal.events(run_id))[-1]
    return event.type, json.loads(event.data)


async def queued_step(
    journal: Journal, step: str = "draft", worker: str = "w1", **fields: Any
) -> Claim:
    """Claim a run and queue a step of it for an executor."""
    claim = await claimed(journal, worker)
    write = a_step(step, StepState.QUEUED, inline=False, attempt=0, **fields)
    await journal.commit(write_of(claim, steps=[write]))
    return claim


def write_of(claim: Claim, **fields: Any) -> Commit:
    return Commit(run_id=claim.run.run_id, epoch=claim.run.epoch, **fields)


async def lapse(journal: Journal, worker: str = "w1") -> None:
    """Let a worker's lease end now, as if it had not beaten for long."""
    await journal.beat(a_worker(worker), 0)


async def types(journal: Journal, run_id: str) -> list[str]:
    """The types of a run's events, which must be numbered without gap."""
    events = await journal.events(run_id)
    assert [event.number for event in events] == list(range(1, len(events) + 1))
    return [event.type for event in events]


def check_log(kinds: Sequence[str], *, ended: bool) -> None:
    """One terminal event, last, if the run ended; none otherwise."""
    places = [place for place, kind in enumerate(kinds) if kind in TERMINAL_EVENTS]
    assert places == ([len(kinds) - 1] if ended else [])


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 20) -> None:
    """Wait for a condition, with a deadline."""
    deadline = time.monotonic() + seconds
    while not await condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        await asyncio.sleep(0.02)
