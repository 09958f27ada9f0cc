"""Retries and dead letters: what is repeated, what is kept, and that nothing is repeated twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from control import AsyncMuster, Muster
from control.async_manager import AsyncCampaignManager
from control.dead_letters import Outcome, Replayed
from control.failure_report import failure_report
from envelope import Envelope
from envelope.errors import InvalidInput, JournalUnavailable, NotRegistered, UnknownRun
from envelope.ports.journal_rows import Accepted, RunState
from envelope.ports.journal_writes import NewRun
from orchestrators import orchestrator
from orchestrators.registry import FLOWS
from tests.rig import flows
from tests.rig.flows import Words
from worker.journal.memory import MemoryJournal


@orchestrator("ctl-two-then-fail")
async def two_then_fail(ctx: Any, request: Words) -> Envelope:
    """Two steps, then one that breaks until SWITCH says otherwise."""
    await ctx.call("shout", {"text": "first"}, key="first")
    await ctx.call("shout", {"text": "second"}, key="second")
    agent = "shout" if "mended" in flows.SWITCH else "broken"
    made: Envelope = await ctx.call(agent, {"text": request.text}, key="third")
    return made


@orchestrator("ctl-one-step")
async def one_step(ctx: Any, request: Words) -> Envelope:
    made: Envelope = await ctx.call(request.text, {"text": "x"}, key="only")
    return made


@pytest.fixture(autouse=True)
def fresh() -> None:
    flows.reset()


@asynccontextmanager
async def client() -> AsyncIterator[AsyncMuster]:
    """A client whose runs are executed in process."""
    async with AsyncMuster(manager=await AsyncCampaignManager.in_process()) as muster:
        yield muster


def scenario(work: Callable[[AsyncMuster], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with client() as muster:
            await work(muster)

    asyncio.run(whole())


async def failed(muster: AsyncMuster, **fields: Any) -> str:
    """A run that has failed at its third step."""
    run = await muster.enqueue("ctl-two-then-fail", {"text": "third"}, **fields)
    assert await run.status() is RunState.FAILED
    return run.id


def mend() -> None:
    flows.SWITCH["mended"] = lambda: None


def test_a_retry_keeps_what_succeeded() -> None:
    async def work(muster: AsyncMuster) -> None:
        source = await failed(
            muster, user="u", thread="t", tags={"a": "b"}, priority=3, budget_tokens=9, key="k"
        )
        mend()
        again = await muster.retry(source)
        assert [record.data for record in (await again.result()).records] == [{"text": "THIRD"}]
        assert (flows.CALLS["first"], flows.CALLS["second"]) == (1, 1)
        row, old = await again.row(), await (await muster.get(source)).row()
        assert (row.replay_of, old.replayed_as) == (source, again.id)
        for name in ("user", "thread", "tags", "priority", "budget_tokens", "tenant", "version"):
            assert getattr(row, name) == getattr(old, name)
        assert row.key != old.key

    scenario(work)


@pytest.mark.parametrize(
    ("options", "calls"),
    [
        ({"from_step": "second"}, (1, 2)),
        ({"from_step": "first"}, (2, 2)),
        ({"keep": False}, (2, 2)),
    ],
)
def test_a_retry_repeats_as_much_as_is_wanted(
    options: dict[str, Any], calls: tuple[int, int]
) -> None:
    async def work(muster: AsyncMuster) -> None:
        source = await failed(muster)
        mend()
        again = await muster.retry(source, **options)
        assert await again.status() is RunState.SUCCEEDED
        assert (flows.CALLS["first"], flows.CALLS["second"]) == calls

    scenario(work)


def test_a_retry_that_cannot_be_is_refused() -> None:
    async def work(muster: AsyncMuster) -> None:
        source = await failed(muster)
        with pytest.raises(InvalidInput, match="no step 'tenth'"):
            await muster.retry(source, from_step="tenth")
        with pytest.raises(InvalidInput, match="not both"):
            await muster.retry(source, from_step="first", keep=False)
        with pytest.raises(UnknownRun):
            await muster.retry("ffffffff")
        assert (await (await muster.get(source)).row()).replayed_as is None

    scenario(work)


def test_each_retry_that_is_asked_for_makes_a_run_but_two_at_once_make_one() -> None:
    async def work(muster: AsyncMuster) -> None:
        source = await failed(muster)
        first, same = await asyncio.gather(muster.retry(source), muster.retry(source))
        second = await muster.retry(source)
        assert first.id == same.id != second.id
        assert (await (await muster.get(source)).row()).replayed_as == second.id

    scenario(work)


def test_a_replay_stays_on_the_version_of_its_run(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(muster: AsyncMuster) -> None:
        run = await muster.enqueue("ctl-one-step", {"text": "broken"})
        held = FLOWS._held["ctl-one-step"]
        newest = orchestrator("ctl-one-step", version=2)(two_then_fail)
        try:
            assert newest is two_then_fail
            assert (await (await muster.retry(run.id)).row()).version == 1
            monkeypatch.delitem(held, 1)
            with pytest.raises(NotRegistered, match="No version 1"):
                await muster.retry(run.id)
            [refused] = await muster.replay(run.id)
            assert refused.outcome is Outcome.SKIPPED
        finally:
            del held[2]

    scenario(work)


def outcomes(done: list[Replayed]) -> dict[str, Outcome]:
    return {one.run_id: one.outcome for one in done}


def test_dead_letters_are_grouped_by_cause_and_leave_the_list_when_replayed() -> None:
    async def work(muster: AsyncMuster) -> None:
        sources = [await failed(muster) for _ in range(3)]
        other = await muster.enqueue("ctl-one-step", {"text": "liar"})
        groups = {group.flow: group for group in await muster.dead_letters()}
        assert groups["ctl-two-then-fail"].count == 3
        assert groups["ctl-two-then-fail"].example == sources[-1]
        assert groups["ctl-one-step"].code == "INVALID_ENVELOPE"
        mend()
        fingerprint = groups["ctl-two-then-fail"].fingerprint
        planned = await muster.replay(fingerprint=fingerprint, dry_run=True)
        assert outcomes(planned) == dict.fromkeys(sources, Outcome.PLANNED)
        done = await muster.replay(fingerprint=fingerprint)
        assert [one.run_id for one in done] == sources
        assert outcomes(done) == dict.fromkeys(sources, Outcome.REPLAYED)
        assert [group.example for group in await muster.dead_letters()] == [other.id]
        again = await muster.replay(*sources)
        assert outcomes(again) == dict.fromkeys(sources, Outcome.SKIPPED)
        assert again[0].message == "It was replayed already."
        assert [one.replayed_as for one in again] == [one.replayed_as for one in done]
        assert flows.CALLS["first"] == 3

    scenario(work)


def test_all_or_those_of_a_flow_are_replayed_once_even_if_they_fail_again() -> None:
    async def work(muster: AsyncMuster) -> None:
        sources = [await failed(muster) for _ in range(2)]
        other = await muster.enqueue("ctl-one-step", {"text": "broken"})
        assert list(outcomes(await muster.replay(flow="ctl-two-then-fail"))) == sources
        second = await muster.replay(everything=True)
        assert len(second) == 3
        assert second[0].run_id == other.id
        assert not outcomes(second).keys() & set(sources)

    scenario(work)


class AwayAfter(MemoryJournal):
    """A journal whose database goes away after so many runs."""

    left = 10**9

    async def accept(self, new: NewRun) -> Accepted:
        if self.left <= 0:
            raise JournalUnavailable("The database does not answer.")
        self.left -= 1
        return await super().accept(new)


def test_a_replay_that_was_cut_short_goes_on_where_it_was() -> None:
    async def whole() -> None:
        manager = await AsyncCampaignManager.in_process()
        journal = AwayAfter()
        manager.backend.journal = journal
        rebuilt = AsyncCampaignManager(manager.backend)
        async with AsyncMuster(manager=rebuilt) as muster:
            sources = [await failed(muster) for _ in range(4)]
            journal.left = 2
            with pytest.raises(JournalUnavailable):
                await muster.replay(*sources)
            journal.left = 10
            done = await muster.replay(*sources)
            assert [one.outcome.value for one in done] == ["skipped"] * 2 + ["replayed"] * 2
            assert len(await muster.runs(flow="ctl-two-then-fail")) == 8

    asyncio.run(whole())


def test_what_is_wrong_with_one_does_not_keep_the_others() -> None:
    async def work(muster: AsyncMuster) -> None:
        good = await failed(muster)
        bad = await muster.enqueue("ctl-one-step", {"text": "broken"})
        fine = await muster.enqueue("ctl-one-step", {"text": "shout"})
        mend()
        done = await muster.replay(bad.id, fine.id, good, from_step="second")
        assert outcomes(done) == {
            bad.id: Outcome.REFUSED,
            fine.id: Outcome.SKIPPED,
            good: Outcome.REPLAYED,
        }
        assert done[0].code == "VALIDATION_FAILED"
        assert "no step 'second'" in str(done[0].message)
        assert "succeeded" in str(done[1].message)

    scenario(work)


def test_a_child_is_left_to_its_parent_unless_it_is_named() -> None:
    async def work(muster: AsyncMuster) -> None:
        parent = await muster.enqueue("ctl-parent", {"text": "ctl-one-step"})
        [child] = await muster.runs(parent=parent.id)
        assert child.state is RunState.FAILED
        done = outcomes(await muster.replay(everything=True, dry_run=True))
        assert done == {child.run_id: Outcome.SKIPPED, parent.id: Outcome.PLANNED}
        named = outcomes(await muster.replay(child.run_id, dry_run=True))
        assert named == {child.run_id: Outcome.PLANNED}

    scenario(work)


@orchestrator("ctl-parent")
async def parent_of_one(ctx: Any, request: Words) -> Envelope:
    made: Envelope = await ctx.child(request.text, {"text": "broken"}, key="child")
    return made


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({}, "Name runs"),
        ({"everything": True, "flow": "x"}, "not both"),
        ({"fingerprint": "x", "everything": True}, "not both"),
        ({"flow": "x", "from_step": "a", "keep": False}, "not both"),
    ],
)
def test_a_choice_that_is_none_is_refused(choice: dict[str, Any], words: str) -> None:
    async def work(muster: AsyncMuster) -> None:
        with pytest.raises(InvalidInput, match=words):
            await muster.replay(**choice)

    scenario(work)


def test_a_cause_is_shown_with_its_runs_failed_step_and_trace() -> None:
    async def work(muster: AsyncMuster) -> None:
        sources = [await failed(muster) for _ in range(2)]
        journal = (await muster.manager()).backend.journal
        by_run = await failure_report(journal, sources[0])
        assert (by_run.run.run_id, len(by_run.runs)) == (sources[0], 2)
        assert by_run.step is not None
        assert (by_run.step.step, by_run.step.agent) == ("third", "broken")
        assert len(by_run.attempts) == 1
        fingerprint = by_run.run.fingerprint
        assert fingerprint
        by_cause = await failure_report(journal, fingerprint[:8])
        assert by_cause.run.run_id == sources[1]
        told = by_cause.to_json()
        assert told["groups"][0]["count"] == 2
        assert told["example"]["failed_step"]["input"] == {"text": "third"}
        assert "ValueError" in told["example"]["trace"]
        fine = await muster.enqueue("ctl-one-step", {"text": "shout"})
        with pytest.raises(InvalidInput, match="no dead letter"):
            await failure_report(journal, fine.id)

    scenario(work)


def test_the_synchronous_client_has_the_same_calls() -> None:
    for name in ("retry", "dead_letters", "replay"):
        assert callable(getattr(Muster, name))
