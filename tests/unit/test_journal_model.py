"""Hypothesis drives a journal on SQLite and one in memory alike; they must never differ."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Sequence
from operator import methodcaller
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from envelope.errors import MusterError
from envelope.events import TERMINAL_EVENTS
from envelope.ports.journal import Journal
from envelope.ports.journal_rows import (
    TERMINAL_STATES,
    Attempt,
    Run,
    RunFilter,
    RunState,
    StepState,
    Waits,
)
from envelope.ports.journal_writes import (
    Commit,
    NewEvent,
    NewRun,
    Replay,
    RunEnd,
    StepCommit,
    StepWrite,
    WorkerInfo,
)
from tests.conformance.journal.making_timeless import timeless
from worker.journal.memory import MemoryJournal
from worker.journal.sql import SqlJournal

RUNS = [f"r{n}" for n in range(5)]
STEPS = ["a", "b", "c"]
WORKERS = ["w0", "w1", "w2"]
KEYS = ["k1", "k2"]
ACTIVE = frozenset(RunState) - TERMINAL_STATES
BAD = TERMINAL_STATES - {RunState.SUCCEEDED}

run_ids = st.sampled_from(RUNS)
step_names = st.sampled_from(STEPS)
workers = st.sampled_from(WORKERS)
epochs = st.integers(0, 4)
texts = st.sampled_from(["", "x", "é\u2028", '"\\'])
events = st.builds(
    NewEvent,
    type=st.sampled_from(["note", "step.succeeded"]),
    data=texts,
    step=st.none() | step_names,
    origin=st.none() | st.sampled_from(["o1", "o2"]),
)
writes = st.builds(
    StepWrite,
    step=step_names,
    agent=st.just("rag"),
    state=st.sampled_from(StepState),
    input_sha256=texts,
    input=texts,
    kind=st.sampled_from(["agent", "undo", "value"]),
    inline=st.booleans(),
    attempt=st.integers(0, 2),
    executor=st.none() | workers,
    result=st.none() | texts,
    failure=st.none() | texts,
    tokens=st.integers(0, 3),
    usd=st.sampled_from([0.0, 0.5]),
)
waits = st.builds(
    Waits,
    until=st.sampled_from([None, None, 1.0, 1e11]),
    signals=st.dictionaries(st.sampled_from(["go", "stop"]), st.integers(0, 2), max_size=1),
    children=st.lists(st.sampled_from([*RUNS, "none"]), max_size=2),
)
replays = st.builds(Replay, run_id=run_ids, keep=st.booleans(), before=st.none() | step_names)
attempts = st.builds(
    Attempt,
    step=step_names,
    attempt=st.integers(1, 3),
    executor=workers,
    outcome=st.sampled_from(["succeeded", "failed", "retried"]),
    seconds=st.just(1.5),
    failure=st.none() | texts,
)


class JournalMachine(RuleBasedStateMachine):
    """The same call goes to both journals; answers, errors and the whole content must agree."""

    template: Path

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        path = Path(self.folder.name) / "journal.db"
        shutil.copy(self.template, path)
        self.runner = asyncio.Runner()
        self.sql: Journal = SqlJournal(f"sqlite:///{path}")
        self.memory: Journal = MemoryJournal()
        self.runner.run(self.sql.open())

    def teardown(self) -> None:
        self.runner.run(self.sql.close())
        self.runner.close()
        self.folder.cleanup()

    def both(self, *calls: Callable[[Journal], Awaitable[Any]]) -> None:
        """Make the calls on both journals, all at once, so that they may share a batch."""

        async def make(journal: Journal) -> Sequence[Any]:
            return await asyncio.gather(*(call(journal) for call in calls), return_exceptions=True)

        ours = [self.runner.run(make(journal)) for journal in (self.sql, self.memory)]
        for answer in (answer for answers in ours for answer in answers):
            assert not isinstance(answer, BaseException) or isinstance(answer, MusterError), answer
        assert timeless(ours[0]) == timeless(ours[1])

    @rule(
        run_id=run_ids,
        key=st.sampled_from([None, "k1", "k2"]),
        payload=st.sampled_from(["p", "q"]),
        flow=st.sampled_from(["f", "g"]),
        tags=st.dictionaries(st.sampled_from(["t", 'q"']), st.sampled_from(["1", ",2"])),
        sent=st.booleans(),
    )
    def accept(self, run_id: str, **fields: Any) -> None:
        self._accept(run_id, **fields)

    @rule(
        run_id=run_ids,
        singleton=st.sampled_from(KEYS),
        on_conflict=st.sampled_from(["queue", "queue", "reject", "join", "replace"]),
        priority=st.integers(0, 1),
        delay_seconds=st.sampled_from([0, 0, 1000]),
    )
    def accept_alone(self, run_id: str, **fields: Any) -> None:
        self._accept(run_id, **fields)

    @rule(run_id=run_ids, parent_id=run_ids, root_id=st.none() | run_ids)
    def accept_child(self, run_id: str, **fields: Any) -> None:
        self._accept(run_id, **fields)

    @rule(run_id=run_ids, replay=replays, singleton=st.none() | st.sampled_from(KEYS))
    def accept_again(self, run_id: str, **fields: Any) -> None:
        self._accept(run_id, **fields)

    def _accept(self, run_id: str, *, payload: str = "p", flow: str = "f", **fields: Any) -> None:
        new = NewRun(
            run_id=run_id,
            flow=flow,
            version=1,
            payload=payload,
            payload_sha256=payload,
            source="s",
            **fields,
        )
        self.both(lambda journal: journal.accept(new))

    @rule(worker=workers, lease=st.sampled_from([0, 0, 600]))
    def beat(self, worker: str, lease: float) -> None:
        info = WorkerInfo(worker_id=worker, hostname="h", pid=1)
        self.both(lambda journal: journal.beat(info, lease))

    @rule(worker=workers)
    def retire(self, worker: str) -> None:
        self.both(lambda journal: journal.retire(worker))

    @rule(run_id=run_ids, claimers=st.lists(workers, min_size=1, max_size=3))
    def claim(self, run_id: str, claimers: list[str]) -> None:
        # One after the other: a claim that is lost again inside its own batch tells of both.
        for worker in claimers:
            self.both(methodcaller("claim", run_id, worker))

    @rule(
        run_id=run_ids,
        epoch=epochs,
        steps=st.lists(writes, max_size=3),
        records=st.lists(attempts, max_size=2),
        told=st.lists(events, max_size=3),
        end=st.sampled_from([None, None, None, *RunState]),
    )
    def commit(
        self, run_id: str, epoch: int, steps: Any, records: Any, told: Any, end: RunState | None
    ) -> None:
        commit = _commit(run_id, epoch, steps, records, told, end)
        self.both(lambda journal: journal.commit(commit))

    @rule(run_id=run_ids, worker=workers, waits=waits)
    def suspend(self, run_id: str, worker: str, waits: Waits) -> None:
        """A run is taken and suspended at once, whatever it takes."""
        self.both(methodcaller("claim", run_id, worker))
        run = self.runner.run(self.sql.run(run_id))
        if run is not None:
            end = RunEnd(state=RunState.WAITING, waits=waits)
            commit = Commit(run_id=run_id, epoch=run.epoch, end=end)
            self.both(lambda journal: journal.commit(commit))

    @rule(run_id=run_ids, worker=workers, state=st.sampled_from(sorted(TERMINAL_STATES)))
    def finish(self, run_id: str, worker: str, state: RunState) -> None:
        """A run is taken and ended at once."""
        self.both(methodcaller("claim", run_id, worker))
        run = self.runner.run(self.sql.run(run_id))
        if run is not None:
            commit = _commit(run_id, run.epoch, [], [], [], state)
            self.both(lambda journal: journal.commit(commit))

    @rule(run_id=run_ids, name=st.sampled_from(["go", "stop"]), data=texts)
    def signal(self, run_id: str, name: str, data: str) -> None:
        self.both(methodcaller("signal", run_id, name, data))

    @rule(named=st.none() | st.lists(run_ids), limit=st.integers(1, 3))
    def wake(self, named: list[str] | None, limit: int) -> None:
        self.both(methodcaller("wake", limit, named))

    @rule()
    def wake_all(self) -> None:
        """After that, nothing is left waiting that could go on."""
        self.both(methodcaller("wake", 100))
        runs = {run.run_id: run for run in self.runner.run(self.sql.runs(RunFilter()))}
        active = [run for run in runs.values() if run.state in ACTIVE]
        held = {run.singleton for run in active if not _in_line(run)}
        for run in active:
            parent = runs.get(run.parent_id or "")
            assert parent is None or parent.state not in BAD or run.cancel_reason is not None
            if run.waits is not None:
                assert run.waits.until != 1.0
                assert run.waits.singleton is None or run.waits.singleton in held
                assert all(runs[child].state in ACTIVE for child in run.waits.children)

    @rule(
        epoch=epochs,
        parts=st.lists(
            st.tuples(run_ids, st.lists(writes, max_size=2), st.lists(events)), max_size=6
        ),
        awaited=st.booleans(),
    )
    def commit_together(self, epoch: int, parts: Any, awaited: bool) -> None:
        commits = [_commit(run_id, epoch, steps, [], told, None) for run_id, steps, told in parts]
        if awaited:
            self.both(*((lambda journal, c=c: journal.commit(c)) for c in commits))
            return
        for commit in commits:
            self.sql.submit(commit)
            self.memory.submit(commit)
        self.both(lambda journal: journal.commit(Commit(run_id="none", epoch=0)))

    @rule(run_id=run_ids, step=step_names, executor=workers)
    def claim_step(self, run_id: str, step: str, executor: str) -> None:
        self.both(lambda journal: journal.claim_step(run_id, step, executor))

    @rule(
        run_id=run_ids,
        step=step_names,
        attempt=st.integers(0, 3),
        executor=workers,
        state=st.sampled_from(StepState),
        result=st.none() | texts,
        tokens=st.integers(0, 3),
        told=st.lists(events, max_size=2),
        record=st.none() | attempts,
    )
    def commit_step(self, told: Any, **fields: Any) -> None:
        commit = StepCommit(events=told, **fields)
        self.both(lambda journal: journal.commit_step(commit))

    @rule(run_id=run_ids, steps=st.lists(st.tuples(run_ids, step_names), max_size=4))
    def rescue_steps(self, run_id: str, steps: list[tuple[str, str]]) -> None:
        named = [(run_id, step) for step in STEPS] + steps
        self.both(lambda journal: journal.rescue_steps(named, 1))
        self.both(lambda journal: journal.settled_steps(named))
        self.both(lambda journal: journal.running_steps(named))
        self.both(lambda journal: journal.owned("w1"))

    @rule(limit=st.integers(0, 3), empty=st.booleans(), grace=st.sampled_from([0, 1000]))
    def unsent(self, limit: int, empty: bool, grace: float) -> None:
        topics = frozenset({"runs.f"} if empty else ())
        # Which of several is sent first is the clock's choice where more are due than asked for.
        self.both(lambda journal: journal.unsent(topics, grace, 10 if grace == 0 else limit + 10))

    @rule(sent=st.lists(run_ids))
    def mark_sent(self, sent: list[str]) -> None:
        self.both(lambda journal: journal.mark_sent(sent))

    @rule(sent=st.lists(run_ids))
    def forget_sent(self, sent: list[str]) -> None:
        self.both(lambda journal: journal.forget_sent(sent))

    @rule(limit=st.integers(1, 2))
    def rescue(self, limit: int) -> None:
        self.both(lambda journal: journal.rescue(limit))

    @rule(run_id=run_ids, worker=workers, limit=st.integers(1, 2))
    def blame(self, run_id: str, worker: str, limit: int) -> None:
        self.both(lambda journal: journal.blame(run_id, worker, limit))

    @rule(run_id=run_ids, reason=texts)
    def cancel(self, run_id: str, reason: str) -> None:
        self.both(lambda journal: journal.cancel(run_id, reason))

    @rule(
        states=st.frozensets(st.sampled_from(RunState), max_size=2),
        flow=st.sampled_from([None, "f"]),
        tags=st.dictionaries(
            st.sampled_from(["t", 'q"']), st.sampled_from(["1", ",2"]), max_size=1
        ),
        before=st.none() | run_ids,
        parent_id=st.none() | run_ids,
        singleton=st.sampled_from([None, *KEYS]),
        fingerprint=st.sampled_from([None, "", "F"]),
        not_replayed=st.booleans(),
    )
    def runs(self, **fields: Any) -> None:
        which = RunFilter(**fields, limit=3)
        self.both(lambda journal: journal.runs(which))

    @invariant()
    def the_contents_agree(self) -> None:
        calls: list[Callable[[Journal], Awaitable[Any]]] = [
            lambda journal: journal.counts(),
            lambda journal: journal.workers(),
            lambda journal: journal.failure_groups(),
            lambda journal: journal.ended(RUNS),
        ]
        names = ("run", "steps", "attempts", "events", "signals", "spent")
        for run_id in RUNS:
            calls += [methodcaller(name, run_id) for name in names]
        self.both(*calls)

    @invariant()
    def the_rules_hold(self) -> None:
        for run_id in RUNS:
            self.runner.run(self._check(run_id))

    async def _check(self, run_id: str) -> None:
        run = await self.sql.run(run_id)
        log = await self.sql.events(run_id)
        assert [event.number for event in log] == list(range(1, len(log) + 1))
        ended = [event.number for event in log if event.type in TERMINAL_EVENTS]
        if run is None:
            assert not log
            return
        assert run.events == len(log)
        assert ended == ([len(log)] if run.state in TERMINAL_STATES else [])
        assert (run.owner is not None) == (run.state is RunState.RUNNING)
        assert (run.finished_at is not None) == (run.state in TERMINAL_STATES)
        assert (run.waits is not None) == (run.state is RunState.WAITING)

    @invariant()
    def a_key_has_one_holder(self) -> None:
        for key in KEYS:
            runs = self.runner.run(self.sql.runs(RunFilter(singleton=key, states=ACTIVE)))
            assert sum(not _in_line(run) for run in runs) <= 1


def _commit(
    run_id: str, epoch: int, steps: Any, records: Any, told: Any, end: RunState | None
) -> Commit:
    waits = Waits(signals={"go": 1}) if end is RunState.WAITING else None
    last = [NewEvent(type=f"run.{end.value}")] if end in TERMINAL_STATES and end else []
    return Commit(
        run_id=run_id,
        epoch=epoch,
        steps=steps,
        attempts=records,
        events=[*told, *last],
        end=None
        if end is None
        else RunEnd(state=end, envelope="E", trace="T", fingerprint="F", waits=waits),
    )


def _in_line(run: Run) -> bool:
    """Whether the run waits for its singleton key."""
    return run.waits is not None and run.waits.singleton is not None


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "journal.db"

    async def make() -> None:
        journal = SqlJournal(f"sqlite:///{path}")
        await journal.open()
        await journal.close()

    asyncio.run(make())
    return path


def test_sql_and_memory_mean_the_same(migrated: Path) -> None:
    JournalMachine.template = migrated
    run_state_machine_as_test(
        JournalMachine,
        settings=settings(
            max_examples=30,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
