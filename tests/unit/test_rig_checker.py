"""The checker of the fault rig must find each kind of violation, and none in a good history."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from envelope import Envelope
from envelope.effect import EffectState
from envelope.ports.journal_rows import Event
from envelope.ports.ledger import EffectRow
from tests.rig.faults.checker import RULES, check
from tests.rig.faults.facts import Facts, RunFacts
from tests.rig.faults.history import Line
from tests.rig.faults.report import percentile, report
from tests.rig.faults.rules_steps import late_starts, resume_seconds, taken_from_the_starved

A, B = 100, 200  # processes
ADA, HOOK = "ada@example.org", "/hook/7"
Told = tuple[float, str, str | None, dict[str, Any]]


def worker(pid: int) -> str:
    return f"host-{pid}-0123abcd"


def event(number: int, told: Told) -> Event:
    at, kind, step, data = told
    return Event(run_id="r1", number=number, type=kind, at=at, step=step, data=json.dumps(data))


def run(told: Sequence[Told], state: str = "succeeded", run_id: str = "r1") -> RunFacts:
    numbered = [event(number, one) for number, one in enumerate(told, start=1)]
    envelope = Envelope.from_records([{"number": 0}, {"number": 1}], source="test").to_json()
    return RunFacts(run_id, "rig-chain", state, "k1", envelope=envelope, events=numbered)


def line(at: float, what: str, **more: Any) -> Line:
    return {"at": at, "what": what, **more}


def accepted(at: float = 0.0, **more: Any) -> Line:
    facts = {"run": "r1", "flow": "rig-chain", "key": "k1", "expect": ["succeeded"]}
    return line(at, "accepted", **{**facts, "numbers": [0, 1], **more})


def start(at: float, step: str, pid: int = A, **more: Any) -> Line:
    facts = {"run": "r1", "step": step, "agent": "rig-near", "attempt": 1, "pid": pid, "after": []}
    return line(at, "start", **{**facts, **more})


def fault(kind: str, pid: int, begun: float, ended: float) -> list[Line]:
    facts = {"fault": int(begun * 1_000), "kind": kind, "pids": [pid]}
    proof = {"steps in flight": 1}
    return [line(begun, "fault.begin", **facts), line(ended, "fault.end", **facts, proof=proof)]


STARTED: Told = (1.0, "run.started", None, {"worker": worker(A), "epoch": 1})
FIRST: Told = (2.0, "step.succeeded", "s0", {"agent": "rig-near"})
SECOND: Told = (3.0, "step.succeeded", "s1", {"agent": "rig-near"})
END: Told = (4.0, "run.succeeded", None, {})
LOST: Told = (2.4, "run.lost", None, {"worker": worker(A)})
RESUMED: Told = (2.5, "run.resumed", None, {"worker": worker(B), "epoch": 3})

GOOD = Facts(
    lines=[accepted(), start(1.5, "s0"), start(2.5, "s1", after=["s0"])],
    runs={"r1": run([STARTED, FIRST, SECOND, END])},
    logs=[
        {
            "event": "run.ended",
            "run": "r1",
            "state": "succeeded",
            "timestamp": "1970-01-01T00:00:04.1+00:00",
            "text": "run.ended",
        }
    ],
    limits={"rig-writer": 1},
    canaries=("canary",),
)
TAKEN_OVER = Facts(
    lines=[accepted(), start(1.5, "s0"), start(2.6, "s1", B), *fault("kill", A, 2.1, 2.1)],
    runs={"r1": run([STARTED, FIRST, LOST, RESUMED, SECOND, END])},
)


def with_lines(*lines: Line, facts: Facts = GOOD) -> Facts:
    return replace(facts, lines=[*facts.lines, *lines])


def with_run(told: Sequence[Told], state: str = "succeeded") -> Facts:
    return replace(GOOD, runs={"r1": run(told, state)})


def call(begun: float, ended: float, pid: int = A, agent: str = "rig-writer") -> Line:
    return line(ended, "llm", agent=agent, pid=pid, begun=begun, ended=ended)


def locked(at: float, owner: str, what: str = "locked") -> Line:
    return line(at, what, key="k", owner=owner)


def delivering(channel: str, to: str, **more: Any) -> Line:
    wanted = {"allow_delivery": True, "delivers": {"channel": channel, "to": to}, "numbers": None}
    return accepted(expect=["succeeded", "failed"], **{**wanted, **more})


def effect(channel: str, state: EffectState = EffectState.SENT, **more: Any) -> EffectRow:
    facts = {"key": f"key of {channel}", "recipients": [ADA if channel == "email" else "127.0.0.1"]}
    made = {"tenant": "default", "run_id": "r9", "step": "send", "tries": 1, "intended_at": 1.0}
    known = {"content_sha256": "", "title": "", "deduplicates": channel == "webhook"}
    return EffectRow(channel=channel, state=state, **{**facts, **made, **known, **more})


def data(at: float = 2.0, to: str = ADA) -> list[Line]:
    return [line(at, "data", recipients=[to]), line(at, "mail", sender="us", recipients=[to])]


def hook(at: float = 2.0, path: str = HOOK, key: str = "key of webhook", body: str = "1") -> Line:
    return line(at, "webhook", path=path, key=key, sha256=body)


def malformed(**more: Any) -> Line:
    facts = {"flow": "rig-chain", "error": "InvalidInput", "code": "VALIDATION_FAILED"}
    return line(1.0, "malformed", **{"key": "k7", **facts, **more})


MAILED = replace(GOOD, lines=[delivering("email", ADA), *data()], effects=[effect("email")])
HOOKED = replace(GOOD, lines=[delivering("webhook", HOOK), hook()], effects=[effect("webhook")])
FAILED = {"r1": run([STARTED, (4.0, "run.failed", None, {})], "failed")}
NOBODY_KNOWS = replace(MAILED, runs=FAILED, logs=[], effects=[effect("email", EffectState.UNKNOWN)])

OTHER = replace(run([(3.5, *STARTED[1:]), (5.0, *END[1:])], run_id="r2"), key="k2")

FAR = [(1.1, "step.queued", "far", {}), (1.15, "step.started", "far", {})]
RETAKEN = with_run([STARTED, *FAR, (1.25, "step.started", "far", {}), FIRST, SECOND, END])
BAD: dict[str, tuple[str, Facts]] = {
    "no row": ("lost", replace(GOOD, runs={})),
    "no end": ("not ended", with_run([STARTED], "running")),
    "failed": ("ended otherwise", with_run([STARTED, (4.0, "run.failed", None, {})], "failed")),
    "gap": (
        "numbers",
        replace(
            GOOD,
            runs={"r1": replace(run([]), events=[event(1, STARTED), event(3, FIRST)])},
        ),
    ),
    "two ends": ("terminal event", with_run([STARTED, FIRST, SECOND, END, END])),
    "end not last": ("terminal event", with_run([STARTED, FIRST, END, SECOND])),
    "other end": ("terminal event", with_run([STARTED, (4.0, "run.failed", None, {})])),
    "two runs of a key": ("idempotency key", with_lines(accepted(run="r9", expect=["unknown"]))),
    "a record twice": ("result", with_lines(accepted(numbers=[0]))),
    "announced early": (
        "announced before commit",
        replace(GOOD, logs=[{**GOOD.logs[0], "timestamp": "1970-01-01T00:00:03.9+00:00"}]),
    ),
    "announced in vain": (
        "announced before commit",
        replace(GOOD, logs=[{**GOOD.logs[0], "state": "cancelled"}]),
    ),
    "a reader's number reused": (
        "reader",
        with_lines(line(9.0, "read", run="r1", events=[[1, "run.started"], [2, "step.failed"]])),
    ),
    "repeated by its owner": ("repeated", with_lines(start(2.2, "s0"))),
    "repeated by a stranger": ("repeated", with_lines(start(2.2, "s0", B))),
    "repeated by a zombie that had time": (
        "repeated",
        with_lines(start(9.0, "s1"), facts=TAKEN_OVER),
    ),
    "committed twice": ("committed twice", with_run([STARTED, FIRST, FIRST, SECOND, END])),
    "goes on before the commit": (
        "began too early",
        with_lines(start(1.9, "s1", after=["s0"])),
    ),
    "goes on without a commit": ("began too early", with_lines(start(9.0, "x", after=["never"]))),
    "taken from the living": (
        "taken from the living",
        replace(TAKEN_OVER, lines=[accepted()]),
    ),
    "taken after another's fault": (
        "taken from the living",
        replace(TAKEN_OVER, lines=[accepted(), *fault("kill", B, 2.1, 2.1)]),
    ),
    "taken after an outage of Redis": (
        "taken from the living",
        replace(TAKEN_OVER, lines=[accepted(), *fault("redis cut", A, 2.1, 2.1)]),
    ),
    "two owners": ("two owners", with_run([STARTED, FIRST, RESUMED, SECOND, END])),
    "worker ended": ("worker ended", with_lines(line(5.0, "worker.died", pid=A, code=1))),
    "above the limit": ("above the limit", with_lines(call(1.0, 2.0), call(1.5, 3.0))),
    "a permit left": (
        "leaked",
        with_lines(line(9.0, "permit.left", agent="a", run="r1", step="s0", worker="w")),
    ),
    "singletons overlap": (
        "overlap",
        replace(
            GOOD,
            lines=[
                accepted(singleton="one"),
                accepted(run="r2", key="k2", singleton="one", numbers=None),
            ],
            runs={**GOOD.runs, "r2": OTHER},
        ),
    ),
    "two holders": ("two holders", with_lines(locked(1.0, "a"), locked(2.0, "b"))),
    "a lock released by another": (
        "two holders",
        with_lines(locked(1.0, "a"), locked(1.5, "c", "unlocked"), locked(2.0, "b")),
    ),
    "begun long after a cancel": (
        "begun after cancel",
        with_lines(
            line(5.0, "cancel.acknowledged", run="r1"),
            start(9.0, "s9"),
        ),
    ),
    "taken from a queue after a cancel": (
        "begun after cancel",
        with_lines(
            line(1.2, "cancel.acknowledged", run="r1"),
            start(1.3, "far"),
            facts=with_run([STARTED, (1.1, "step.queued", "far", {}), FIRST, SECOND, END]),
        ),
    ),
    "taken again from a queue after a cancel": (
        "begun after cancel",
        with_lines(line(1.2, "cancel.acknowledged", run="r1"), start(1.3, "far"), facts=RETAKEN),
    ),
    "poison lives": (
        "poison lives",
        with_lines(accepted(expect=["dead"], numbers=None), *(start(1.1, "s0") for _ in range(31))),
    ),
    "a second DATA": ("mailed twice", with_lines(*data(3.0), facts=MAILED)),
    "a second DATA that was cut off": ("mailed twice", with_lines(data(3.0)[0], facts=MAILED)),
    "a webhook under another key": ("second effect", with_lines(hook(key="k2"), facts=HOOKED)),
    "a webhook with another body": ("second effect", with_lines(hook(body="2"), facts=HOOKED)),
    "a webhook that nobody intended": ("sent without intent", with_lines(hook(3.0), facts=HOOKED)),
    "an e-mail without permission": (
        "without permission",
        replace(MAILED, lines=[delivering("email", ADA, allow_delivery=False), *data()]),
    ),
    "a webhook without permission": (
        "without permission",
        replace(HOOKED, lines=[delivering("webhook", HOOK, allow_delivery=False), hook()]),
    ),
    "an e-mail begun without permission": (
        "without permission",
        replace(
            GOOD,
            lines=[delivering("email", ADA, allow_delivery=False)],
            effects=[effect("email", EffectState.FAILED)],
        ),
    ),
    "an e-mail to a stranger": (
        "without permission",
        with_lines(*data(to="eve@example.org"), facts=MAILED),
    ),
    "an e-mail that nobody wrote down": ("not in the ledger", replace(MAILED, effects=[])),
    "an e-mail whose outcome was forgotten": (
        "not in the ledger",
        replace(MAILED, effects=[effect("email", EffectState.INTENDED)]),
    ),
    "a webhook of which nobody knows": (
        "not in the ledger",
        replace(HOOKED, effects=[effect("webhook", EffectState.UNKNOWN)]),
    ),
    "an e-mail that never came": ("never sent", replace(MAILED, lines=MAILED.lines[:1])),
    "a webhook that never came": ("never sent", replace(HOOKED, lines=HOOKED.lines[:1])),
    "a delivery that did nothing": (
        "ended without effect",
        replace(MAILED, lines=MAILED.lines[:1], effects=[]),
    ),
    "a delivery that failed for nothing": (
        "ended without effect",
        replace(NOBODY_KNOWS, effects=[effect("email", EffectState.FAILED)]),
    ),
    "a delivery that succeeded though nobody knows": (
        "ended without effect",
        replace(MAILED, effects=[effect("email", EffectState.UNKNOWN)]),
    ),
    "malformed and accepted": (
        "not refused",
        with_lines(malformed(error=None, code=None, run="r1")),
    ),
    "malformed and crashed": (
        "not refused",
        with_lines(malformed(error="KeyError", code=None)),
    ),
    "malformed and yet a run": ("changed something", with_lines(malformed(key="k1"))),
    "a secret in a log": ("secret in a log", replace(GOOD, logs=[{"text": "the canary sings"}])),
    "a secret in an event": (
        "secret told",
        with_run([STARTED, FIRST, SECOND, (4.0, "run.succeeded", None, {"x": "canary"})]),
    ),
    "a secret in a failure": (
        "secret told",
        replace(GOOD, runs={"r1": replace(GOOD.runs["r1"], failure='{"message": "canary"}')}),
    ),
}


def test_a_good_history_has_no_violation() -> None:
    assert check(GOOD) == []
    assert check(TAKEN_OVER) == []
    assert check(with_lines(malformed())) == []
    assert check(MAILED) == check(HOOKED) == []


def test_what_nobody_knows_may_fail_and_may_turn_out_to_have_been_sent() -> None:
    assert check(NOBODY_KNOWS) == []
    assert check(replace(NOBODY_KNOWS, effects=[effect("email")])) == []


def test_a_webhook_that_was_cut_off_lands_again_under_its_key() -> None:
    again = with_lines(hook(3.0), facts=HOOKED)
    assert check(replace(again, effects=[effect("webhook", tries=2)])) == []


def test_a_delivery_without_permission_does_nothing() -> None:
    assert check(replace(GOOD, lines=[delivering("email", ADA, allow_delivery=False)])) == []


@pytest.mark.parametrize(("name", "facts"), BAD.values(), ids=BAD.keys())
def test_a_bad_history_is_found_out(name: str, facts: Facts) -> None:
    found = check(facts)
    assert name in {violation.name for violation in found}, found
    assert all(violation.evidence for violation in found)


def test_every_rule_has_a_bad_history() -> None:
    blind = [rule.__name__ for rule in RULES if not any(list(rule(f)) for _, f in BAD.values())]
    assert blind == []


def test_a_rule_can_be_left_out() -> None:
    _, facts = BAD["above the limit"]
    limits = next(rule for rule in RULES if rule.__name__ == "limits_hold")
    assert check(facts, but=[limits]) == []


@pytest.mark.parametrize(
    "starved",
    [
        [line(at, "starved", pid=A, seconds=0.5) for at in (0.5, 1.0, 1.5, 2.0)],
        [line(2.5, "starved", pid=A, seconds=2.3)],
    ],
    ids=["again and again", "the machine stood still"],
)
def test_who_gets_no_processor_loses_a_lease_by_no_fault_of_muster(starved: list[Line]) -> None:
    facts = replace(TAKEN_OVER, lines=[accepted(), *starved])
    assert check(facts) == []
    assert len(taken_from_the_starved(facts)) == 1


@pytest.mark.parametrize(
    "starved",
    [
        [line(2.0, "starved", pid=A, seconds=1.9)],
        [line(2.0, "starved", pid=B, seconds=9.0)],
        [line(at, "starved", pid=A, seconds=0.5) for at in (3.0, 3.5, 4.0, 4.5)],
    ],
    ids=["not for long", "another one", "afterwards"],
)
def test_what_happened_to_others_or_at_another_time_is_no_excuse(starved: list[Line]) -> None:
    facts = replace(TAKEN_OVER, lines=[accepted(), *starved])
    assert [violation.name for violation in check(facts)] == ["taken from the living"]
    assert taken_from_the_starved(facts) == []


def test_a_zombie_that_could_not_know_yet_is_counted_and_excused() -> None:
    facts = with_lines(*fault("freeze", A, 2.2, 8.0), start(8.1, "s1"), facts=TAKEN_OVER)
    assert check(facts) == []
    assert [late["at"] for late in late_starts(facts)] == [8.1]


def test_a_child_is_paused_together_with_its_worker() -> None:
    frozen = with_lines(*fault("freeze", B, 2.2, 8.0), start(8.1, "s1"), facts=TAKEN_OVER)
    assert [violation.name for violation in check(frozen)] == ["repeated"]
    child = replace(frozen, logs=[{"process": A, "host": B, "text": ""}])
    assert check(child) == []


def test_a_paused_caller_s_call_does_not_count_once_its_lease_is_over() -> None:
    paused = with_lines(*fault("freeze", A, 2.0, 20.0), call(1.0, 21.0), call(5.0, 6.0, B))
    assert check(paused) == []
    too_soon = with_lines(*fault("freeze", A, 2.0, 20.0), call(1.0, 21.0), call(3.0, 6.0, B))
    assert [violation.name for violation in check(too_soon)] == ["above the limit"]


@pytest.mark.parametrize("kind", ["freeze", "database freeze", "database mute"])
def test_a_call_does_not_count_once_its_caller_was_kept_from_renewing_its_lease(kind: str) -> None:
    kept = with_lines(*fault(kind, A, 2.0, 20.0), call(1.0, 21.0), call(5.0, 6.0, B))
    assert check(kept) == []
    not_for_long = with_lines(*fault(kind, A, 2.0, 3.0), call(1.0, 21.0), call(5.0, 6.0, B))
    assert [violation.name for violation in check(not_for_long)] == ["above the limit"]


def test_a_caller_that_is_cut_off_from_redis_alone_holds_its_lease() -> None:
    cut = with_lines(*fault("redis mute", A, 2.0, 20.0), call(1.0, 21.0), call(5.0, 6.0, B))
    assert [violation.name for violation in check(cut)] == ["above the limit"]


def test_calls_that_follow_each_other_are_within_a_limit_of_one() -> None:
    assert check(with_lines(call(1.0, 2.0), call(2.0, 3.0))) == []


def test_a_step_in_a_process_is_stopped_within_a_heartbeat_after_a_cancel() -> None:
    facts = with_lines(line(2.0, "cancel.acknowledged", run="r1"))
    assert check(facts) == []


def test_a_step_that_was_taken_before_a_cancel_is_stopped_within_a_heartbeat() -> None:
    cancelled = line(1.17, "cancel.acknowledged", run="r1")
    facts = with_lines(cancelled, start(1.18, "far"), facts=RETAKEN)
    assert check(facts) == []


def test_deaths_by_a_fault_or_by_poison_are_no_surprise() -> None:
    by_fault = with_lines(line(5.0, "worker.died", pid=A, code=-9), facts=TAKEN_OVER)
    by_poison = with_lines(
        line(5.0, "worker.died", pid=B, code=13), start(1.2, "x", B, agent="rig-killer")
    )
    assert check(by_fault) == check(by_poison) == []


def test_times_from_kill_to_resumed_work_and_their_percentiles() -> None:
    assert resume_seconds(TAKEN_OVER) == [pytest.approx(0.4)]
    assert resume_seconds(GOOD) == []
    killed_later = replace(TAKEN_OVER, lines=[accepted(), *fault("kill", A, 2.45, 2.45)])
    assert resume_seconds(killed_later) == []
    hundred = [float(n) for n in range(1, 101)]
    assert (percentile(hundred, 0.5), percentile(hundred, 0.99)) == (50.0, 99.0)
    assert percentile([7.0], 0.99) == 7.0


def test_the_report_names_what_was_found() -> None:
    _, facts = BAD["above the limit"]
    text = report(facts, check(facts), seed=7, seconds=1.0)
    assert "seed 7" in text
    assert "VIOLATION rule 5, above the limit" in text
    assert "2 of 1" in text
    assert "effects: email sent 1; begun more than once 0" in report(MAILED, [], 7, 1.0)
