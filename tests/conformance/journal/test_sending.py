import asyncio

from envelope.ports.journal import Journal
from envelope.ports.journal_rows import Hint
from tests.conformance.journal.making import (
    Backend,
    a_worker,
    accepted,
    claimed,
    ending,
    until,
    write_of,
)

LEAD = frozenset({"runs.lead"})


def test_a_run_never_sent_is_handed_out_once_and_marked(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        run_id = await accepted(journal, flow="audit", priority=4)
        hints = await journal.unsent(frozenset(), 1000, 10)
        assert list(hints) == [Hint(run_id=run_id, flow="audit", priority=4)]
        run = await journal.run(run_id)
        assert run is not None
        assert run.sends == 1
        assert run.sent_at is not None
        assert list(await journal.unsent(frozenset(), 1000, 10)) == []

    backend.using(body)


def test_a_run_marked_as_sent_is_not_missing_until_its_grace_is_over(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        run_id = await accepted(journal)
        await journal.mark_sent([run_id])
        run = await journal.run(run_id)
        assert run is not None
        assert (run.sends, run.sent_at is None) == (1, False)
        assert list(await journal.unsent(LEAD, 1000, 10)) == []
        assert [hint.run_id for hint in await journal.unsent(LEAD, 0, 10)] == [run_id]
        await journal.mark_sent([])
        await journal.mark_sent(["unknown"])

    backend.using(body)


def test_a_run_that_is_sent_right_after_its_commit_is_accepted_with_that_note(
    backend: Backend,
) -> None:
    async def body(journal: Journal) -> None:
        run_id = await accepted(journal, sent=True)
        run = await journal.run(run_id)
        assert run is not None
        assert (run.sends, run.sent_at) == (1, run.created_at)
        assert list(await journal.unsent(LEAD, 1000, 10)) == []
        assert [hint.run_id for hint in await journal.unsent(LEAD, 0, 10)] == [run_id]

    backend.using(body)


def test_a_message_that_did_not_go_out_after_all_is_missing_at_once(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        run_ids = [await accepted(journal, sent=True) for _ in range(2)]
        await journal.forget_sent([*run_ids, "unknown"])
        await journal.forget_sent([])
        for run_id in run_ids:
            run = await journal.run(run_id)
            assert run is not None
            assert (run.sends, run.sent_at) == (0, None)
        hints = await journal.unsent(frozenset(), 1000, 10)
        assert sorted(hint.run_id for hint in hints) == sorted(run_ids)

    backend.using(body)


def test_a_run_that_was_taken_or_ended_had_its_message(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        taken, ended = await claimed(journal, sent=True), await claimed(journal, sent=True)
        await journal.commit(write_of(ended, **ending()))
        before = [await journal.run(claim.run.run_id) for claim in (taken, ended)]
        await journal.forget_sent([taken.run.run_id, ended.run.run_id])
        assert [await journal.run(claim.run.run_id) for claim in (taken, ended)] == before

    backend.using(body)


def test_what_is_not_sent_at_once_has_no_such_note(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        key = {"singleton": "run:u:t", "sent": True}
        first = await accepted(journal, **key)
        behind = await accepted(journal, **key)
        later = await accepted(journal, delay_seconds=1000, sent=True)
        sends = [
            run.sends for run_id in (first, behind, later) if (run := await journal.run(run_id))
        ]
        assert sends == [1, 0, 0]

    backend.using(body)


def test_the_grace_doubles_after_many_sends_and_is_tenfold_while_the_topic_is_busy(
    backend: Backend,
) -> None:
    async def body(journal: Journal) -> None:
        patient = await accepted(journal)
        eager = await accepted(journal)
        for _ in range(9):
            await journal.mark_sent([patient])
        await journal.mark_sent([eager])
        grace = 0.05

        async def due(topics: frozenset[str]) -> list[str]:
            return [hint.run_id for hint in await journal.unsent(topics, grace, 10)]

        found: list[str] = []

        async def eager_is_due() -> bool:
            # The grace itself while the topic is empty; 32 times that for the one sent often.
            found.extend(await due(LEAD))
            return bool(found)

        await until(eager_is_due)
        assert found == [eager]
        run = await journal.run(eager)
        assert run is not None
        assert run.sends == 2
        # Busy: ten times the grace is asked for.
        await asyncio.sleep(0)
        assert await due(frozenset({"runs.audit", "agent.lead"})) == []

    backend.using(body)


def test_a_run_that_is_not_due_is_not_sent(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        await accepted(journal, delay_seconds=1000)
        soon = await accepted(journal, delay_seconds=0.2)
        await claimed(journal)
        done = await claimed(journal)
        await journal.commit(write_of(done, **ending()))
        handed: list[str] = []

        async def is_handed() -> bool:
            handed.extend(hint.run_id for hint in await journal.unsent(LEAD, 0, 10))
            return bool(handed)

        await until(is_handed)
        assert handed == [soon]
        run = await journal.run(soon)
        assert run is not None
        assert run.sent_at is not None
        assert run.sent_at >= run.available_at

    backend.using(body)


def test_never_sent_runs_go_first_and_the_limit_holds(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        sent = [await accepted(journal) for _ in range(3)]
        await journal.mark_sent(sent)
        fresh = [await accepted(journal) for _ in range(3)]
        hints = await journal.unsent(LEAD, 0, 4)
        ids = [hint.run_id for hint in hints]
        assert ids[:3] == fresh
        assert ids[3] in sent
        assert list(await journal.unsent(LEAD, 0, 0)) == []

    backend.using(body)


def test_each_run_is_handed_to_one_of_several_reconcilers(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        ids = [await accepted(journal) for _ in range(40)]
        results = await asyncio.gather(*(journal.unsent(LEAD, 1000, 100) for _ in range(8)))
        handed = [hint.run_id for part in results for hint in part]
        assert sorted(handed) == sorted(ids)

    backend.using(body)


def test_a_send_noted_for_an_ended_run_changes_nothing(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        claim = await claimed(journal)
        await journal.commit(write_of(claim, **ending(envelope="E", trace="T")))
        before = await journal.run(claim.run.run_id)
        await journal.mark_sent([claim.run.run_id])
        assert await journal.run(claim.run.run_id) == before

    backend.using(body)


def test_a_send_noted_late_does_not_disturb_the_owner(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        await journal.beat(a_worker(), 60)
        claim = await claimed(journal)
        await journal.mark_sent([claim.run.run_id])
        assert await journal.run(claim.run.run_id) == claim.run
        assert await journal.commit(write_of(claim, **ending())) == 3

    backend.using(body)
