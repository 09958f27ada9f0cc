import pytest

from envelope.ports.journal import Journal
from envelope.ports.journal_rows import RunFilter, RunState
from envelope.ports.journal_writes import QuarantinedMessage
from tests.conformance.journal.making import (
    Backend,
    a_worker,
    accepted,
    an_event,
    claimed,
    ending,
    write_of,
)


def test_what_is_unknown_is_none_or_empty(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        assert await journal.run("unknown") is None
        assert list(await journal.steps("unknown")) == []
        assert list(await journal.attempts("unknown")) == []
        assert list(await journal.events("unknown")) == []
        assert list(await journal.workers()) == []
        assert list(await journal.runs(RunFilter())) == []
        assert dict(await journal.counts()) == {}
        assert list(await journal.quarantined()) == []

    backend.using(body)


def test_runs_are_listed_newest_first_page_by_page(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        ids = [await accepted(journal) for _ in range(7)]
        newest = ids[::-1]
        assert await _ids(journal) == newest
        assert await _ids(journal, limit=3) == newest[:3]
        assert await _ids(journal, limit=3, before=newest[2]) == newest[3:6]
        assert await _ids(journal, before=newest[-1]) == []
        assert await _ids(journal, before="unknown") == []
        assert await _ids(journal, limit=0) == []

    backend.using(body)


def test_runs_are_found_by_state_flow_tenant_and_tags(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        plain = await accepted(journal)
        audit = await accepted(journal, flow="audit", tenant="acme")
        tagged = await accepted(journal, tags={"a": "1", "b": "2"})
        other = await accepted(journal, tags={"a": "2", "b": "1"})
        done = await claimed(journal, tags={"a": "1"})
        await journal.commit(write_of(done, **ending()))
        failed = await claimed(journal)
        await journal.commit(write_of(failed, **ending(RunState.FAILED)))
        assert await _ids(journal, flow="audit") == [audit]
        assert await _ids(journal, tenant="acme") == [audit]
        assert await _ids(journal, tags={"a": "1"}) == [done.run.run_id, tagged]
        assert await _ids(journal, tags={"a": "1", "b": "2"}) == [tagged]
        assert await _ids(journal, tags={"b": "1"}) == [other]
        assert await _ids(journal, states=frozenset({RunState.QUEUED})) == [
            other,
            tagged,
            audit,
            plain,
        ]
        ended = frozenset({RunState.SUCCEEDED, RunState.FAILED})
        assert await _ids(journal, states=ended) == [failed.run.run_id, done.run.run_id]
        assert await _ids(journal, states=ended, tags={"a": "1"}) == [done.run.run_id]

    backend.using(body)


@pytest.mark.parametrize(
    "tags",
    [
        {"k": 'v"'},
        {"k": 'v","k":"w'},
        {'x"k': "v"},
        {'x,"k': "v"},
        {"x": ',"k":"v"'},
        {"x": '{"k":"v"}'},
        {"K": "v"},
        {"k": "V"},
        {"k": "v "},
        {"k": "%"},
        {"k_": "v"},
        {"k\\": "v"},
        {"x": '\\",\\"k\\":\\"v'},
    ],
)
def test_a_tag_matches_only_itself(backend: Backend, tags: dict[str, str]) -> None:
    async def body(journal: Journal) -> None:
        run_id = await accepted(journal, tags=tags)
        assert await _ids(journal, tags={"k": "v"}) == []
        assert await _ids(journal, tags=tags) == [run_id]

    backend.using(body)


def test_counts_go_by_flow_and_state(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        await accepted(journal)
        await accepted(journal)
        await accepted(journal, flow="audit")
        done = await claimed(journal)
        await journal.commit(write_of(done, **ending()))
        await claimed(journal, flow="audit")
        assert {flow: dict(states) for flow, states in (await journal.counts()).items()} == {
            "lead": {"queued": 2, "succeeded": 1},
            "audit": {"queued": 1, "running": 1},
        }

    backend.using(body)


def test_a_reader_of_events_resumes_from_any_number(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        claim = await claimed(journal)
        events = [an_event(f"e{n}", data=f'{{"n": {n}}}') for n in range(8)]
        await journal.commit(write_of(claim, events=events))
        run_id = claim.run.run_id
        whole = list(await journal.events(run_id))
        assert [event.number for event in whole] == list(range(1, 11))
        assert all(event.run_id == run_id for event in whole)
        for after in range(11):
            assert list(await journal.events(run_id, after=after)) == whole[after:]
        assert list(await journal.events(run_id, after=2, limit=3)) == whole[2:5]
        assert list(await journal.events(run_id, after=99)) == []
        assert list(await journal.events(run_id, after=-5)) == whole
        assert list(await journal.events(run_id, limit=0)) == []
        assert whole[5].data == '{"n": 3}'
        assert [event.at for event in whole] == sorted(event.at for event in whole)

    backend.using(body)


def test_quarantined_messages_are_kept_newest_first(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        for n in range(5):
            message = QuarantinedMessage(
                queue="runs.lead", reason=f"bad {n}", sha256="d" * 64, size=10**10, excerpt="\\x00"
            )
            await journal.quarantine(message)
        found = await journal.quarantined(3)
        assert [entry["reason"] for entry in found] == ["bad 4", "bad 3", "bad 2"]
        assert set(found[0]) == {"number", "at", "queue", "reason", "sha256", "size", "excerpt"}
        assert (found[0]["queue"], found[0]["size"], found[0]["excerpt"]) == (
            "runs.lead",
            10**10,
            "\\x00",
        )
        assert len(await journal.quarantined()) == 5

    backend.using(body)


def test_another_journal_on_the_same_database_reads_the_same(database: Backend) -> None:
    async def body(journal: Journal) -> None:
        await journal.beat(a_worker(), 60)
        claim = await claimed(journal)
        await journal.commit(write_of(claim, **ending(envelope="E")))
        async with database.opened() as other:
            assert await other.run(claim.run.run_id) == await journal.run(claim.run.run_id)
            assert list(await other.events(claim.run.run_id)) == list(
                await journal.events(claim.run.run_id)
            )

    database.using(body)


async def _ids(journal: Journal, **fields: object) -> list[str]:
    which = RunFilter(**fields)  # type: ignore[arg-type]  # checked by the dataclass's users
    return [run.run_id for run in await journal.runs(which)]
