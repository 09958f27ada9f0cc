"""What the processes of the tests do with a journal: `python -m tests.conformance.journal.process`.

Every line printed is a fact that the journal has confirmed before.
"""

import asyncio
import os
import random
import sys
from typing import NoReturn

from envelope.errors import JournalUnavailable
from envelope.ports.journal import Journal
from envelope.ports.journal_rows import TERMINAL_STATES, RunFilter, RunState
from envelope.ports.journal_writes import Commit
from tests.conformance.journal.making import (
    a_run,
    a_step,
    a_worker,
    an_event,
    ending,
    waiting,
    write_of,
)
from worker.journal.sql import SqlJournal


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


async def accept(journal: Journal, name: str, *keys: str) -> None:
    """Accept runs of the same keys as others do, in an order of one's own."""
    shuffled = list(keys)
    random.Random(name).shuffle(shuffled)
    news = [a_run(f"{name}-{key}", key=key) for key in shuffled]
    for new, accepted in zip(news, await asyncio.gather(*map(journal.accept, news)), strict=True):
        say(new.key, accepted.run_id, int(accepted.created))


async def claim(journal: Journal, name: str, *run_ids: str) -> None:
    """Claim runs that others claim as well."""
    await journal.beat(a_worker(name), 60)
    shuffled = list(run_ids)
    random.Random(name).shuffle(shuffled)
    for taken in await asyncio.gather(*(journal.claim(run_id, name) for run_id in shuffled)):
        if taken is not None:
            say(taken.run.run_id, taken.run.epoch)


async def append(journal: Journal, name: str, *run_ids: str) -> None:
    """Append to runs to which others append as well."""
    for part in range(20):
        commits = [
            Commit(run_id=run_id, epoch=1, events=[an_event(f"{name}.{part}.{n}")])
            for run_id in run_ids
            for n in range(5)
        ]
        for commit, number in zip(
            commits, await asyncio.gather(*map(journal.commit, commits)), strict=True
        ):
            say(commit.run_id, number, commit.events[0].type)


async def work(journal: Journal, name: str, *run_ids: str) -> None:
    """Commit steps until killed."""
    await journal.beat(a_worker(name), 60)

    async def one(run_id: str) -> None:
        taken = await journal.claim(run_id, name)
        assert taken is not None
        for n in range(1_000_000):
            step = f"s{n}"
            journal.submit(write_of(taken, events=[an_event("submitted", step=step)]))
            event = an_event("step.succeeded", step=step)
            commit = write_of(taken, steps=[a_step(step, result="r" * 500)], events=[event])
            say(run_id, step, await journal.commit(commit))

    await asyncio.gather(*map(one, run_ids))


async def alone(journal: Journal, name: str, key: str, count: str) -> None:
    """Accept runs of one singleton key, and execute whatever is to be had until nothing is left."""
    await journal.beat(a_worker(name), 60)
    for n in range(int(count)):
        await journal.accept(a_run(f"{name}-{n}", singleton=key))
        await _execute_alone(journal, name, key)
    while not TERMINAL_STATES.issuperset((await journal.counts())["lead"]):
        await _execute_alone(journal, name, key)


async def _execute_alone(journal: Journal, name: str, key: str) -> None:
    which = RunFilter(singleton=key, states=frozenset({RunState.QUEUED, RunState.RUNNING}))
    for hint in [*await journal.wake(10), *await journal.unsent(frozenset(), 0, 10)]:
        taken = await journal.claim(hint.run_id, name)
        if taken is not None:
            say(taken.run.run_id, *(run.run_id for run in await journal.runs(which)))
            await journal.commit(write_of(taken, **ending()))


async def converse(journal: Journal, name: str, run_id: str, count: str) -> None:
    """Send signals to a run, and take it as often as one wakes it; consume one each time."""
    await journal.beat(a_worker(name), 60)
    for n in range(int(count)):
        told = await journal.signal(run_id, "go", f'"{name}-{n}"')
        say("sent", told.number)
        taken = await journal.claim(run_id, name) if told.woken else None
        if taken is not None:
            consumed = len(taken.steps)
            said = taken.signals[consumed]
            say("consumed", said.number, said.data)
            step = a_step(f"s{consumed}", kind="signal")
            waits = waiting(signals={"go": consumed + 1})
            await journal.commit(write_of(taken, steps=[step], **waits))


async def fork(journal: Journal, _name: str, run_id: str) -> None:
    """Use a journal in a child that it was not opened in."""
    child = os.fork()
    if child == 0:
        _as_child(journal, run_id)
    await asyncio.to_thread(os.waitpid, child, 0)
    say("parent", await journal.run(run_id) is None)


async def _commit(journal: Journal, run_id: str) -> None:
    await journal.commit(Commit(run_id=run_id, epoch=1))


def _as_child(journal: Journal, run_id: str) -> NoReturn:
    try:
        asyncio.run(_commit(journal, run_id))
    except JournalUnavailable as error:
        say("child", error)
    finally:
        os._exit(0)


async def main(url: str, what: str, *arguments: str) -> None:
    journal = SqlJournal(url, patience=60)
    await journal.open()
    say("open")
    await globals()[what](journal, *arguments)
    await journal.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
