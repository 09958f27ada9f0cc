import asyncio
from dataclasses import replace
from typing import Any

import pytest

from envelope.errors import IdempotencyConflict, InvalidInput
from envelope.ports.journal import Journal
from envelope.ports.journal_rows import RunState
from tests.conformance.journal.making import Backend, a_run, types


def test_an_accepted_run_is_queued_with_all_that_was_asked(backend: Backend) -> None:
    new = a_run(
        "r1",
        flow="audit",
        version=3,
        tenant="acme",
        user="u1",
        thread="t1",
        key="k1",
        tags={"sector": "Énergie", 'quo"te': "a,b"},
        priority=7,
        allow_delivery=True,
        trace_id="trace",
    )

    async def body(journal: Journal) -> None:
        accepted = await journal.accept(new)
        assert (accepted.run_id, accepted.created) == ("r1", True)
        run = await journal.run("r1")
        assert run is not None
        for name in ("flow", "version", "tenant", "user", "thread", "key", "source", "tags"):
            assert getattr(run, name) == getattr(new, name)
        for name in ("priority", "allow_delivery", "trace_id", "payload", "payload_sha256"):
            assert getattr(run, name) == getattr(new, name)
        assert run.state is RunState.QUEUED
        assert (run.epoch, run.owner, run.losses, run.sends, run.steps_done) == (0, None, 0, 0, 0)
        assert (run.sent_at, run.started_at, run.finished_at) == (None, None, None)
        assert (run.envelope, run.failure, run.trace, run.cancel_reason) == (None,) * 4
        assert run.created_at == run.available_at
        assert run.events == 1
        assert await types(journal, "r1") == ["run.queued"]

    backend.using(body)


def test_a_delay_moves_the_time_from_which_the_run_is_available(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        await journal.accept(a_run("r1", delay_seconds=100))
        run = await journal.run("r1")
        assert run is not None
        assert run.available_at - run.created_at == pytest.approx(100)

    backend.using(body)


def test_the_same_key_and_payload_is_the_same_run(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        first = await journal.accept(a_run(key="k"))
        again = await journal.accept(a_run(key="k"))
        assert (again.run_id, again.created) == (first.run_id, False)
        assert await journal.counts() == {"lead": {"queued": 1}}
        assert await types(journal, first.run_id) == ["run.queued"]

    backend.using(body)


def test_the_same_key_with_another_payload_names_the_run_that_holds_it(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        first = await journal.accept(a_run(key="k"))
        with pytest.raises(IdempotencyConflict) as caught:
            await journal.accept(a_run(key="k", payload_sha256="c" * 64))
        assert (caught.value.key, caught.value.run_id) == ("k", first.run_id)
        assert await journal.counts() == {"lead": {"queued": 1}}

    backend.using(body)


@pytest.mark.parametrize("other", [{"tenant": "b"}, {"flow": "audit"}, {"key": "K"}, {"key": None}])
def test_a_key_belongs_to_one_tenant_and_flow(backend: Backend, other: dict[str, str]) -> None:
    async def body(journal: Journal) -> None:
        await journal.accept(a_run(key="k", tenant="a"))
        values = {"key": "k", "tenant": "a"} | other
        assert (await journal.accept(a_run(payload_sha256="c" * 64, **values))).created

    backend.using(body)


def test_runs_without_a_key_are_all_different(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        ids = {(await journal.accept(a_run())).run_id for _ in range(3)}
        assert len(ids) == 3

    backend.using(body)


def test_a_run_accepted_twice_under_its_id_is_one_run(backend: Backend) -> None:
    new = a_run("r1")

    async def body(journal: Journal) -> None:
        assert (await journal.accept(new)).created
        assert not (await journal.accept(new)).created
        with pytest.raises(InvalidInput, match="r1"):
            await journal.accept(replace(new, payload_sha256="c" * 64))
        assert await types(journal, "r1") == ["run.queued"]

    backend.using(body)


def test_one_conflict_does_not_hurt_those_accepted_beside_it(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        await journal.accept(a_run(key="taken"))
        wrong = a_run(key="taken", payload_sha256="c" * 64)
        results = await asyncio.gather(
            *(journal.accept(a_run(key=f"k{n}")) for n in range(20)),
            journal.accept(wrong),
            *(journal.accept(a_run(key=f"m{n}")) for n in range(20)),
            return_exceptions=True,
        )
        errors = [result for result in results if isinstance(result, BaseException)]
        assert len(errors) == 1
        assert isinstance(errors[0], IdempotencyConflict)
        assert await journal.counts() == {"lead": {"queued": 41}}

    backend.using(body)


def test_the_same_key_at_once_is_one_run(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        results = await asyncio.gather(*(journal.accept(a_run(key="k")) for _ in range(50)))
        assert len({result.run_id for result in results}) == 1
        assert sum(result.created for result in results) == 1

    backend.using(body)


def test_a_campaign_is_accepted_together(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        results = await asyncio.gather(*(journal.accept(a_run(key=f"k{n}")) for n in range(503)))
        assert all(result.created for result in results)
        assert await journal.counts() == {"lead": {"queued": 503}}

    backend.using(body)


@pytest.mark.parametrize("text", ["nul\x00", "half \ud800"])
@pytest.mark.parametrize("field", ["run_id", "payload", "key", "user", "tenant", "flow", "tags"])
def test_text_that_cannot_be_stored_is_refused(backend: Backend, text: str, field: str) -> None:
    async def body(journal: Journal) -> None:
        fields: dict[str, Any] = {field: {"t": text} if field == "tags" else text}
        with pytest.raises(InvalidInput, match="cannot be stored"):
            await journal.accept(a_run(**fields))
        assert await journal.counts() == {}

    backend.using(body)


@pytest.mark.parametrize("fields", [{"delay_seconds": float("nan")}, {"priority": 2**40}])
def test_numbers_that_cannot_be_stored_are_refused(
    backend: Backend, fields: dict[str, Any]
) -> None:
    async def body(journal: Journal) -> None:
        with pytest.raises(InvalidInput):
            await journal.accept(a_run(**fields))
        assert await journal.counts() == {}

    backend.using(body)


def test_what_the_rules_did_not_foresee_hurts_only_its_own_caller(database: Backend) -> None:
    """A version beyond any column's range reaches the database, in a batch with others' work."""

    async def body(journal: Journal) -> None:
        results = await asyncio.gather(
            *(journal.accept(a_run()) for _ in range(10)),
            journal.accept(a_run(version=2**70)),
            *(journal.accept(a_run()) for _ in range(10)),
            return_exceptions=True,
        )
        errors = [result for result in results if isinstance(result, BaseException)]
        assert [type(error) for error in errors] == [InvalidInput]
        assert await journal.counts() == {"lead": {"queued": 20}}

    database.using(body)
