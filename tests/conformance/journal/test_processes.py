"""Several processes on one database."""

import asyncio
import signal
from collections import Counter

from envelope.ports.journal import Journal
from envelope.ports.journal_rows import RunState
from tests.conformance.journal.making import (
    Backend,
    a_step,
    a_worker,
    accepted,
    claimed,
    types,
    waiting,
    write_of,
)
from tests.conformance.journal.making_processes import facts, start


def run_ids(database: Backend, count: int, *, claim: bool = False) -> list[str]:
    async def make() -> list[str]:
        async with database.opened() as journal:
            if claim:
                return [(await claimed(journal)).run.run_id for _ in range(count)]
            return [await accepted(journal) for _ in range(count)]

    return asyncio.run(make())


def test_many_processes_open_an_empty_database_at_once(database: Backend) -> None:
    facts([start(database, "accept", f"p{n}", f"key-{n}") for n in range(5)])

    async def body(journal: Journal) -> None:
        assert await journal.counts() == {"lead": {"queued": 5}}

    database.using(body)


def test_the_same_keys_from_several_processes_are_the_same_runs(database: Backend) -> None:
    keys = [f"key-{n}" for n in range(60)]
    said = facts([start(database, "accept", f"p{n}", *keys) for n in range(3)])
    made = Counter(key for key, _, created in said if created == "1")
    assert made == dict.fromkeys(keys, 1)
    assert len({(key, run_id) for key, run_id, _ in said}) == 60

    async def body(journal: Journal) -> None:
        assert await journal.counts() == {"lead": {"queued": 60}}

    database.using(body)


def test_each_run_is_claimed_by_one_of_several_processes(database: Backend) -> None:
    ids = run_ids(database, 80)
    said = facts([start(database, "claim", f"p{n}", *ids) for n in range(3)])
    assert sorted(run_id for run_id, _ in said) == sorted(ids)
    assert {epoch for _, epoch in said} == {"1"}


def test_events_have_no_gap_when_two_processes_append(database: Backend) -> None:
    ids = run_ids(database, 4, claim=True)
    said = facts([start(database, "append", f"p{n}", *ids) for n in range(2)])

    async def body(journal: Journal) -> None:
        for run_id in ids:
            kinds = await types(journal, run_id)
            assert len(kinds) == 2 + 2 * 20 * 5
            confirmed = {int(n): kind for run, n, kind in said if run == run_id}
            assert {n: kinds[n - 1] for n in confirmed} == confirmed
            run = await journal.run(run_id)
            assert run is not None
            assert run.events == len(kinds)

    database.using(body)


def test_what_a_killed_process_had_confirmed_is_there(database: Backend) -> None:
    ids = run_ids(database, 20)
    process = start(database, "work", "victim", *ids)
    assert process.stdout is not None
    said = [process.stdout.readline() for _ in range(500)]
    process.send_signal(signal.SIGKILL)
    rest, _ = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    lines = [*said[1:], *rest.splitlines(keepends=True)]
    confirmed = [line.split() for line in lines if line.endswith("\n")]
    assert len(confirmed) >= 499

    async def body(journal: Journal) -> None:
        for run_id in ids:
            events = list(await journal.events(run_id, limit=100_000))
            await types(journal, run_id)
            steps = await journal.steps(run_id)
            number_of = {e.step: e.number for e in events if e.type == "step.succeeded"}
            # All of a commit or nothing of it.
            assert [step.step for step in steps] == list(number_of)
            for _, step, number in (fact for fact in confirmed if fact[0] == run_id):
                assert number_of[step] == int(number)
            # What was submitted before a commit is there if the commit is.
            submitted = {e.step: e.number for e in events if e.type == "submitted"}
            assert all(submitted[name] < place for name, place in number_of.items())
            run = await journal.run(run_id)
            assert run is not None
            assert (run.state, run.steps_done) == (RunState.RUNNING, len(steps))
        await journal.retire("victim")
        rescued = await journal.rescue(3)
        assert sorted(rescue.hint.run_id for rescue in rescued) == sorted(ids)

    database.using(body)


def test_several_processes_leave_a_singleton_key_to_one_run_at_a_time(database: Backend) -> None:
    said = facts([start(database, "alone", f"p{n}", "key", "15") for n in range(3)])
    assert sorted(run_id for run_id, *_ in said) == sorted(
        f"p{n}-{m}" for n in range(3) for m in range(15)
    )
    for run_id, *active in said:
        assert active == [run_id]


def test_no_signal_is_lost_between_a_sender_and_a_run_that_goes_to_sleep(
    database: Backend,
) -> None:
    async def begin(journal: Journal) -> None:
        claim = await claimed(journal, run_id="r")
        await journal.commit(write_of(claim, **waiting(signals={"go": 0})))

    database.using(begin)
    said = facts([start(database, "converse", f"p{n}", "r", "30") for n in range(3)])
    assert sorted(int(words[1]) for words in said if words[0] == "sent") == list(range(1, 91))

    async def check(journal: Journal) -> None:
        """What was not taken yet is to be taken now: the run does not sleep over a signal."""
        await journal.beat(a_worker("w"), 60)
        consumed = [int(words[1]) for words in said if words[0] == "consumed"]
        while taken := await journal.claim("r", "w"):
            count = len(taken.steps)
            if count == 90:
                break
            consumed.append(taken.signals[count].number)
            step = a_step(f"s{count}", kind="signal")
            waits = waiting(signals={"go": count + 1})
            await journal.commit(write_of(taken, steps=[step], **waits))
        assert sorted(consumed) == list(range(1, 91))
        kinds = await types(journal, "r")
        assert kinds.count("run.signalled") == 90

    database.using(check)


def test_a_journal_opened_before_a_fork_refuses_to_write_in_the_child(database: Backend) -> None:
    said = [" ".join(words) for words in facts([start(database, "fork", "p", "r1")])]
    assert said[0].startswith("child This journal was opened before the process forked")
    assert said[1] == "parent True"
