"""Effects and approvals of runs: fenced, replayed, waited for, whoever executes the step."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from envelope.approval import ApprovalState
from envelope.effect import EffectState
from envelope.ports.journal_rows import TERMINAL_STATES, Run, RunState
from envelope.ports.journal_writes import Replay
from envelope.ports.ledger import ApprovalFilter, ApprovalRow, Decision, EffectFilter, EffectRow
from tests.rig import delivery_flows, flows
from tests.rig.delivery_flows import ACT, GATES, SENT
from tests.rig.engine_rig import Rig, checked_events, rigged

DELIVERS: dict[str, Any] = {"allow_delivery": True}
AGENTS = pytest.mark.parametrize("agent", ["act-inline", "act-queued"])


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("MUSTER_ALLOW_DELIVERY", "true")
    delivery_flows.reset()
    flows.reset()
    yield
    delivery_flows.reset()


def run(body: Callable[[Rig], Awaitable[None]]) -> None:
    async def go() -> None:
        async with rigged() as rig:
            await body(rig)

    asyncio.run(go())


async def effects(rig: Rig, **which: Any) -> list[EffectRow]:
    return list(await rig.journal.effects(EffectFilter(**which)))


async def approvals(rig: Rig, **which: Any) -> list[ApprovalRow]:
    rows = await rig.journal.approvals(ApprovalFilter(**which))
    return sorted(rows, key=lambda row: row.title)


async def decide(rig: Rig, row: ApprovalRow, *, approve: bool = True, by: str = "ada") -> None:
    told = Decision(
        approval_id=row.approval_id,
        tenant=None,
        approve=approve,
        content_sha256=row.content_sha256,
        by=by,
        reason="because",
    )
    await rig.journal.decide(told)


def records(run: Run) -> list[dict[str, Any]]:
    assert run.envelope is not None, run.failure
    return [record["data"] for record in json.loads(run.envelope)["records"]]


async def until_waiting(rig: Rig, run_id: str) -> None:
    async def waiting() -> bool:
        return (await rig.run(run_id)).state is RunState.WAITING

    await rig.until(waiting, "the run is suspended")


@AGENTS
def test_a_step_acts_once_and_the_run_tells_of_it(agent: str) -> None:
    async def body(rig: Rig) -> None:
        done = await rig.finish("acting", {"text": "hi", "agent": agent}, **DELIVERS)
        assert done.state is RunState.SUCCEEDED
        (row,) = await effects(rig)
        assert (row.state, row.key) == (EffectState.SENT, f"{done.run_id}:act")
        assert [(row.key, "hi")] == SENT
        kinds = checked_events(await rig.events(done.run_id))
        begun = kinds.index("step.started")
        assert kinds[begun : begun + 4] == [
            "step.started",
            "effect.intended",
            "effect.sent",
            "step.succeeded",
        ]

    run(body)


@AGENTS
def test_what_is_kept_back_is_a_result_that_says_what_is_missing(agent: str) -> None:
    async def body(rig: Rig) -> None:
        done = await rig.finish("acting", {"text": "hi", "agent": agent})
        assert done.state is RunState.SUCCEEDED
        assert done.envelope is not None
        envelope = json.loads(done.envelope)
        assert envelope["status"] == "gated"
        assert [each["rule"] for each in envelope["error"]["details"]["missing"]] == ["run"]
        assert not SENT
        assert not await effects(rig)

    run(body)


@AGENTS
def test_a_retried_attempt_keeps_its_fence_and_its_key(agent: str) -> None:
    async def body(rig: Rig) -> None:
        answers = iter([ConnectionResetError("cut"), None])

        async def flaky() -> None:
            error = next(answers)
            if error is not None:
                raise error

        ACT["hi"] = flaky
        payload = {"text": "hi", "agent": agent, "deduplicates": True}
        done = await rig.finish("acting", payload, **DELIVERS)
        assert done.state is RunState.SUCCEEDED, done.failure
        (row,) = await effects(rig)
        assert (row.state, row.tries) == (EffectState.SENT, 2)

    run(body)


@AGENTS
def test_a_cut_off_act_ends_the_run_and_stays_unknown(agent: str) -> None:
    async def body(rig: Rig) -> None:
        async def cut() -> None:
            raise ConnectionResetError("cut")

        ACT["hi"] = cut
        done = await rig.finish("acting", {"text": "hi", "agent": agent}, **DELIVERS)
        assert done.state is RunState.FAILED
        assert json.loads(done.failure or "")["code"] == "EFFECT_UNKNOWN"
        (row,) = await effects(rig, state=EffectState.UNKNOWN)
        assert row.tries == 1, "it was not tried again"

    run(body)


@AGENTS
def test_a_run_that_is_repeated_repeats_no_act(agent: str) -> None:
    async def body(rig: Rig) -> None:
        first = await rig.finish("acting", {"text": "hi", "agent": agent}, **DELIVERS)
        again = await rig.finish(
            "acting",
            {"text": "hi", "agent": agent},
            replay=Replay(run_id=first.run_id, keep=False),
            **DELIVERS,
        )
        assert records(again) == [{"key": f"{first.run_id}:act", "before": True}]
        assert len(SENT) == 1

    run(body)


@AGENTS
@pytest.mark.parametrize("deduplicates", [False, True])
def test_a_worker_lost_while_sending_leaves_an_unknown_e_mail_or_a_repeated_webhook(
    agent: str, deduplicates: bool
) -> None:
    async def body(rig: Rig) -> None:
        async def hangs() -> None:
            GATES["begun"].set()
            await GATES["late"].wait()

        ACT["hi"] = hangs
        payload = {"text": "hi", "agent": agent, "deduplicates": deduplicates}
        run_id = await rig.accept("acting", payload, **DELIVERS)
        lost = asyncio.create_task(rig.execute(run_id))
        await GATES["begun"].wait()
        await rig.lose("a")
        ACT.clear()
        rig.consumer = "b"

        async def ended() -> bool:
            await rig.worker("b").reconciler.round()
            return (await rig.run(run_id)).state in TERMINAL_STATES

        await rig.until(ended, "b ended the run")
        done, (row,) = await rig.run(run_id), await effects(rig)
        if deduplicates:
            assert (done.state, row.state, row.tries) == (
                RunState.SUCCEEDED,
                EffectState.SENT,
                2,
            )
        else:
            assert json.loads(done.failure or "")["code"] == "EFFECT_UNKNOWN"
            assert row.state is EffectState.UNKNOWN
        GATES["late"].set()
        await rig.worker("a").lease.take()
        await asyncio.wait_for(lost, 10)

        async def idle() -> bool:
            return not rig.worker("a").engine.steps.executing

        await rig.until(idle, "the lost one has ended too")
        assert len({key for key, _ in SENT}) == 1, "every sending bore one key"
        (late,) = await effects(rig)
        assert late.state is EffectState.SENT, "what the lost one did in the end is the truth"

    run(body)


@AGENTS
def test_a_compensation_may_act_though_the_run_is_cancelled(agent: str) -> None:
    async def body(rig: Rig) -> None:
        run_id = await rig.accept("undone-act", {"text": "sorry", "agent": agent}, **DELIVERS)
        task = asyncio.create_task(rig.execute(run_id))

        async def begun() -> bool:
            return bool(flows.CALLS["never"])

        await rig.until(begun, "the run waits")
        await rig.journal.cancel(run_id, "enough")
        await rig.worker("a").lease.take()
        assert await task is RunState.CANCELLED
        assert [text for _, text in SENT] == ["sorry"]
        (row,) = await effects(rig)
        assert row.state is EffectState.SENT

    run(body)


def test_a_run_waits_for_consent_without_a_worker_and_goes_on_with_each_answer() -> None:
    async def body(rig: Rig) -> None:
        run_id = await rig.accept("asking-consent", {"text": "x"}, user="eve")
        assert await rig.execute(run_id) is RunState.WAITING
        assert not rig.worker("a").engine.running
        first, second = await approvals(rig)
        assert (first.state, first.requester, first.role) == (
            ApprovalState.PENDING,
            "eve",
            "approver",
        )
        assert first.expires_at == rig.time.now + 600
        await decide(rig, first, approve=False)
        rig.consumer = "b"
        await rig.execute(run_id, "b")
        assert (await rig.run(run_id)).state is RunState.WAITING
        assert len(await approvals(rig)) == 2, "what was asked is not asked again"
        await decide(rig, second)
        await rig.execute(run_id, "a")
        one, two = records(await rig.run(run_id))
        assert one["code"] == "APPROVAL_REJECTED"
        assert "ada rejected" in one["message"]
        assert "because" in one["message"]
        assert two == {
            "text": "x 2",
            "by": "ada",
            "sha256": second.content_sha256,
            "reason": "because",
        }
        kinds = checked_events(await rig.events(run_id))
        assert kinds.count("run.approval_requested") == kinds.count("run.approval_decided") == 2

    run(body)


def test_a_decision_made_before_the_run_looks_again_is_found() -> None:
    async def body(rig: Rig) -> None:
        run_id = await rig.accept("asking-consent", {"text": "x"})
        await rig.execute(run_id)
        for row in await approvals(rig):
            await decide(rig, row)
        await rig.execute(run_id)
        assert [each["by"] for each in records(await rig.run(run_id))] == ["ada", "ada"]

    run(body)


def test_a_run_that_is_held_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(rig: Rig) -> None:
        parts = rig.worker("a").engine.parts
        engine = rig.worker("a").engine
        engine.parts = replace(parts, suspend_after_seconds=60.0)
        run_id = await rig.accept("asking-consent", {"text": "x"})
        task = asyncio.create_task(rig.execute(run_id))

        async def asked() -> bool:
            return len(await approvals(rig)) == 2

        await rig.until(asked, "both were asked")
        for row in await approvals(rig):
            await decide(rig, row)
        await engine.told(run_id)
        assert await task is RunState.SUCCEEDED

    run(body)


def test_nobody_s_answer_is_an_answer_after_a_while() -> None:
    async def body(rig: Rig) -> None:
        run_id = await rig.accept("asking-consent", {"text": "x"})
        await rig.execute(run_id)
        rig.time.advance(601)
        await rig.worker("b").lease.take()
        await rig.worker("b").reconciler.round()
        rig.consumer = "b"
        done = await rig.until_ended(run_id)
        assert [each["code"] for each in records(done)] == ["APPROVAL_EXPIRED"] * 2
        assert "Nobody decided" in records(done)[0]["message"]

    run(body)


def test_the_settings_bound_how_long_is_waited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSTER_APPROVAL_SECONDS", "60")

    async def body(rig: Rig) -> None:
        await rig.execute(await rig.accept("asking-consent", {"text": "x"}))
        assert {row.expires_at for row in await approvals(rig)} == {rig.time.now + 60}

    run(body)


def test_a_run_that_is_repeated_asks_anew() -> None:
    async def body(rig: Rig) -> None:
        run_id = await rig.accept("asking-consent", {"text": "x"})
        await rig.execute(run_id)
        for row in await approvals(rig):
            await decide(rig, row)
        await rig.execute(run_id)
        again = await rig.accept("asking-consent", {"text": "x"}, replay=Replay(run_id=run_id))
        await rig.execute(again)
        asked = await approvals(rig, run_id=again)
        assert [row.state for row in asked] == [ApprovalState.PENDING] * 2

    run(body)


def test_a_cancelled_run_leaves_no_open_request() -> None:
    async def body(rig: Rig) -> None:
        run_id = await rig.accept("asking-consent", {"text": "x"})
        await rig.execute(run_id)
        await rig.journal.cancel(run_id, "enough")
        await rig.execute(run_id)
        assert (await rig.run(run_id)).state is RunState.CANCELLED
        assert {row.state for row in await approvals(rig)} == {ApprovalState.EXPIRED}

    run(body)


def test_a_changed_flow_that_asks_for_something_else_is_stopped() -> None:
    async def body(rig: Rig) -> None:
        run_id = await rig.accept("asking-consent", {"text": "x"})
        await rig.execute(run_id)
        ask = rig.journal.ask_approval

        async def other(new: Any) -> ApprovalRow:
            return replace(await ask(new), content_sha256="0" * 64)

        rig.journal.ask_approval = other  # type: ignore[method-assign]
        rig.time.advance(601)
        await rig.worker("b").lease.take()
        await rig.worker("b").reconciler.round()
        rig.consumer = "b"
        done = await rig.until_ended(run_id)
        assert json.loads(done.failure or "")["code"] == "NON_DETERMINISM"

    run(body)
