import asyncio
from typing import Any

import pytest

from envelope.errors import InvalidInput, UnknownRun
from envelope.ports.journal import Journal
from envelope.ports.journal_rows import (
    Accepted,
    RunFilter,
    RunState,
    Step,
    StepState,
)
from envelope.ports.journal_writes import Replay
from tests.conformance.journal.making import (
    Backend,
    a_run,
    a_step,
    a_worker,
    accepted,
    claimed,
    ended,
    ending,
    last_event,
    suspended,
    types,
    write_of,
)


async def failed_run(journal: Journal) -> str:
    """A run that failed after two agent steps and a value, with one step open."""
    claim = await claimed(journal)
    steps = [
        a_step("now", kind="value", agent="now", result="12"),
        a_step("research", result='{"é": 1}', seconds=0.5, tokens=7),
        a_step("broken", StepState.FAILED, failure="F"),
        a_step("draft", attempt=3, executor="w1"),
        a_step("mail", StepState.QUEUED, inline=False),
    ]
    await journal.commit(write_of(claim, steps=steps, **ending(RunState.FAILED, failure="{}")))
    return claim.run.run_id


async def replayed(journal: Journal, source: str, **fields: Any) -> str:
    accepted = await journal.accept(a_run(replay=Replay(run_id=source, **fields)))
    assert accepted == Accepted(run_id=accepted.run_id, created=True)
    return accepted.run_id


def names(steps: Any) -> list[str]:
    return [step.step for step in steps]


def content(step: Step) -> dict[str, Any]:
    fields = {name: getattr(step, name) for name in Step.__dataclass_fields__}
    return {name: value for name, value in fields.items() if name != "run_id"}


def test_a_replay_takes_over_what_succeeded(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        source = await failed_run(journal)
        run_id = await replayed(journal, source)
        run, old = await journal.run(run_id), await journal.run(source)
        assert run is not None
        assert old is not None
        assert (run.replay_of, run.replayed_as, old.replayed_as) == (source, None, run_id)
        assert (run.state, run.epoch, run.steps_done, run.spent_tokens) == ("queued", 0, 2, 0)
        assert (old.state, old.failure, old.spent_tokens) == ("failed", "{}", 7)
        event = {"source": "test", "replay_of": source}
        assert await last_event(journal, run_id) == ("run.queued", event)
        kept, before = await journal.steps(run_id), await journal.steps(source)
        assert names(kept) == ["now", "research", "draft"]
        assert all(step.run_id == run_id for step in kept)
        wanted = [content(step) for step in before if step.state is StepState.SUCCEEDED]
        assert [content(step) for step in kept] == wanted
        assert list(await journal.attempts(run_id)) == []

    backend.using(body)


def test_a_replay_goes_on_where_its_copies_end(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        run_id = await replayed(journal, await failed_run(journal))
        claim = await journal.claim(run_id, "w1")
        assert claim is not None
        assert names(claim.steps) == ["now", "research", "draft"]
        await journal.commit(write_of(claim, steps=[a_step("draft", result="2"), a_step("new")]))
        steps = await journal.steps(run_id)
        assert [(step.step, step.position) for step in steps[2:]] == [("draft", 4), ("new", 5)]
        assert steps[2].result != "2"

    backend.using(body)


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        ({"before": "draft"}, ["now", "research"]),
        ({"before": "now"}, []),
        ({"before": "mail"}, ["now", "research", "draft"]),
        ({"keep": False}, []),
        ({"keep": False, "before": "draft"}, []),
    ],
)
def test_a_replay_takes_over_as_much_as_it_is_asked_to(
    backend: Backend, fields: dict[str, Any], kept: list[str]
) -> None:
    async def body(journal: Journal) -> None:
        run_id = await replayed(journal, await failed_run(journal), **fields)
        assert names(await journal.steps(run_id)) == kept
        claim = await journal.claim(run_id, "w1")
        assert claim is not None
        await journal.commit(write_of(claim, steps=[a_step("draft"), a_step("more")]))
        steps = await journal.steps(run_id)
        assert names(steps)[-1] == "more"
        assert len({step.position for step in steps}) == len(steps)

    backend.using(body)


def test_a_replay_may_be_replayed_and_a_run_replayed_twice(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        source = await failed_run(journal)
        first = await replayed(journal, source)
        claim = await journal.claim(first, "w1")
        assert claim is not None
        await journal.commit(write_of(claim, steps=[a_step("more")], **ending(RunState.DEAD)))
        second = await replayed(journal, first)
        assert names(await journal.steps(second)) == ["now", "research", "draft", "more"]
        third = await replayed(journal, source)
        old = await journal.run(source)
        assert old is not None
        assert old.replayed_as == third
        unreplayed = await journal.runs(RunFilter(not_replayed=True))
        assert {run.run_id for run in unreplayed} == {second, third}

    backend.using(body)


def test_replays_at_once_have_their_own_steps(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        sources = [await failed_run(journal) for _ in range(3)]
        made = await asyncio.gather(*(replayed(journal, s) for s in sources * 3))
        for run_id in made:
            assert names(await journal.steps(run_id)) == ["now", "research", "draft"]
            assert await types(journal, run_id) == ["run.queued"]

    backend.using(body)


def test_only_an_ended_run_is_replayed(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        queued = await accepted(journal)
        active = (await claimed(journal)).run.run_id
        waits = (await suspended(journal, until=1e11)).run.run_id
        for source in (queued, active, waits):
            with pytest.raises(InvalidInput, match=source):
                await journal.accept(a_run("new", replay=Replay(run_id=source)))
        with pytest.raises(UnknownRun, match="nowhere"):
            await journal.accept(a_run("new", replay=Replay(run_id="nowhere")))
        source = await ended(journal)
        with pytest.raises(InvalidInput, match="no step 'x'"):
            await journal.accept(a_run("new", replay=Replay(run_id=source, before="x")))
        assert await journal.run("new") is None
        old = await journal.run(source)
        assert old is not None
        assert old.replayed_as is None

    backend.using(body)


def test_a_replay_is_idempotent_and_keeps_to_its_singleton(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        source = await failed_run(journal)
        fields: dict[str, Any] = {"replay": Replay(run_id=source), "key": "i", "singleton": "k"}
        holder = await accepted(journal, singleton="k")
        first = await journal.accept(a_run("r1", **fields))
        assert first == Accepted(run_id="r1", created=True, behind=holder)
        again = await journal.accept(a_run("r2", **fields))
        assert again == Accepted(run_id="r1", created=False)
        assert await journal.run("r2") is None
        await journal.cancel(holder, "why")
        await journal.beat(a_worker(), 60)
        assert [hint.run_id for hint in await journal.wake(10)] == ["r1"]
        claim = await journal.claim("r1", "w1")
        assert claim is not None
        assert names(claim.steps) == ["now", "research", "draft"]

    backend.using(body)
