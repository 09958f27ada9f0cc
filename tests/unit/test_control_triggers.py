"""What a trigger may say besides flow and payload: when, how much, and which run of a kind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from pydantic import BaseModel

from control import AsyncMuster, CampaignManager
from control.async_manager import AsyncCampaignManager
from control.event import Event
from envelope import Envelope
from envelope.errors import InvalidInput, SingletonConflict, TooLarge
from envelope.ports.journal_rows import RunState
from envelope.ports.journal_writes import Commit, NewEvent, RunEnd
from orchestrators import orchestrator
from orchestrators.definition import FlowDefinition
from orchestrators.singleton import singleton_key
from tests.rig import flows
from tests.unit.test_control_backend import RecordingQueue, ToldWakeups, backend_over


class Order(BaseModel):
    company: str
    number: int = 7
    tags: list[str] = []
    note: str | None = None


async def nothing(ctx: Any, request: Order) -> Envelope:
    return Envelope.from_records([], source="nothing")


def flow(template: str | None) -> FlowDefinition:
    return FlowDefinition(
        name="ctl-order",
        version=1,
        function=nothing,
        model=Order,
        singleton=template,
        on_conflict="queue",
    )


PAYLOAD = '{"company":"A/B & Söhne","note":null,"number":7,"tags":[]}'
SAID = {"tenant": "ten:ant", "user": "a:b", "thread": None, "key": "k"}


for _policy in ("queue", "reject", "join", "replace"):
    orchestrator(f"ctl-{_policy}", singleton="run:{user}", on_conflict=_policy)(nothing)  # type: ignore[arg-type]


@asynccontextmanager
async def client(queue: RecordingQueue | None = None) -> AsyncIterator[AsyncMuster]:
    """A client whose runs nobody executes."""
    backend = backend_over(queue=queue or RecordingQueue(), wakeups=ToldWakeups())
    async with AsyncMuster(manager=AsyncCampaignManager(backend)) as muster:
        yield muster


@pytest.fixture(autouse=True)
def fresh() -> None:
    flows.reset()


@pytest.mark.parametrize(
    ("template", "key"),
    [
        (None, None),
        ("run:{user}:{thread}", None),  # a run in no thread has nothing to be alone in
        ("run:{user}", "ten%3Aant/run:a%3Ab"),
        ("{flow}/{payload.company}", "ten%3Aant/ctl-order/A%2FB%20%26%20S%C3%B6hne"),
        ("{tenant}{key}{payload.number}", "ten%3Aant/ten%3Aantk7"),
        ("all{{}}", "ten%3Aant/all{}"),
    ],
)
def test_the_template_is_filled_in_with_quoted_parts(template: str | None, key: str | None) -> None:
    assert singleton_key(flow(template), SAID, PAYLOAD) == key


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("run:{usr}", "unknown field {usr}"),
        ("{user}{usr}", "unknown field {usr}"),
        ("run:{payload.compny}", "unknown field {payload.compny}"),
        ("run:{payload.company.x}", "unknown field"),
        ("run:{user!r}", "unknown field"),
        ("run:{user:>9}", "unknown field"),
        ("run:{}", "unknown field {}"),
        ("run:{user", "malformed"),
        ("run:{payload.note}", "this payload has not"),
        ("run:{payload.tags}", "a list or an object"),
    ],
)
def test_a_template_that_cannot_be_filled_in_says_why(template: str, words: str) -> None:
    with pytest.raises(InvalidInput, match="ctl-order") as caught:
        singleton_key(flow(template), SAID, PAYLOAD)
    assert words in str(caught.value)


def test_a_key_that_no_index_holds_is_refused() -> None:
    with pytest.raises(TooLarge, match="2,000"):
        singleton_key(flow("{user}"), {"tenant": "t", "user": "ä" * 400}, PAYLOAD)


def test_a_trigger_without_the_user_that_its_flow_needs_is_refused() -> None:
    async def scenario() -> None:
        async with client() as muster:
            with pytest.raises(InvalidInput, match="pass user=…"):
                await muster.enqueue("ctl-queue", {"company": "x"})
            assert await muster.runs() == []

    asyncio.run(scenario())


def test_the_second_run_waits_behind_the_first_and_is_not_sent() -> None:
    async def scenario() -> None:
        queue = RecordingQueue()
        async with client(queue) as muster:
            first = await muster.enqueue("ctl-queue", {"company": "x"}, user="u")
            second = await muster.enqueue("ctl-queue", {"company": "y"}, user="u")
            other = await muster.enqueue("ctl-queue", {"company": "y"}, user="v")
            assert second.receipt is not None
            assert (second.receipt.behind, second.receipt.sent) == (first.id, False)
            assert second.receipt.singleton == "default/run:u"
            assert await second.status() is RunState.WAITING
            assert [hint.run_id for hint in queue.sent] == [first.id, other.id]

    asyncio.run(scenario())


def test_reject_refuses_and_names_the_active_run() -> None:
    async def scenario() -> None:
        async with client() as muster:
            first = await muster.enqueue("ctl-reject", {"company": "x"}, user="u")
            with pytest.raises(SingletonConflict) as caught:
                await muster.enqueue("ctl-reject", {"company": "y"}, user="u")
            assert caught.value.run_id == first.id
            assert len(await muster.runs()) == 1

    asyncio.run(scenario())


def test_join_stands_for_the_active_run() -> None:
    async def scenario() -> None:
        queue = RecordingQueue()
        async with client(queue) as muster:
            first = await muster.enqueue("ctl-join", {"company": "x"}, user="u")
            second = await muster.enqueue("ctl-join", {"company": "y"}, user="u")
            assert second.id == first.id
            assert second.receipt is not None
            assert (second.receipt.created, second.receipt.sent) == (False, False)
            assert len(queue.sent) == 1

    asyncio.run(scenario())


def test_replace_cancels_every_older_run_and_starts_at_once() -> None:
    async def scenario() -> None:
        queue = RecordingQueue()
        async with client(queue) as muster:
            waiting = [
                await muster.enqueue("ctl-queue", {"company": str(n)}, user="u") for n in range(2)
            ]
            newest = await muster.enqueue("ctl-replace", {"company": "z"}, user="u")
            assert newest.receipt is not None
            assert set(newest.receipt.replaced) == {run.id for run in waiting}
            for run in waiting:
                row = await run.row()
                assert row.state is RunState.CANCELLED
                assert row.cancel_reason == f"replaced by run {newest.id}"
            assert await newest.status() is RunState.QUEUED
            assert queue.sent[-1].run_id == newest.id

    asyncio.run(scenario())


def test_replace_tells_the_owner_of_the_running_one_and_waits_for_its_end() -> None:
    async def scenario() -> None:
        async with client() as muster:
            backend = (await muster.manager()).backend
            first = await muster.enqueue("ctl-replace", {"company": "x"}, user="u", key="1")
            claim = await backend.journal.claim(first.id, "w")
            assert claim is not None
            second = await muster.enqueue("ctl-replace", {"company": "y"}, user="u", key="2")
            again = await muster.enqueue("ctl-replace", {"company": "y"}, user="u", key="2")
            assert again.id == second.id
            assert ("w", "cancel") in backend.wakeups.told  # type: ignore[attr-defined]
            assert await second.status() is RunState.WAITING
            end = RunEnd(state=RunState.CANCELLED)
            last = NewEvent(type="run.cancelled")
            await backend.journal.commit(
                Commit(run_id=first.id, epoch=claim.run.epoch, events=[last], end=end)
            )
            [hint] = await backend.journal.wake(10)
            assert hint.run_id == second.id

    asyncio.run(scenario())


def test_a_replacement_that_was_cut_short_is_made_good_by_the_same_trigger() -> None:
    async def scenario() -> None:
        async with client() as muster:
            manager = await muster.manager()
            first = await muster.enqueue("ctl-replace", {"company": "x"}, user="u")
            steering, manager._steering = manager._steering, None  # type: ignore[assignment]
            with pytest.raises(AttributeError):
                await muster.enqueue("ctl-replace", {"company": "y"}, user="u", key="k")
            manager._steering = steering
            assert await first.status() is RunState.QUEUED
            again = await muster.enqueue("ctl-replace", {"company": "y"}, user="u", key="k")
            assert await first.status() is RunState.CANCELLED
            assert await again.status() is RunState.QUEUED

    asyncio.run(scenario())


def test_a_run_may_start_at_a_moment() -> None:
    async def scenario() -> None:
        queue = RecordingQueue()
        async with client(queue) as muster:
            at = datetime.now(UTC) + timedelta(hours=1)
            later = await muster.enqueue("one", {"text": "x"}, at=at)
            passed = await muster.enqueue("one", {"text": "x"}, at=at - timedelta(days=9))
            assert (await later.row()).available_at == pytest.approx(at.timestamp(), abs=5)
            assert [hint.run_id for hint in queue.sent] == [passed.id]

    asyncio.run(scenario())


def test_a_moment_may_be_text_of_any_zone() -> None:
    soon = datetime.now(timezone(timedelta(hours=9))) + timedelta(hours=1)
    event = Event.of({"flow": "one", "payload": {}, "at": soon.isoformat()})
    assert event.at == soon
    assert event.wait_seconds == pytest.approx(3600, abs=5)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"at": "2030-01-31T09:00:00"}, "no time zone"),
        ({"at": datetime(2030, 1, 31)}, "no time zone"),  # noqa: DTZ001 - the point of this test
        ({"at": "tomorrow"}, "no ISO 8601 time"),
        ({"at": 5}, "'at'"),
        ({"at": "2030-01-31T09:00Z", "delay": 5}, "exclude each other"),
        ({"at": "9999-12-31T23:59:59-23:59"}, "366 days"),
        ({"budget_tokens": 0}, "budget_tokens"),
        ({"budget_tokens": 1.5}, "budget_tokens"),
        ({"budget_usd": -1}, "budget_usd"),
        ({"budget_usd": float("nan")}, "budget_usd"),
    ],
)
def test_a_moment_or_budget_that_makes_no_sense_is_refused(
    wrong: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        Event.of({"flow": "one", "payload": {}, **wrong})
    assert words in str(caught.value)


def test_a_budget_is_kept_with_the_run() -> None:
    with CampaignManager() as manager:
        run = manager.ingest_event(
            {"flow": "one", "payload": {"text": "shout"}, "budget_tokens": 5, "budget_usd": 1}
        )
        row = run.row()
        assert (row.budget_tokens, row.budget_usd) == (5, 1.0)
