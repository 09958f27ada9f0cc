"""The campaign manager, executing in process and sending to a queue."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from control import CampaignManager, RunCancelled, RunFailed
from control.async_manager import AsyncCampaignManager
from control.event import Event
from control.replay import replay_run
from envelope.errors import (
    IdempotencyConflict,
    InvalidInput,
    JournalUnavailable,
    NotRegistered,
    TooLarge,
)
from envelope.ports.journal_rows import Accepted, RunFilter, RunState
from envelope.ports.journal_writes import NewRun
from tests.rig import flows
from tests.unit.test_control_backend import RecordingQueue, backend_over
from worker.journal.memory import MemoryJournal


@pytest.fixture(autouse=True)
def fresh() -> None:
    flows.reset()


class AwayJournal(MemoryJournal):
    """A journal whose database is away."""

    async def accept(self, new: NewRun) -> Accepted:
        raise JournalUnavailable("The database does not answer.")


def manager_over(queue: RecordingQueue, **settings: Any) -> AsyncCampaignManager:
    return AsyncCampaignManager(backend_over(queue=queue, **settings))


def event(**fields: Any) -> dict[str, Any]:
    return {"flow": "one", "payload": {"text": "shout"}, **fields}


def test_without_a_queue_the_result_is_ready_when_the_event_is_ingested() -> None:
    with CampaignManager() as manager:
        run = manager.ingest_event(event(source="webhook", user="u1", tags={"a": "b"}))
        assert run.status() is RunState.SUCCEEDED
        envelope = run.result(timeout=0)
        assert envelope.records[0].data == {"text": "2"}
        assert envelope.metadata.run_id == run.id
        row = run.row()
        assert (row.source, row.user, dict(row.tags)) == ("webhook", "u1", {"a": "b"})
        assert row.trace_id is not None
        assert [e.type for e in run.events()][-1] == "run.succeeded"


def test_a_failing_run_raises_at_its_result_and_says_why() -> None:
    with CampaignManager() as manager:
        run = manager.ingest_event(event(payload={"text": "broken"}))
        with pytest.raises(RunFailed) as caught:
            run.result()
    assert caught.value.run_id == run.id
    assert caught.value.failure is not None
    assert caught.value.failure.code == "TASK_EXECUTION_FAILED"
    assert caught.value.failure.agent == "broken"


def test_the_same_key_and_payload_name_the_same_run_and_execute_once() -> None:
    with CampaignManager() as manager:
        first = manager.ingest_event(event(key="k"))
        second = manager.ingest_event(event(key="k"))
        assert second.id == first.id
        assert first.receipt is not None
        assert second.receipt is not None
        assert (first.receipt.created, second.receipt.created) == (True, False)
        assert flows.CALLS["2"] == 1
        with pytest.raises(IdempotencyConflict) as caught:
            manager.ingest_event(event(key="k", payload={"text": "broken"}))
        assert caught.value.run_id == first.id


@pytest.mark.parametrize(
    ("wrong", "error", "words"),
    [
        ({"flow": "onne"}, NotRegistered, "Did you mean 'one'?"),
        ({"payload": {"txt": "x"}}, InvalidInput, "text"),
        ({"payload": {"text": 5}}, InvalidInput, "text"),
        ({"payload": ["x"]}, InvalidInput, "object"),
        ({"payload": {"text": float("nan")}}, InvalidInput, "JSON"),
        ({"payload": {"text": "a\x00b"}}, InvalidInput, "NUL"),
        ({"payload": {"text": "x" * 300_000}}, TooLarge, "262,144"),
        ({"usr": "x"}, InvalidInput, "Did you mean 'user'?"),
        ({"zzz": 1}, InvalidInput, "Fields: flow, payload"),
        ({"priority": 10}, InvalidInput, "priority"),
        ({"priority": "1"}, InvalidInput, "priority"),
        ({"delay": -1}, InvalidInput, "delay"),
        ({"delay": float("inf")}, InvalidInput, "delay"),
        ({"tags": {"a": 1}}, InvalidInput, "tags.a"),
        ({"tags": {str(n): "" for n in range(40)}}, InvalidInput, "tags"),
        ({"user": "a\nb"}, InvalidInput, "user"),
        ({"key": "\ud800"}, InvalidInput, "key"),
        ({"trace_id": "xyz"}, InvalidInput, "trace_id"),
    ],
)
def test_a_bad_event_is_refused_with_its_reason_and_nothing_is_committed(
    wrong: dict[str, Any], error: type[Exception], words: str
) -> None:
    async def scenario() -> None:
        queue = RecordingQueue()
        manager = manager_over(queue)
        good, bad = event(), event(**wrong)
        with pytest.raises(error) as caught:
            await manager.ingest_many([good, bad])
        assert words in str(caught.value)
        assert await manager.backend.journal.runs(RunFilter()) == []
        assert queue.sent == []

    asyncio.run(scenario())


def test_a_payload_nested_without_end_is_refused() -> None:
    deep: Any = "x"
    for _ in range(100_000):
        deep = [deep]
    with CampaignManager() as manager, pytest.raises(InvalidInput, match="deeply"):
        manager.ingest_event(event(payload={"text": deep}))


def test_a_missing_field_and_a_wrong_kind_of_event_are_named() -> None:
    with pytest.raises(InvalidInput, match="'payload' is missing"):
        Event.of({"flow": "one"})
    with pytest.raises(InvalidInput, match="not list"):
        Event.of([])  # type: ignore[arg-type]  # the point of this test


def test_with_a_queue_the_run_is_committed_then_sent_and_marked() -> None:
    async def scenario() -> None:
        queue = RecordingQueue()
        manager = manager_over(queue)
        run = await manager.ingest_event(event(priority=7))
        assert [(h.run_id, h.flow, h.priority) for h in queue.sent] == [(run.id, "one", 7)]
        row = await run.row()
        assert (row.state, row.sends) == (RunState.QUEUED, 1)
        assert run.receipt is not None
        assert run.receipt.sent

    asyncio.run(scenario())


def test_with_the_queue_away_the_run_is_accepted_and_left_to_the_reconciler() -> None:
    async def scenario() -> None:
        manager = manager_over(RecordingQueue(away=True))
        run = await manager.ingest_event(event())
        assert run.receipt is not None
        assert (run.receipt.created, run.receipt.sent) == (True, False)
        assert run.receipt.notice == "Redis does not answer."
        assert (await run.row()).sends == 0
        unsent = await manager.backend.journal.unsent(frozenset(), 3, 10)
        assert [hint.run_id for hint in unsent] == [run.id]

    asyncio.run(scenario())


def test_who_gives_up_waiting_leaves_nothing_accepted_and_unsent() -> None:
    async def scenario() -> None:
        queue = RecordingQueue()
        async with manager_over(queue) as manager:
            giving_up = asyncio.create_task(manager.ingest_many([event(), event()]))
            await asyncio.sleep(0)
            giving_up.cancel()
            with pytest.raises(asyncio.CancelledError):
                await giving_up
        runs = await manager.backend.journal.runs(RunFilter())
        assert sorted(run.run_id for run in runs) == sorted(hint.run_id for hint in queue.sent)
        assert len(runs) == 2

    asyncio.run(scenario())


def test_with_the_journal_away_nothing_is_sent() -> None:
    async def scenario() -> None:
        queue = RecordingQueue()
        backend = backend_over(journal=AwayJournal(), queue=queue)
        with pytest.raises(JournalUnavailable):
            await AsyncCampaignManager(backend).ingest_event(event())
        assert queue.sent == []

    asyncio.run(scenario())


def test_a_duplicate_and_a_delayed_run_are_not_sent() -> None:
    async def scenario() -> None:
        queue = RecordingQueue()
        manager = manager_over(queue)
        await manager.ingest_event(event(key="k"))
        again = await manager.ingest_event(event(key="k"))
        late = await manager.ingest_event(event(delay=60))
        assert len(queue.sent) == 1
        assert again.receipt is not None
        assert late.receipt is not None
        assert (again.receipt.sent, late.receipt.sent) == (False, False)
        row = await late.row()
        assert row.available_at - row.created_at == pytest.approx(60)

    asyncio.run(scenario())


def test_a_delayed_run_without_a_queue_is_refused() -> None:
    with CampaignManager() as manager, pytest.raises(InvalidInput, match="needs a queue"):
        manager.ingest_event(event(delay=1))


def test_many_events_are_sent_in_one_go_and_keep_their_order() -> None:
    async def scenario() -> None:
        queue = RecordingQueue()
        manager = manager_over(queue)
        many = [event(key=str(number), payload={"text": str(number)}) for number in range(500)]
        runs = await manager.ingest_many(many)
        assert queue.calls == 1
        assert [hint.run_id for hint in queue.sent] == [run.id for run in runs]
        texts = [json.loads((await run.row()).payload)["text"] for run in runs]
        assert texts == [str(number) for number in range(500)]

    asyncio.run(scenario())


def test_a_conflict_among_many_is_raised_after_the_others_were_accepted() -> None:
    async def scenario() -> None:
        queue = RecordingQueue()
        manager = manager_over(queue)
        await manager.ingest_event(event(key="taken"))
        other = event(key="taken", payload={"text": "other"})
        with pytest.raises(IdempotencyConflict):
            await manager.ingest_many([event(), other, event()])
        assert len(queue.sent) == 3

    asyncio.run(scenario())


def test_a_retry_is_a_new_run_that_names_the_old_one() -> None:
    async def scenario() -> None:
        async with await AsyncCampaignManager.in_process() as manager:
            old = await manager.ingest_event(event(key="k", user="u", tags={"a": "b"}))
            new = await replay_run(manager, await old.row())
            row = await new.row()
            assert new.id != old.id
            assert row.state is RunState.SUCCEEDED
            assert (row.replay_of, (await old.row()).replayed_as) == (old.id, new.id)
            assert (dict(row.tags), row.user) == ({"a": "b"}, "u")

    asyncio.run(scenario())


def test_a_run_that_has_not_ended_is_not_retried() -> None:
    async def scenario() -> None:
        manager = manager_over(RecordingQueue())
        run = await manager.ingest_event(event())
        with pytest.raises(InvalidInput, match="queued"):
            await replay_run(manager, await run.row())
        assert await run.cancel("enough") is RunState.CANCELLED
        with pytest.raises(RunCancelled, match="enough"):
            await run.result()

    asyncio.run(scenario())
