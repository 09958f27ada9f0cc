"""A run ends where its budget ends, keeps what it made, and shares its budget with its children."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from envelope.envelope import Envelope, Status
from envelope.failure import Failure
from envelope.ports.journal_rows import (
    TERMINAL_STATES,
    Run,
    RunFilter,
    RunState,
)
from tests.rig.engine_rig import rigged
from tests.rig.metered_flows import Uses

FLOW = "metered-steps"
USES = Uses


def finished(payload: dict[str, Any], **more: Any) -> tuple[Run, list[Run]]:
    """Execute a run; return it and its children."""

    async def go() -> tuple[Run, list[Run]]:
        async with rigged() as rig:
            run_id = await rig.accept(FLOW, payload, **more)
            await rig.execute(run_id)

            async def ended() -> bool:
                # A parent suspended just as its child ends is woken by the next round.
                await rig.worker("a").reconciler.round()
                return (await rig.run(run_id)).state in TERMINAL_STATES

            await rig.until(ended, "the run ended")
            children = await rig.journal.runs(RunFilter(parent_id=run_id))
            return await rig.run(run_id), list(children)

    return asyncio.run(go())


def failure_of(run: Run) -> Failure:
    return Failure.model_validate_json(run.failure or "")


def test_a_run_within_its_budget_says_what_it_spent() -> None:
    run, _ = finished({"each": 30, "times": 3}, budget_tokens=90)
    assert run.state is RunState.SUCCEEDED
    assert run.spent_tokens == 90


def test_a_run_that_exceeds_its_budget_keeps_what_it_made() -> None:
    run, _ = finished({"each": 30, "times": 5}, budget_tokens=100)
    assert run.state is RunState.FAILED
    assert failure_of(run).code == "BUDGET_EXCEEDED"
    kept = Envelope.from_json(run.envelope or "")
    assert kept.status is Status.PARTIAL
    assert [record.data["step"] for record in kept.records] == ["#1", "#2", "#3"]
    assert kept.error is not None
    assert run.spent_tokens == 90


@pytest.mark.parametrize(("budget", "state"), [(90, RunState.SUCCEEDED), (89, RunState.FAILED)])
def test_a_child_uses_its_parent_s_budget(budget: int, state: RunState) -> None:
    run, children = finished({"each": 30, "times": 2, "child": True}, budget_tokens=budget)
    assert run.state is state
    assert [child.root_id for child in children] == [run.run_id]
    if state is RunState.FAILED:
        assert failure_of(run).code == "BUDGET_EXCEEDED"


def test_a_run_without_a_budget_is_not_metered() -> None:
    run, _ = finished({"each": 10_000, "times": 2})
    assert run.state is RunState.SUCCEEDED
    assert json.loads(run.envelope or "")["metadata"]["usage"]["input_tokens"] == 20_000


class Recorder:
    """A log that keeps its warnings."""

    def __init__(self) -> None:
        self.warnings: list[dict[str, Any]] = []

    def warning(self, event: str, **fields: Any) -> None:
        self.warnings.append({"event": event, **fields})


def test_a_run_of_a_version_that_nobody_has_is_left_alone_and_named() -> None:
    log = Recorder()

    async def scenario() -> RunState:
        async with rigged() as rig:
            object.__setattr__(rig.worker("a").parts, "log", log)
            odd = await rig.accept(FLOW, {"each": 1, "times": 2}, version=7)
            assert await rig.execute(odd) is None
            assert await rig.execute(odd) is None
            return (await rig.run(odd)).state

    assert asyncio.run(scenario()) is RunState.QUEUED
    assert [warning["event"] for warning in log.warnings] == ["run.version_missing"]
    assert (log.warnings[0]["version"], log.warnings[0]["here"]) == (7, [1])
