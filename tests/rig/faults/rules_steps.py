"""Rules about steps and who executes them: nothing committed repeats, nobody stale goes on."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator

from tests.rig.faults.facts import Facts
from tests.rig.faults.history import Line
from tests.rig.faults.violation import Violation

NOTICE_SECONDS = 1.5
"""What a process that lost something needs, beyond a heartbeat, to find out about it."""

_DEADLY = frozenset({"rig-killer", "rig-far-killer", "rig-brittle"})


def committed_steps_stay(facts: Facts) -> Iterator[Violation]:
    """Rule 2: a committed step is not executed again.

    A process that was paused right before it began may begin when it wakes: nobody can stop it
    before it looks. That is counted by `late_starts`, and is a violation once it had time to look.
    """
    for line, committed in _starts_after_commit(facts):
        if not _could_not_know(facts, line):
            told = f"{line['step']} committed at {committed:.3f}, begun again by {line['pid']}"
            yield Violation(2, "repeated", line["run"], f"{told} at {line['at']:.3f}")


def late_starts(facts: Facts) -> list[Line]:
    """Executions of committed steps by processes that could not know yet that they are stale."""
    return [line for line, _ in _starts_after_commit(facts) if _could_not_know(facts, line)]


def steps_are_committed_once(facts: Facts) -> Iterator[Violation]:
    """Rule 3: a stale owner's outcome is refused, so a step has one outcome."""
    for run in facts.runs.values():
        steps = {event.step for event in run.events if event.step}
        for step in sorted(steps):
            times = [f"{event.at:.3f}" for event in run.settled(step)]
            if len(times) > 1:
                told = f"{step} was committed at {' and '.join(times)}"
                yield Violation(3, "committed twice", run.run_id, told)


def nothing_follows_the_uncommitted(facts: Facts) -> Iterator[Violation]:
    """Rule 2: a step begins only when the steps before it are committed."""
    for line in facts.of("start"):
        run = facts.run(line["run"])
        for before in line["after"] if run.ended else ():
            events = run.settled(before)
            if not events or events[0].at > line["at"]:
                told = f"{line['step']} begun at {line['at']:.3f} before {before} was committed"
                yield Violation(2, "began too early", run.run_id, told)


def the_living_keep_their_work(facts: Facts) -> Iterator[Violation]:
    """Rule 2: a run is taken from its owner only if something had happened to that owner.

    A machine that gave the owner no processor had happened to it: `taken_from_the_starved` counts.
    """
    for run_id, pid, at, told in _taken_without_a_fault(facts):
        if not _was_starved(facts, pid, at):
            yield Violation(2, "taken from the living", run_id, told)


def taken_from_the_starved(facts: Facts) -> list[str]:
    """What was taken from processes that got no processor, though no fault had hit them."""
    return [
        told for _, pid, at, told in _taken_without_a_fault(facts) if _was_starved(facts, pid, at)
    ]


def owners_take_turns(facts: Facts) -> Iterator[Violation]:
    """Rule 3: who owns a run either gives it back or loses it before another one has it."""
    for run in facts.runs.values():
        owner = None
        for event in run.events:
            data = json.loads(event.data)
            if event.type in {"run.started", "run.resumed"}:
                if owner is not None:
                    told = f"{data['worker']} took it at {event.at:.3f} while {owner} had it"
                    yield Violation(3, "two owners", run.run_id, told)
                owner = data["worker"]
            elif event.type in {"run.lost", "run.released", "run.waiting", "run.isolated"}:
                owner = None


def workers_live(facts: Facts) -> Iterator[Violation]:
    """Rule 10: a worker ends only by a fault, or by a step that is made to kill it."""
    for pid, line in facts.deaths.items():
        if pid not in _killers(facts) and not facts.faults_of(pid):
            told = f"worker {pid} ended with code {line['code']} by itself"
            yield Violation(10, "worker ended", "-", told)


def _killers(facts: Facts) -> set[int]:
    """The processes that began a step which is made to kill them."""
    return {line["pid"] for line in facts.of("start") if line["agent"] in _DEADLY}


def _starts_after_commit(facts: Facts) -> Iterator[tuple[Line, float]]:
    for line in facts.of("start"):
        events = facts.run(line["run"]).settled(line["step"])
        if events and line["at"] > events[0].at:
            yield line, events[0].at


def _could_not_know(facts: Facts, line: Line) -> bool:
    """Whether the process had lost the run or the step, and had no time yet to find out."""
    lost = _lost_at(facts, line)
    if lost is None:
        return False
    healed = [fault.ended for fault in facts.faults_of(line["pid"])]
    awake = max([lost, *(at for at in healed if at <= line["at"])])
    return bool(line["at"] <= awake + facts.heartbeat + NOTICE_SECONDS)


def _lost_at(facts: Facts, line: Line) -> float | None:
    """When the process lost what it executes; None where it had it, as far as anybody knew."""
    last: tuple[float, str] | None = None
    for at, worker, kind in facts.run(line["run"]).handovers:
        if facts.pid(worker) == line["pid"] and at <= line["at"]:
            last = (at, kind)
    return last[0] if last and last[1] in {"run.lost", "step.lost"} else None


def _taken_without_a_fault(facts: Facts) -> Iterator[tuple[str, int, float, str]]:
    for run in facts.runs.values():
        for at, worker, kind in run.handovers:
            pid = facts.pid(worker)
            if kind in {"run.lost", "step.lost"} and pid and not _excused(facts, pid, at):
                told = f"{kind} at {at:.3f} from {worker}, to which nothing had happened"
                yield run.run_id, pid, at, told


def _was_starved(facts: Facts, pid: int, at: float) -> bool:
    """Whether it wanted a processor for as long as a renewal of its lease may be late."""
    since = at - facts.lease - facts.heartbeat - NOTICE_SECONDS
    return facts.starved(pid, since, at) >= facts.lease - facts.heartbeat


def _excused(facts: Facts, pid: int, at: float) -> bool:
    """Whether the process or its host was dead, or hurt within the lease before the loss."""
    if {pid, facts.hosts.get(pid, pid)} & (facts.deaths.keys() | _killers(facts)):
        return True
    late = facts.lease + facts.heartbeat + NOTICE_SECONDS
    everybodys = [fault for fault in facts.faults if not fault.pids]
    return any(
        fault.begun <= at <= fault.ended + late
        for fault in [*everybodys, *facts.faults_of(pid)]
        if not fault.kind.startswith(("redis", "llm"))
    )


def resume_seconds(facts: Facts) -> list[float]:
    """From each kill of a worker to resumed work, for each run that it hit, the shortest first.

    What a worker had lost before it was killed, the kill did not hit.
    """
    killed = {pid: f.begun for f in facts.faults if f.kind.startswith("kill") for pid in f.pids}
    gaps: dict[str, list[float]] = defaultdict(list)
    for run in facts.runs.values():
        since: float | None = None
        for event in run.events:
            if event.type == "run.lost":
                since = killed.get(facts.pid(json.loads(event.data)["worker"]) or 0)
                since = None if since is None or since > event.at else since
            elif event.type == "run.resumed" and since is not None:
                gaps[run.run_id].append(event.at - since)
                since = None
    return sorted(gap for found in gaps.values() for gap in found)
