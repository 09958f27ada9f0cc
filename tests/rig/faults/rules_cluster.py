"""Rules about what runs share: limits, keys, cancels, poison, secrets."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise

from tests.rig.faults.facts import Facts, Fault
from tests.rig.faults.history import Line
from tests.rig.faults.rules_steps import NOTICE_SECONDS
from tests.rig.faults.violation import Violation

_LOSSES_AT_MOST = 10  # times max_losses: see decision 4


def limits_hold(facts: Facts) -> Iterator[Violation]:
    """Rule 5: never more calls inside the stub model than the agent's limit."""
    for agent, limit in facts.limits.items():
        count, at = peak(facts, agent)
        if count > limit:
            told = f"{count} calls of {agent} at once at {at:.3f}, its limit is {limit}"
            yield Violation(5, "above the limit", "-", told)


def peak(facts: Facts, agent: str) -> tuple[int, float]:
    """The most calls of an agent that were inside the stub model at once, and when."""
    edges = []
    for line in facts.of("llm"):
        if line["agent"] == agent:
            edges += [(line["begun"], 1), (_held_until(facts, line), -1)]
    inside, most, when = 0, 0, 0.0
    for at, change in sorted(edges):
        inside += change
        if inside > most:
            most, when = inside, at
    return most, when


def _held_until(facts: Facts, line: Line) -> float:
    """When the call ended, or when its caller's lease did: its permit is others' by then."""
    lapses = [
        max(line["begun"], lapse)
        for fault in facts.faults_of(line["pid"])
        if (lapse := _lapse_by(facts, fault)) is not None and fault.begun < line["ended"]
    ]
    return float(min([line["ended"], *lapses]))


def _lapse_by(facts: Facts, fault: Fault) -> float | None:
    """When a worker's lease may have lapsed: one that was paused, or cut off from the journal."""
    lapse = fault.begun + facts.lease - facts.heartbeat
    keeps_from_beating = fault.kind == "freeze" or fault.kind.startswith("database ")
    return lapse if keeps_from_beating and lapse <= fault.ended else None


def permits_return(facts: Facts) -> Iterator[Violation]:
    """Rule 5: when everything has ended, nobody holds a permit."""
    for line in facts.of("permit.left"):
        told = f"{line['worker']} still holds one of {line['agent']} for {line['step']}"
        yield Violation(5, "leaked", line["run"], told)


def singletons_take_turns(facts: Facts) -> Iterator[Violation]:
    """Rule 4: of the runs with one singleton key, the next begins when the last has ended."""
    by_key: dict[str, list[tuple[float, float, str]]] = defaultdict(list)
    for line in facts.of("accepted"):
        run = facts.run(line["run"])
        starts = [e.at for e in run.events if e.type == "run.started"]
        if line.get("singleton") and starts and run.endings:
            by_key[line["singleton"]].append((starts[0], run.endings[0].at, run.run_id))
    for key, spans in by_key.items():
        ordered = sorted(set(spans))
        for (_, ended, before), (begun, _, run_id) in pairwise(ordered):
            if begun < ended:
                told = f"{key!r}: begun at {begun:.3f}, {before} ended at {ended:.3f}"
                yield Violation(4, "overlap", run_id, told)


def locks_have_one_holder(facts: Facts) -> Iterator[Violation]:
    """Rule 4: between `locked` and `unlocked` of one holder nobody else gets the lock."""
    holders: dict[str, str] = {}
    for line in facts.of("locked", "unlocked"):
        key, owner = line["key"], line["owner"]
        if line["what"] == "locked":
            if holders.get(key, owner) != owner:
                told = f"{owner} got {key!r} at {line['at']:.3f} while {holders[key]} had it"
                yield Violation(4, "two holders", line.get("run", "-"), told)
            holders[key] = owner
        elif holders.get(key) == owner:
            del holders[key]


def nothing_starts_after_a_cancel(facts: Facts) -> Iterator[Violation]:
    """Rule 9: once a cancel is acknowledged, no forward step begins.

    A step on a queue must not be taken at all any more. What runs inside a process, or was taken by
    one before, is stopped as soon as that process hears of it: within a heartbeat.
    """
    cancelled = {line["run"]: line["at"] for line in facts.of("cancel.acknowledged")}
    begun: set[tuple[str, str, int]] = set()
    for line in facts.of("start"):
        execution = (line["run"], line["step"], line["pid"])
        since = cancelled.get(line["run"], float("inf"))
        is_taken = execution not in begun and _was_taken_after(facts, line, since)
        begun.add(execution)
        grace = 0.0 if is_taken else facts.heartbeat + NOTICE_SECONDS
        if line["at"] > max([since, *_woke(facts, line)]) + grace:
            told = f"{line['step']} begun at {line['at']:.3f}, cancelled at {since:.3f}"
            yield Violation(9, "begun after cancel", line["run"], told)


def poison_ends_dead(facts: Facts) -> Iterator[Violation]:
    """Rule 10: a run that kills its workers is dead after as many losses as are allowed."""
    for line in facts.of("accepted"):
        if line["expect"] != ["dead"]:
            continue
        starts = [s for s in facts.of("start") if s["run"] == line["run"]]
        if len(starts) > _LOSSES_AT_MOST * facts.max_losses:
            yield Violation(10, "poison lives", line["run"], f"it began {len(starts)} times")


def secrets_stay_secret(facts: Facts) -> Iterator[Violation]:
    """Rule 12: no canary in a log line, an event, a failure or a trace."""
    for canary in facts.canaries:
        for line in facts.logs:
            if canary in line["text"]:
                yield Violation(12, "secret in a log", "-", _masked(line["text"], canary))
        for run in facts.runs.values():
            told = [*(event.data for event in run.events), run.failure or "", run.trace or ""]
            for text in told:
                if canary in text:
                    yield Violation(12, "secret told", run.run_id, _masked(text, canary))


def _was_taken_after(facts: Facts, line: Line, since: float) -> bool:
    """Whether a step was on a queue, and whoever begins it took it from there after `since`."""
    if line["at"] <= since:
        return False
    events = [e for e in facts.run(line["run"]).events if e.step == line["step"]]
    taken = [e.at for e in events if e.type == "step.started" and e.at <= line["at"]]
    return any(e.type == "step.queued" for e in events) and max(taken, default=line["at"]) > since


def _woke(facts: Facts, line: Line) -> list[float]:
    """When the process woke after pauses: what it was about to begin, it begins then."""
    return [
        fault.ended
        for fault in facts.faults_of(line["pid"])
        if fault.kind == "freeze" and fault.ended <= line["at"]
    ]


def _masked(text: str, canary: str) -> str:
    return json.dumps(text.replace(canary, "<canary>")[:200])
