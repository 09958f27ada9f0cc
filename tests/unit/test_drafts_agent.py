"""The agent `drafts`: records of earlier runs, with what they were made from."""

from __future__ import annotations

import asyncio
import json

import pytest
import structlog

from agents.drafts import DraftsRequest, KnownRecords, RunRecords
from envelope import Envelope, Record
from envelope.errors import InvalidInput, JournalUnavailable, UnknownRun
from envelope.events import EventType
from envelope.ids import new_id
from envelope.ports.journal_rows import Run, RunState, StepState
from envelope.ports.journal_writes import Commit, NewEvent, NewRun, RunEnd, StepWrite
from envelope.resources import Resources
from envelope.signature import to_canonical
from tests.rig.agent_step import AgentStep
from worker.delivery.run_records import JournalRecords
from worker.journal.memory import MemoryJournal


def made_of(*parents: Record, text: str = "x") -> Record:
    names = tuple(parent.id for parent in parents)
    return Record.of({"text": text}, source="test", derived_from=names)


SOURCE, OTHER = made_of(text="source"), made_of(text="other")
FACT = made_of(SOURCE, text="fact")
DRAFT = made_of(FACT, OTHER, text="draft")
ELSEWHERE = Record.of({"text": "y"}, source="test", derived_from=(f"rec_{'0' * 32}", DRAFT.id))


class Shelf:
    async def read(self, run_id: str, tenant: str) -> KnownRecords:
        every = [SOURCE, OTHER, FACT, DRAFT, ELSEWHERE]
        return KnownRecords(final=[DRAFT, OTHER], by_id={one.id: one for one in every})


def read(*names: str) -> Envelope:
    resources = Resources()
    resources.provide(RunRecords, Shelf)
    return AgentStep(resources).run("drafts", {"run_id": "r", "record_ids": list(names)})


def test_the_first_record_of_the_envelope_with_all_its_ancestors() -> None:
    made = read()
    assert made.records == (DRAFT, FACT, OTHER, SOURCE), "as they were, parents before theirs"


def test_named_records_come_in_the_order_of_their_names() -> None:
    made = read(ELSEWHERE.id, SOURCE.id, ELSEWHERE.id)
    assert made.records == (ELSEWHERE, SOURCE, DRAFT, FACT, OTHER)


def test_what_the_run_has_not_is_told() -> None:
    with pytest.raises(InvalidInput, match="has no record rec_"):
        read(f"rec_{'1' * 32}")


@pytest.mark.parametrize("run_id", ["", "a b", "x\n", "ä", "x" * 65])
def test_no_run_has_such_an_id(run_id: str) -> None:
    with pytest.raises(InvalidInput):
        to_canonical({"run_id": run_id}, DraftsRequest)


async def _run(journal: MemoryJournal, tenant: str, *, ended: bool = True) -> Run:
    run_id = new_id()
    new = NewRun(
        run_id=run_id,
        flow="f",
        version=1,
        payload="{}",
        payload_sha256="x",
        source="t",
        tenant=tenant,
    )
    await journal.accept(new)
    claim = await journal.claim(run_id, "w")
    assert claim is not None
    facts = Envelope.from_records([FACT, SOURCE], source="facts").to_json()
    steps = [
        StepWrite(
            step=name,
            agent="a",
            kind=kind,
            state=StepState.SUCCEEDED,
            input_sha256="x",
            input="{}",
            result=result,
        )
        for name, kind, result in [
            ("facts", "agent", facts),
            ("@1", "once", json.dumps({"records": "none"})),
        ]
    ]
    final = Envelope.from_records([DRAFT], source="f").to_json()
    end = RunEnd(state=RunState.SUCCEEDED, envelope=final) if ended else None
    events = [NewEvent(type=EventType.RUN_SUCCEEDED)] if ended else []
    epoch = claim.run.epoch
    await journal.commit(Commit(run_id=run_id, epoch=epoch, steps=steps, events=events, end=end))
    run = await journal.run(run_id)
    assert run is not None
    return run


def test_the_journal_gives_what_steps_and_envelope_hold() -> None:
    async def scenario() -> None:
        journal = MemoryJournal()
        records = JournalRecords(journal, structlog.get_logger("test"))
        ended = await records.read((await _run(journal, "t")).run_id, "t")
        assert ended.final == (DRAFT,)
        assert set(ended.by_id) == {DRAFT.id, FACT.id, SOURCE.id}
        running = await records.read((await _run(journal, "t", ended=False)).run_id, "t")
        assert not running.final
        assert set(running.by_id) == {FACT.id, SOURCE.id}

    asyncio.run(scenario())


def test_another_tenant_s_run_looks_like_none() -> None:
    async def scenario() -> None:
        journal = MemoryJournal()
        records = JournalRecords(journal, structlog.get_logger("test"))
        theirs = (await _run(journal, "other")).run_id
        messages = set()
        for run_id in (theirs, new_id()):
            with pytest.raises(UnknownRun) as unknown:
                await records.read(run_id, "t")
            messages.add(str(unknown.value).replace(run_id, "X"))
        assert len(messages) == 1

    asyncio.run(scenario())


def test_a_journal_that_is_away_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.engine.persist.AGAIN_SECONDS", 0.001)

    async def scenario() -> None:
        journal = MemoryJournal()
        run_id = (await _run(journal, "t")).run_id
        look, away = journal.run, [True, True]

        async def flickering(name: str) -> Run | None:
            if away:
                away.pop()
                raise JournalUnavailable("gone")
            return await look(name)

        journal.run = flickering  # type: ignore[method-assign]
        records = JournalRecords(journal, structlog.get_logger("test"))
        assert (await records.read(run_id, "t")).final == (DRAFT,)

    asyncio.run(scenario())
