"""Hypothesis drives a ledger on SQLite and one in memory alike, and a small model of both."""

import asyncio
import shutil
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from operator import methodcaller
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from envelope.approval import ApprovalState
from envelope.effect import EffectState
from envelope.errors import MusterError
from envelope.events import TERMINAL_EVENTS
from envelope.ports.journal_rows import (
    TERMINAL_STATES,
    RunState,
    StepState,
    Waits,
)
from envelope.ports.journal_writes import Commit, NewEvent, RunEnd
from envelope.ports.ledger import (
    ApprovalFilter,
    ApprovalRow,
    Conclusion,
    Decision,
    EffectFilter,
    EffectRow,
    FrequencyCap,
    Intended,
    Intent,
    NewApproval,
    Suppression,
    approval_signal,
)
from tests.conformance.journal.making import Books, a_run, a_step, a_worker
from tests.conformance.journal.making_timeless import timeless
from worker.journal.memory import MemoryJournal
from worker.journal.sql import SqlJournal

RUNS = ["r0", "r1", "r2", "r3"]
STEPS = ["s0", "s1"]
KEYS = ["k0", "k1", "k2", "k3", "k4"]
RECIPIENTS = ["x", "y"]
APPROVALS = ["a0", "a1", "a2", "a3"]
CAP_SECONDS = 3600.0
AT_ONCE = 1e-9
"""So short that it is over when it begins: a float of the present time does not resolve it."""

run_ids = st.sampled_from(RUNS)
step_names = st.sampled_from(STEPS)
keys = st.sampled_from(KEYS)
recipients = st.lists(st.sampled_from(RECIPIENTS), min_size=1, max_size=2)
states = st.sampled_from([EffectState.SENT, EffectState.FAILED, EffectState.UNKNOWN])
contents = st.sampled_from(["c", "c", "c", "c", "d"])
caps = st.none() | st.builds(FrequencyCap, count=st.integers(1, 2), seconds=st.just(CAP_SECONDS))
intents = st.fixed_dictionaries(
    {
        "key": keys,
        "run_id": run_ids,
        "step": step_names,
        "recipients": recipients,
        "content_sha256": contents,
        "deduplicates": st.sampled_from([False, False, True]),
        "cap": caps,
        "approval_role": st.sampled_from([None, None, "approver"]),
        "undo": st.sampled_from([False, False, True]),
    }
)


class LedgerMachine(RuleBasedStateMachine):
    """The same call goes to both ledgers; answers, errors and the whole content must agree.

    What went is checked against `known`, the effects as the answers before told of them.
    """

    template: Path

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        path = Path(self.folder.name) / "journal.db"
        shutil.copy(self.template, path)
        self.runner = asyncio.Runner()
        self.sql: Books = SqlJournal(f"sqlite:///{path}")
        self.memory: Books = MemoryJournal()
        self.known: dict[str, EffectRow] = {}
        self.used: dict[str, set[str]] = defaultdict(set)
        self.runner.run(self.sql.open())
        for run_id in RUNS:
            self.both(methodcaller("accept", a_run(run_id, user="u")))
        for worker in ("w0", "w1"):
            self.both(methodcaller("beat", a_worker(worker), 600))

    def teardown(self) -> None:
        self.runner.run(self.sql.close())
        self.runner.close()
        self.folder.cleanup()

    def both(self, *calls: Callable[[Books], Awaitable[Any]]) -> Sequence[Any]:
        """Make the calls on both, all at once, so that they may share a batch."""

        async def make(books: Books) -> Sequence[Any]:
            return await asyncio.gather(*(call(books) for call in calls), return_exceptions=True)

        ours, theirs = (self.runner.run(make(books)) for books in (self.sql, self.memory))
        for answer in (*ours, *theirs):
            assert not isinstance(answer, BaseException) or isinstance(answer, MusterError), answer
        assert timeless(ours) == timeless(theirs)
        return ours

    def run_row(self, run_id: str) -> Any:
        run = self.runner.run(self.sql.run(run_id))
        assert run is not None
        return run

    @rule(
        what=st.sampled_from(["lose", "write_step", "write_step", "leave", "cancel"]),
        run_id=run_ids,
        step=step_names,
        odd=st.sampled_from([False, False, True]),
    )
    def disturb(self, what: str, **where: Any) -> None:
        """Runs change hands and steps are queued; that some end and are cancelled is rare."""
        getattr(self, f"_{what}")(**where)

    def _lose(self, **_: Any) -> None:
        """A worker's runs and steps are lost, and it comes back."""
        self.both(methodcaller("beat", a_worker("w0"), 0))
        self.both(methodcaller("rescue", 9))
        names = [(run_id, step) for run_id in RUNS for step in STEPS]
        self.both(methodcaller("rescue_steps", names, 9))
        self.both(methodcaller("beat", a_worker("w0"), 600))

    def _write_step(self, run_id: str, step: str, odd: bool) -> None:
        """Queue a step, which is at once executed, or settle it."""
        state = StepState.SUCCEEDED if odd and step == STEPS[0] else StepState.QUEUED
        kind = "undo" if odd else "agent"
        write = a_step(step, state, kind=kind, inline=False, attempt=0)
        epoch = self.run_row(run_id).epoch
        self.both(methodcaller("commit", Commit(run_id=run_id, epoch=epoch, steps=[write])))
        self.both(methodcaller("claim_step", run_id, step, "w0"))

    def _leave(self, run_id: str, odd: bool, **_: Any) -> None:
        """Let the run wait for a decision, or end it."""
        names = dict.fromkeys(map(approval_signal, APPROVALS), 0)
        end = RunEnd(state=RunState.WAITING, waits=Waits(signals=names))
        told = []
        if odd and run_id == RUNS[0]:
            end, told = RunEnd(state=RunState.FAILED), [NewEvent(type="run.failed")]
        epoch = self.run_row(run_id).epoch
        self.both(methodcaller("commit", Commit(run_id=run_id, epoch=epoch, events=told, end=end)))

    def _cancel(self, run_id: str, **_: Any) -> None:
        if run_id == RUNS[1]:
            self.both(methodcaller("claim", run_id, "w0"))
            self.both(methodcaller("cancel", run_id, "enough"))

    @rule(many=st.lists(intents, min_size=2, max_size=4))
    def intend_much(self, many: list[dict[str, Any]]) -> None:
        """Several at once."""
        self._intend(many)

    @rule(fields=intents, stale=st.sampled_from([0, 0, 0, 1]))
    def intend(self, fields: dict[str, Any], stale: int) -> None:
        """One, perhaps with an epoch that is over."""
        self._intend([fields], stale)

    def _intend(self, many: list[dict[str, Any]], stale: int = 0) -> None:
        """In the run's own process, which takes it first."""
        for fields in many:
            self.both(methodcaller("claim", fields["run_id"], "w0"))
        made = [
            _intent(fields, epoch=self.run_row(fields["run_id"]).epoch - stale) for fields in many
        ]
        for intent, answer in zip(made, self.both(*_intending(made)), strict=True):
            self._note(intent, answer)

    @rule(fields=intents, attempt=st.integers(1, 2), executor=st.sampled_from(["w0", "w0", "w1"]))
    def intend_queued(self, fields: dict[str, Any], attempt: int, executor: str) -> None:
        """From the agent's queue."""
        intent = _intent(fields, attempt=attempt, executor=executor)
        (answer,) = self.both(*_intending([intent]))
        self._note(intent, answer)

    def _note(self, intent: Intent, answer: Any) -> None:
        if not isinstance(answer, Intended):
            return
        if answer.go:
            assert answer.effect is not None
            self._check_go(intent, answer.effect)
        if answer.effect is not None:
            self.known[intent.key] = answer.effect

    def _check_go(self, intent: Intent, effect: EffectRow) -> None:
        before = self.known.get(intent.key)
        run = self.run_row(intent.run_id)
        assert run.state not in TERMINAL_STATES
        assert intent.epoch is None or (run.state, run.epoch) == (RunState.RUNNING, intent.epoch)
        if before is not None and before.state is not EffectState.FAILED:
            assert before.state is EffectState.INTENDED
            assert before.deduplicates
            if effect.approval_id != before.approval_id:
                # The consent that it had has lapsed, or none was wanted then: a new one is used.
                assert intent.approval_role is not None
                assert effect.approval_id is not None
                self.used[effect.approval_id].add(intent.key)
            return
        assert intent.approval_role is None or effect.approval_id is not None
        if effect.approval_id is not None:
            self.used[effect.approval_id].add(intent.key)
        for recipient in intent.recipients:
            others = [
                other
                for key, other in self.known.items()
                if key != intent.key
                and recipient in other.recipients
                and other.state is not EffectState.FAILED
            ]
            assert intent.cap is None or len(others) < intent.cap.count

    @rule(key=keys, words=st.lists(st.tuples(states, st.integers(0, 1)), min_size=1, max_size=3))
    def conclude(self, key: str, words: list[tuple[EffectState, int]]) -> None:
        """What its senders say, the last one or the one before, one after the other."""
        for state, back in words:
            before = self.known.get(key)
            if before is not None:
                self._conclude(before, state, before.tries - back)

    def _conclude(self, before: EffectRow, state: EffectState, tries: int) -> None:
        told = Conclusion(key=before.key, tenant="default", tries=tries, state=state)
        (after,) = self.both(methodcaller("conclude", told))
        assert state is not EffectState.SENT or after.state is EffectState.SENT
        assert before.state is not EffectState.SENT or after == before
        self.known[before.key] = after

    @rule()
    def conclude_nothing(self) -> None:
        told = Conclusion(key="none", tenant="default", tries=1, state=EffectState.SENT)
        self.both(methodcaller("conclude", told))

    @rule(key=keys, state=st.sampled_from([EffectState.SENT, EffectState.FAILED]))
    def settle(self, key: str, state: EffectState) -> None:
        (after,) = self.both(methodcaller("settle_effect", "default", key, state, by="me"))
        if isinstance(after, EffectRow):
            assert self.known[key].state in {EffectState.UNKNOWN, EffectState.INTENDED}
            self.known[key] = after

    @rule(
        approval_id=st.sampled_from(APPROVALS),
        run_id=run_ids,
        content=contents,
        expires_seconds=st.sampled_from([600.0, 600.0, AT_ONCE]),
        approve=st.sampled_from([True, True, False, None]),
        by=st.sampled_from(["boss", "boss", "u"]),
    )
    def approve(
        self,
        approval_id: str,
        run_id: str,
        content: str,
        approve: bool | None,
        by: str,
        **fields: Any,
    ) -> None:
        """Ask, and decide at once where `approve` says how."""
        new = NewApproval(
            approval_id=approval_id,
            run_id=run_id,
            epoch=None,
            tenant="default",
            requester="u",
            channel="email",
            content="{}",
            content_sha256=content,
            title="t",
            role="approver",
            **fields,
        )
        self.both(methodcaller("ask_approval", new))
        if approve is None:
            return
        decision = Decision(
            approval_id=approval_id,
            tenant="default",
            approve=approve,
            content_sha256=content,
            by=by,
        )
        self.both(methodcaller("decide", decision))

    @rule(recipient=st.sampled_from(RECIPIENTS), channel=st.sampled_from(["*", "email", "sms"]))
    def suppress_for_now(self, recipient: str, channel: str) -> None:
        """Nobody is reached meanwhile; what would be begun, is kept back."""
        one = Suppression(tenant="default", channel=channel, recipient=recipient)
        self.both(methodcaller("suppress", one))
        made = [
            Intent(
                key="suppressed",
                run_id=run_id,
                step="s",
                attempt=1,
                tenant="default",
                channel="email",
                recipients=[recipient],
                content_sha256="c",
                epoch=self.run_row(run_id).epoch,
            )
            for run_id in RUNS
        ]
        if channel != "sms":
            for answer in self.both(*_intending(made)):
                assert not isinstance(answer, Intended) or not answer.go
        self.both(methodcaller("unsuppress", "default", channel, recipient))

    @invariant()
    def the_contents_agree(self) -> None:
        calls: list[Callable[[Books], Awaitable[Any]]] = [_effects, _approvals]
        calls += [methodcaller("reached", "default", "email", RECIPIENTS, CAP_SECONDS)]
        calls += [methodcaller("suppressions", "default")]
        for run_id in RUNS:
            calls += [methodcaller(name, run_id) for name in ("run", "events", "signals")]
        self.both(*calls)

    @invariant()
    def the_model_agrees(self) -> None:
        rows = self.runner.run(self.sql.effects(EffectFilter()))
        assert {row.key: row for row in rows} == self.known

    @invariant()
    def an_approval_serves_one_effect(self) -> None:
        assert all(len(effects) == 1 for effects in self.used.values())

    @invariant()
    def events_stop_at_the_end(self) -> None:
        for run_id in RUNS:
            log = self.runner.run(self.sql.events(run_id))
            assert [event.number for event in log] == list(range(1, len(log) + 1))
            assert not any(event.type in TERMINAL_EVENTS for event in log[:-1])


async def _effects(books: Books) -> dict[str, dict[str, EffectRow]]:
    """By state and key: which of two is newer is the clock's choice."""
    listed = {state: await books.effects(EffectFilter(state=state)) for state in EffectState}
    return {state: {row.key: row for row in rows} for state, rows in listed.items()}


async def _approvals(books: Books) -> dict[str, dict[str, ApprovalRow]]:
    """By state and id."""
    listed = {state: await books.approvals(ApprovalFilter(state=state)) for state in ApprovalState}
    return {state: {row.approval_id: row for row in rows} for state, rows in listed.items()}


def _intent(fields: dict[str, Any], **fence: Any) -> Intent:
    values = {"attempt": 1, "tenant": "default", "channel": "email"}
    return Intent(**values | fields | fence)


def _intending(intents: Sequence[Intent]) -> Sequence[Callable[[Books], Awaitable[Any]]]:
    return [methodcaller("intend", intent) for intent in intents]


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "journal.db"

    async def make() -> None:
        journal = SqlJournal(f"sqlite:///{path}")
        await journal.open()
        await journal.close()

    asyncio.run(make())
    return path


def test_sql_and_memory_mean_the_same_and_what_the_model_says(migrated: Path) -> None:
    LedgerMachine.template = migrated
    run_state_machine_as_test(
        LedgerMachine,
        settings=settings(
            max_examples=30,
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
