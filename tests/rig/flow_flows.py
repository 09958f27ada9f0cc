"""Agents, nodes and crashes for tests of the flow primitives."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from pydantic import BaseModel

from agents import NO_RETRY, agent
from envelope import Envelope
from envelope.errors import Fenced
from envelope.ports.journal import Journal
from envelope.ports.journal_rows import SETTLED_STATES, Run, RunState
from envelope.ports.journal_writes import Commit
from orchestrators import flow_of
from orchestrators.flow import Node, Step, Undo
from tests.rig.engine_rig import Rig

DONE: list[tuple[str, str]] = []
"""What agents really did: text and step, in order."""
FAIL: dict[str, Callable[[Any], bool]] = {}
"""By text: whether the agent fails, given its context."""
GATES: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
"""By text that begins with `gate`: what the agent waits for."""

FLOW = "flow-under-test"


class Trail(BaseModel):
    """What happened so far to a value."""

    text: str = "start"
    trail: list[str] = []


def reset() -> None:
    """Forget what was done, and how it shall fail."""
    DONE.clear()
    FAIL.clear()
    GATES.clear()


def texts() -> Counter[str]:
    """How often each text was done."""
    return Counter(text for text, _ in DONE)


@agent("flow-leaf", inline=True, retries=NO_RETRY)
async def leaf_agent(ctx: Any, request: Trail) -> Envelope:
    """Add its text to the trail, unless it is to fail."""
    return await _leave_a_trail(ctx, request)


@agent("flow-far", retries=NO_RETRY)
async def far_agent(ctx: Any, request: Trail) -> Envelope:
    """The same on the agent's queue."""
    return await _leave_a_trail(ctx, request)


async def _leave_a_trail(ctx: Any, request: Trail) -> Envelope:
    DONE.append((request.text, ctx.step))
    if request.text.startswith("gate"):
        await GATES[request.text].wait()
    if request.text in FAIL and FAIL[request.text](ctx):
        raise ValueError(f"{request.text} fails")
    trail = [*request.trail, request.text]
    return Envelope.from_records([{"trail": trail}], source=request.text)


def always(_: Any) -> bool:
    """Fail whenever."""
    return True


def trail_of(value: Any) -> list[str]:
    """Return the trail of whatever nodes hand on."""
    match value:
        case Undo():
            return trail_of(value.result if value.result is not None else value.value)
        case Envelope():
            made = [trail for record in value.records for trail in record.data["trail"]]
            return made or [f"{value.status}"]
        case Trail():
            return value.trail
        case str():
            return [value]
        case Mapping():
            return [text for name in value for text in trail_of(value[name])]
        case Sequence():
            return [text for item in value for text in trail_of(item)]
    raise AssertionError(f"what is {value!r}?")


def leaf(text: str, *, agent: str = "flow-leaf", key: str | None = None) -> Step:
    """A step that adds `text` to the trail."""
    return Step(agent, key=key, request=lambda value: {"text": text, "trail": trail_of(value)})


async def to_envelope(ctx: Any, value: Any) -> Envelope:
    """The end of a flow, whatever its nodes returned."""
    return Envelope.from_records([{"trail": trail_of(value)}], source="end")


def registered(node: Node, name: str = FLOW) -> str:
    """Register a node under a name of this module's; a later one takes its place."""
    flow_of(name, node >> to_envelope, model=Trail)
    return name


class MortalJournal:
    """The journal of a worker that dies at its n-th commit, just before it or just after.

    What was submitted goes out with the next commit, as late as it may.
    """

    def __init__(self, journal: Journal, dies_at: int, *, after: bool) -> None:
        self._journal = journal
        self._left = dies_at
        self._after = after
        self._submitted: list[Commit] = []
        self.died = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)

    def submit(self, commit: Commit, then: Callable[[], None] | None = None) -> None:
        del then  # nobody watches these runs
        self._submitted.append(commit)

    async def commit(self, commit: Commit) -> int:
        self._left -= 1
        if self.died or (self._left <= 0 and not self._after):
            self._die()
        for earlier in self._submitted:
            self._journal.submit(earlier)
        self._submitted.clear()
        written = await self._journal.commit(commit)
        if self._left <= 0:
            self._die()
        return written

    def _die(self) -> None:
        self.died = True
        raise Fenced("this worker is dead")


def mortal(rig: Rig, name: str, dies_at: int, *, after: bool) -> MortalJournal:
    """Hire a worker that will die."""
    journal, rig.journal = rig.journal, MortalJournal(rig.journal, dies_at, after=after)
    made = rig.journal
    rig.worker(name)
    rig.journal = journal
    return made


def patient(rig: Rig, *names: str) -> None:
    """Have workers keep a run although a slow machine makes it look idle between two steps."""
    for name in names:
        object.__setattr__(rig.worker(name).parts, "suspend_after_seconds", 5.0)


async def bury(rig: Rig, name: str) -> None:
    """Let the others find that a worker is dead."""
    await rig.lose(name)
    await rig.journal.rescue(100)


async def settled_slots(rig: Rig, run_id: str) -> set[str]:
    """The steps that are committed."""
    steps = await rig.journal.steps(run_id)
    return {
        step.step
        for step in steps
        if step.state in SETTLED_STATES and step.kind in {"agent", "undo"}
    }


async def run_with_deaths(
    rig: Rig,
    payload: Mapping[str, Any],
    deaths: Sequence[tuple[int, bool]],
) -> Run:
    """Execute the flow on workers that die one after the other, then on one that lives.

    Fails where a step is executed that was committed before.
    """
    run_id = await rig.accept(FLOW, payload)
    for number, (dies_at, after) in enumerate(deaths):
        name = f"mortal-{number}"
        mortal(rig, name, dies_at, after=after)
        patient(rig, name)
        await _execute(rig, run_id, name)
        if (await rig.run(run_id)).state is not RunState.RUNNING:
            break
        await bury(rig, name)
    if (await rig.run(run_id)).state is RunState.QUEUED:
        patient(rig, "immortal")
        await _execute(rig, run_id, "immortal")
    return await rig.run(run_id)


async def _execute(rig: Rig, run_id: str, worker: str) -> None:
    committed, before = await settled_slots(rig, run_id), len(DONE)
    await rig.execute(run_id, worker)
    again = [done for done in DONE[before:] if done[1] in committed]
    assert not again, f"executed although committed: {again}"


@asynccontextmanager
async def under_way(rig: Rig, run_id: str, worker: str = "a") -> AsyncIterator[asyncio.Task[Any]]:
    """A run that is executed meanwhile; it does not outlive the block."""
    running = asyncio.create_task(rig.execute(run_id, worker))
    try:
        yield running
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def until_done(rig: Rig, text: str, times: int = 1) -> None:
    """Wait until an agent has begun with a text so often."""

    async def begun() -> bool:
        return texts()[text] >= times

    await rig.until(begun, f"{text} has begun {times} times")


async def until_state(rig: Rig, run_id: str, state: RunState) -> None:
    """Wait for a run's state."""

    async def there() -> bool:
        return (await rig.run(run_id)).state is state

    await rig.until(there, f"the run is {state}")


async def taken_over(rig: Rig, run_id: str, dead: str = "a", heir: str = "b") -> Run:
    """Lose a worker; let another one bring its run to an end."""
    await bury(rig, dead)
    rig.consumer = heir
    await rig.execute(run_id, heir)
    return await rig.until_ended(run_id)


def trail_of_run(run: Run) -> list[str]:
    """The trail in a run's envelope."""
    assert run.state is RunState.SUCCEEDED, run.failure
    return trail_of(Envelope.from_json(run.envelope or ""))
