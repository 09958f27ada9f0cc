"""Small trials, each aimed at one promise; a planted bug breaks it, the product keeps it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from envelope.ports.journal_rows import Hint
from envelope.ports.journal_writes import Commit
from tests.rig.faults.pair import Pair
from tests.rig.faults.stub_llm import Manner, StubLLM

Scenario = Callable[[Pair, StubLLM], Awaitable[None]]

_LONGER_THAN_A_RESCUE = 1.8
_CHAIN = {"name": "chain", "steps": 3, "seconds": 0.7, "where": "near"}


async def zombie(pair: Pair, _: StubLLM) -> None:
    """A worker is thought dead, its run moves, and then the step that it was in ends."""
    plan = {**_CHAIN, "steps": 1, "seconds": _LONGER_THAN_A_RESCUE}
    run = await pair.accept("rig-chain", plan, numbers=[0])
    await pair.until_started(run, "s0")
    await pair.freeze(0)
    await pair.until_started(run, "s0", times=2)
    await pair.until_ended(run, "s0", times=2)
    await pair.thaw(0)
    await pair.until_quiet()


async def homecoming(pair: Pair, _: StubLLM) -> None:
    """A worker loses a run, and gets it again while it still executes it."""
    run = await pair.accept("rig-chain", _CHAIN, numbers=[0, 1, 2])
    await pair.until_started(run, "s0")
    await pair.freeze(0)
    pair.consumer = 0

    async def resumed() -> bool:
        return any(event.type == "run.resumed" for event in await pair.journal.events(run))

    await pair.until(resumed, "the run is back")
    await pair.thaw(0)
    await pair.until_quiet()


async def second_message(pair: Pair, _: StubLLM) -> None:
    """A run's message comes again, to another worker, while the first one executes it."""
    run = await pair.accept("rig-chain", _CHAIN, numbers=[0, 1, 2])
    await pair.until_started(run, "s0")
    pair.consumer = 1
    await pair.queue.enqueue([Hint(run_id=run, flow="rig-chain", priority=0)])
    await pair.until_quiet()


async def slow_database(pair: Pair, _: StubLLM) -> None:
    """Each commit takes its time."""
    commit = pair.journal.commit

    async def slowly(wanted: Commit) -> int:
        await asyncio.sleep(0.1)
        return await commit(wanted)

    pair.journal.commit = slowly  # type: ignore[method-assign]  # the fault
    await pair.accept("rig-chain", {**_CHAIN, "seconds": 0.05}, numbers=[0, 1, 2])
    await pair.until_quiet()


async def rounds_of_the_reconciler(pair: Pair, _: StubLLM) -> None:
    """A run outlasts a few rounds of its worker's neighbour."""
    plan = {**_CHAIN, "steps": 6, "seconds": 0.3}
    await pair.accept("rig-chain", plan, numbers=[0, 1, 2, 3, 4, 5])
    await pair.until_quiet()


async def late_step_message(pair: Pair, _: StubLLM) -> None:
    """A run is cancelled while the message of its step still waits in the broker."""
    pair.steps_arrive.clear()
    plan = {**_CHAIN, "where": "far"}
    run = await pair.accept("rig-chain", plan, expect=["cancelled"])

    async def queued() -> bool:
        return bool(await pair.journal.steps(run))

    await pair.until(queued, "the step waits")
    await pair.journal.cancel(run, "the rig says so")
    pair.history.write("cancel.acknowledged", run=run)
    pair.steps_arrive.set()
    await pair.until_quiet()


async def crowd(pair: Pair, stub: StubLLM) -> None:
    """More steps want to ask the model at once than their agents may."""
    with stub.behaving(Manner(seconds=0.2)):
        for number in range(6):
            plan = {"name": f"talk {number}", "steps": 2}
            await pair.accept("rig-talk", plan, numbers=[0, 1, 2])
        await pair.until_quiet()


async def storm(pair: Pair, stub: StubLLM) -> None:
    """The model refuses everybody at first."""
    before = len(stub.calls)
    with stub.behaving(Manner(seconds=0.02, status=429, retry_after="0.3")):
        for number in range(9):
            await pair.accept("rig-talk", {"name": f"talk {number}", "steps": 0}, numbers=[0])

        async def refused() -> bool:
            return len([call for call in stub.calls[before:] if call.outcome == "busy"]) >= 3

        await pair.until(refused, "the storm has hit")
    with stub.behaving(Manner(seconds=0.3)):
        await pair.until_quiet()
