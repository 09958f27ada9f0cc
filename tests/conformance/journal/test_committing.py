import asyncio
from typing import Any

import pytest

from envelope.errors import Fenced, InvalidInput
from envelope.ports.journal import Journal
from envelope.ports.journal_rows import Attempt, RunState, StepState
from envelope.ports.journal_writes import Commit, RunEnd
from tests.conformance.journal.making import (
    Backend,
    a_step,
    accepted,
    an_event,
    check_log,
    claimed,
    ending,
    lapse,
    types,
    write_of,
)


def test_a_submitted_write_is_told_of_once_it_is_written_and_not_where_it_is_refused(
    backend: Backend,
) -> None:
    async def body(journal: Journal) -> None:
        claim = await claimed(journal)
        written, told = asyncio.Event(), list[str]()
        journal.submit(write_of(claim, events=[an_event("mine")]), written.set)
        async with asyncio.timeout(20):
            await written.wait()
        assert (await types(journal, claim.run.run_id))[-1] == "mine"
        stale = Commit(run_id=claim.run.run_id, epoch=claim.run.epoch + 1, events=[an_event()])
        journal.submit(stale, lambda: told.append("stale"))
        journal.submit(write_of(claim, events=[an_event()]), lambda: told.append("good"))
        await journal.commit(write_of(claim, events=[an_event("last")]))
        assert told == ["good"]

    backend.using(body)


ODD_TEXTS = (
    "",
    "\\",
    "\\u0000 and \\ud800 as they are written",
    "'\"`$1 %s %(name)s :name ?",
    "tab\tnew line\nreturn\r\x01\x7f",
    "é 漢字 😀 \u2028 \ufeff",
    '{"json": [1, null, "\\u0000"]}',
)


def test_rows_that_are_written_together_keep_every_text_and_number(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        claim = await claimed(journal)
        seconds = [0.1, 1e-9, 1e15, 1 / 3, 0.0, 123456789.123456789, 5e-324]
        steps = [a_step(f"s{n}", input=t, result=t) for n, t in enumerate(ODD_TEXTS)]
        attempts = [
            Attempt(step=f"s{n}", attempt=2**31 - 1, executor=t, outcome="lost", seconds=x)
            for n, (t, x) in enumerate(zip(ODD_TEXTS, seconds, strict=True))
        ]
        events = [an_event("note", data=text, step=text) for text in ODD_TEXTS]
        await journal.commit(write_of(claim, steps=steps, attempts=attempts, events=events))
        stored = await journal.steps(claim.run.run_id)
        assert [(step.input, step.result) for step in stored] == [(t, t) for t in ODD_TEXTS]
        tried = await journal.attempts(claim.run.run_id)
        assert [(a.executor, a.seconds) for a in tried] == list(
            zip(ODD_TEXTS, seconds, strict=True)
        )
        told = (await journal.events(claim.run.run_id))[2:]
        assert [(event.data, event.step) for event in told] == [(t, t) for t in ODD_TEXTS]

    backend.using(body)


def test_a_commit_writes_steps_attempts_and_events_and_returns_the_last_number(
    backend: Backend,
) -> None:
    async def body(journal: Journal) -> None:
        claim = await claimed(journal)
        run_id = claim.run.run_id
        step = a_step("s", result='{"é": "\\u0000 escaped"}', seconds=2.0, executor="w1", attempt=2)
        attempts = [
            Attempt(
                step="s", attempt=1, executor="w1", outcome="retried", seconds=1.5, failure="f"
            ),
            Attempt(step="s", attempt=2, executor="w1", outcome="succeeded", seconds=2.0),
        ]
        events = [an_event("step.succeeded", step="s", data='{"n": 1}'), an_event("mine")]
        number = await journal.commit(
            write_of(claim, steps=[step], attempts=attempts, events=events)
        )
        assert number == 4
        kinds = ["run.queued", "run.started", "step.succeeded", "mine"]
        assert await types(journal, run_id) == kinds
        (stored,) = await journal.steps(run_id)
        for name in ("step", "agent", "kind", "state", "inline", "input_sha256", "input"):
            assert getattr(stored, name) == getattr(step, name)
        for name in ("attempt", "executor", "result", "failure"):
            assert getattr(stored, name) == getattr(step, name)
        assert stored.finished_at is not None
        assert stored.started_at == pytest.approx(stored.finished_at - 2.0, abs=1e-4)
        assert (stored.position, stored.losses) == (1, 0)
        first, second = await journal.attempts(run_id)
        assert (first.outcome, first.attempt, first.seconds, first.failure) == (
            "retried",
            1,
            1.5,
            "f",
        )
        assert second.finished_at == stored.finished_at
        third = (await journal.events(run_id))[2]
        assert (third.step, third.data, third.at) == ("s", '{"n": 1}', stored.finished_at)
        run = await journal.run(run_id)
        assert run is not None
        assert (run.events, run.steps_done) == (4, 1)

    backend.using(body)


def test_an_empty_commit_returns_the_number_of_the_last_event(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        claim = await claimed(journal)
        assert await journal.commit(write_of(claim)) == 2

    backend.using(body)


def test_steps_keep_the_order_in_which_they_were_first_written(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        claim = await claimed(journal)
        for name in ("c", "a", "b"):
            running = a_step(name, StepState.RUNNING)
            await journal.commit(write_of(claim, steps=[running]))
        await journal.commit(write_of(claim, steps=[a_step("b"), a_step("d"), a_step("c")]))
        steps = await journal.steps(claim.run.run_id)
        assert [(step.step, step.position) for step in steps] == [
            ("c", 1),
            ("a", 2),
            ("b", 3),
            ("d", 4),
        ]
        states = [step.state.value for step in steps]
        assert states == ["succeeded", "running", "succeeded", "succeeded"]

    backend.using(body)


def test_a_step_is_done_once_and_a_recorded_value_is_not_a_step_done(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        claim = await claimed(journal)
        run_id = claim.run.run_id
        await journal.commit(write_of(claim, steps=[a_step("t", kind="value")]))
        await journal.commit(write_of(claim, steps=[a_step("s", StepState.RUNNING)]))
        assert await _done(journal, run_id) == 0
        await journal.commit(write_of(claim, steps=[a_step("s")]))
        await journal.commit(write_of(claim, steps=[a_step("s")]))
        assert await _done(journal, run_id) == 1
        failed = a_step("f", StepState.FAILED, failure='{"code": "X"}')
        await journal.commit(write_of(claim, steps=[failed]))
        assert await _done(journal, run_id) == 2

    backend.using(body)


def test_a_committed_result_is_never_replaced(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        claim = await claimed(journal)
        await journal.commit(write_of(claim, steps=[a_step("s", result="first")]))
        for state in (StepState.QUEUED, StepState.RUNNING, StepState.FAILED, StepState.SUCCEEDED):
            again = a_step("s", state, result="second")
            await journal.commit(write_of(claim, steps=[again], events=[an_event(state.value)]))
        (step,) = await journal.steps(claim.run.run_id)
        assert (step.state, step.result) == (StepState.SUCCEEDED, "first")

    backend.using(body)


def test_a_settled_step_resets_the_losses(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        claim = await claimed(journal, "w1")
        await lapse(journal, "w1")
        await journal.rescue(3)
        again = await journal.claim(claim.run.run_id, "w2")
        assert again is not None
        assert again.run.losses == 1
        await journal.commit(write_of(again, steps=[a_step("t", kind="value")]))
        assert await _losses(journal, claim.run.run_id) == 1
        await journal.commit(write_of(again, steps=[a_step("s", StepState.RUNNING)]))
        assert await _losses(journal, claim.run.run_id) == 1
        await journal.commit(write_of(again, steps=[a_step("s")]))
        assert await _losses(journal, claim.run.run_id) == 0

    backend.using(body)


def test_an_event_whose_origin_is_known_is_skipped(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        claim = await claimed(journal)
        once = an_event("once", origin="o")
        assert await journal.commit(write_of(claim, events=[once, once, an_event("each")])) == 4
        assert await journal.commit(write_of(claim, events=[once, an_event("each")])) == 5
        kinds = (await types(journal, claim.run.run_id))[2:]
        assert kinds == ["once", "each", "each"]
        other = await claimed(journal)
        assert await journal.commit(write_of(other, events=[once])) == 3

    backend.using(body)


@pytest.mark.parametrize("state", ["succeeded", "failed", "cancelled", "dead"])
def test_an_end_is_terminal_and_its_event_the_last(backend: Backend, state: str) -> None:
    async def body(journal: Journal) -> None:
        claim = await claimed(journal)
        fields: dict[str, Any] = {"envelope": '{"e": 1}', "failure": '{"f": 1}', "trace": "line\n"}
        await journal.commit(write_of(claim, steps=[a_step()], **ending(RunState(state), **fields)))
        run = await journal.run(claim.run.run_id)
        assert run is not None
        assert (run.state, run.owner) == (state, None)
        assert {name: getattr(run, name) for name in fields} == fields
        assert run.finished_at is not None
        assert run.finished_at >= (run.started_at or 0)
        before = await types(journal, run.run_id)
        check_log(before, ended=True)
        for late in (
            write_of(claim, events=[an_event()]),
            write_of(claim, steps=[a_step("x")]),
            write_of(claim, **ending()),
        ):
            with pytest.raises(Fenced):
                await journal.commit(late)
        assert await journal.run(run.run_id) == run
        assert await types(journal, run.run_id) == before
        assert len(await journal.steps(run.run_id)) == 1

    backend.using(body)


def test_a_run_given_back_is_queued_without_blame(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        claim = await claimed(journal)
        await journal.mark_sent([claim.run.run_id])
        end = RunEnd(state=RunState.QUEUED)
        await journal.commit(write_of(claim, events=[an_event("run.released")], end=end))
        run = await journal.run(claim.run.run_id)
        assert run is not None
        assert (run.state, run.owner, run.sent_at, run.losses) == (RunState.QUEUED, None, None, 0)
        assert run.finished_at is None
        with pytest.raises(Fenced):
            await journal.commit(write_of(claim, events=[an_event()]))
        hints = await journal.unsent(frozenset(), 1000, 10)
        assert [hint.run_id for hint in hints] == [run.run_id]
        check_log(await types(journal, run.run_id), ended=False)

    backend.using(body)


@pytest.mark.parametrize("epoch", [0, 2, -1])
def test_another_epoch_is_refused_and_nothing_of_it_written(backend: Backend, epoch: int) -> None:
    async def body(journal: Journal) -> None:
        claim = await claimed(journal)
        run_id = claim.run.run_id
        with pytest.raises(Fenced, match=run_id):
            await journal.commit(
                Commit(
                    run_id=run_id,
                    epoch=epoch,
                    steps=[a_step()],
                    attempts=[
                        Attempt(step="s", attempt=1, executor="w", outcome="succeeded", seconds=1)
                    ],
                    **ending(),
                )
            )
        assert await journal.run(run_id) == claim.run
        assert list(await journal.steps(run_id)) == []
        assert list(await journal.attempts(run_id)) == []
        assert len(await types(journal, run_id)) == 2

    backend.using(body)


def test_a_commit_for_a_run_that_nobody_claimed_or_knows_is_refused(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        queued = await accepted(journal)
        for run_id in (queued, "unknown"):
            with pytest.raises(Fenced):
                await journal.commit(Commit(run_id=run_id, epoch=0, events=[an_event()]))
        assert await types(journal, queued) == ["run.queued"]

    backend.using(body)


def test_a_refused_commit_does_not_hurt_its_neighbours(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        claims = [await claimed(journal) for _ in range(10)]
        stale = Commit(run_id=claims[4].run.run_id, epoch=7, steps=[a_step("bad")])
        good = [write_of(claim, steps=[a_step()], events=[an_event()]) for claim in claims]
        work = [*good[:5], stale, *good[5:]]
        results = await asyncio.gather(*map(journal.commit, work), return_exceptions=True)
        assert isinstance(results[5], Fenced)
        assert [result for result in results if isinstance(result, int)] == [3] * 10
        for claim in claims:
            assert [step.step for step in await journal.steps(claim.run.run_id)] == ["research"]

    backend.using(body)


def test_commits_of_one_run_apply_in_the_order_in_which_they_were_made(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        claim = await claimed(journal)
        commits = [write_of(claim, events=[an_event(f"e{n}")]) for n in range(300)]
        numbers = await asyncio.gather(*map(journal.commit, commits))
        assert numbers == list(range(3, 303))
        assert (await types(journal, claim.run.run_id))[2:] == [f"e{n}" for n in range(300)]

    backend.using(body)


def test_a_step_may_be_written_twice_in_one_go(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        claim = await claimed(journal)
        running, done = a_step("s", StepState.RUNNING), a_step("s")
        await asyncio.gather(
            journal.commit(write_of(claim, steps=[running])),
            journal.commit(write_of(claim, steps=[done])),
            journal.commit(write_of(claim, steps=[a_step("u", StepState.RUNNING), a_step("u")])),
        )
        steps = await journal.steps(claim.run.run_id)
        assert [(s.step, s.state.value) for s in steps] == [("s", "succeeded"), ("u", "succeeded")]

    backend.using(body)


def test_what_follows_the_end_in_the_same_batch_is_refused(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        claim = await claimed(journal)
        results = await asyncio.gather(
            journal.commit(write_of(claim, events=[an_event()])),
            journal.commit(write_of(claim, **ending())),
            journal.commit(write_of(claim, events=[an_event("late")])),
            return_exceptions=True,
        )
        assert list(results[:2]) == [3, 4]
        assert isinstance(results[2], Fenced)
        check_log(await types(journal, claim.run.run_id), ended=True)

    backend.using(body)


def test_what_was_submitted_is_written_before_what_is_awaited_later(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        claim = await claimed(journal)
        for n in range(50):
            journal.submit(write_of(claim, events=[an_event(f"e{n}")]))
        assert await journal.commit(write_of(claim, events=[an_event("last")])) == 53
        kinds = (await types(journal, claim.run.run_id))[2:]
        assert kinds == [*(f"e{n}" for n in range(50)), "last"]

    backend.using(body)


def test_closing_writes_what_was_submitted(database: Backend) -> None:
    async def run() -> None:
        async with database.opened() as journal:
            claim = await claimed(journal)
            for n in range(700):
                journal.submit(write_of(claim, events=[an_event(f"e{n}")]))
        async with database.opened() as journal:
            assert len(await types(journal, claim.run.run_id)) == 702

    asyncio.run(run())


def test_a_stale_submission_is_dropped_quietly(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        claim = await claimed(journal)
        journal.submit(Commit(run_id=claim.run.run_id, epoch=9, events=[an_event("stale")]))
        assert await journal.commit(write_of(claim, events=[an_event("good")])) == 3
        assert (await types(journal, claim.run.run_id))[2:] == ["good"]

    backend.using(body)


_NO_EVENT: dict[str, Any] = {"end": RunEnd(state=RunState.SUCCEEDED)}
_OTHER_EVENT: dict[str, Any] = _NO_EVENT | {"events": [an_event("run.failed")]}
_NOT_LAST: dict[str, Any] = _NO_EVENT | {"events": [an_event("run.succeeded"), an_event()]}
_TWO: dict[str, Any] = _NO_EVENT | {"events": [an_event("run.failed"), an_event("run.succeeded")]}
_ORIGIN: dict[str, Any] = _NO_EVENT | {"events": [an_event("run.succeeded", origin="o")]}
_EARLY: dict[str, Any] = {"events": [an_event("run.succeeded")]}
_RELEASE: dict[str, Any] = {
    "events": [an_event("run.dead")],
    "end": RunEnd(state=RunState.QUEUED),
}
_RUNNING: dict[str, Any] = {"end": RunEnd(state=RunState.RUNNING)}


@pytest.mark.parametrize(
    "fields", [_NO_EVENT, _OTHER_EVENT, _NOT_LAST, _TWO, _ORIGIN, _EARLY, _RELEASE, _RUNNING]
)
def test_a_commit_that_would_break_the_log_is_refused(
    backend: Backend, fields: dict[str, Any]
) -> None:
    async def body(journal: Journal) -> None:
        claim = await claimed(journal)
        with pytest.raises(InvalidInput):
            await journal.commit(write_of(claim, **fields))
        with pytest.raises(InvalidInput):
            journal.submit(write_of(claim, **fields))
        assert await journal.run(claim.run.run_id) == claim.run

    backend.using(body)


@pytest.mark.parametrize("text", ["nul\x00", "half \udc00"])
def test_text_that_cannot_be_stored_is_refused(backend: Backend, text: str) -> None:
    async def body(journal: Journal) -> None:
        claim = await claimed(journal)
        attempt = Attempt(step="s", attempt=1, executor=text, outcome="failed", seconds=1)
        for fields in (
            {"steps": [a_step(result=text)]},
            {"steps": [a_step(text)]},
            {"events": [an_event(data=text)]},
            {"events": [an_event(origin=text)]},
            {"attempts": [attempt]},
            ending(envelope=text),
            {"steps": [a_step(seconds=float("inf"))]},
        ):
            with pytest.raises(InvalidInput):
                await journal.commit(write_of(claim, **fields))
        assert await journal.run(claim.run.run_id) == claim.run

    backend.using(body)


async def _done(journal: Journal, run_id: str) -> int:
    run = await journal.run(run_id)
    assert run is not None
    return run.steps_done


async def _losses(journal: Journal, run_id: str) -> int:
    run = await journal.run(run_id)
    assert run is not None
    return run.losses
