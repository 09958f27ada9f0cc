"""The figures of a trial, as text."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from tests.rig.faults.facts import Facts
from tests.rig.faults.rules_cluster import peak
from tests.rig.faults.rules_steps import late_starts, resume_seconds, taken_from_the_starved
from tests.rig.faults.violation import Violation

REFUSALS = ("run.fenced", "step.fenced", "run.dropped")


def refused_writes(facts: Facts) -> Counter[str]:
    """How often workers logged that a write of theirs was refused, or a run was dropped for it."""
    return Counter(line["event"] for line in facts.logs if line.get("event") in REFUSALS)


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of all does not exceed; NaN of nothing."""
    if not ordered:
        return float("nan")
    return ordered[max(0, math.ceil(len(ordered) * share) - 1)]


def report(facts: Facts, violations: Sequence[Violation], seed: int, seconds: float) -> str:
    """Runs, faults, violations, times, in a few lines."""
    states = Counter(run.state for run in facts.runs.values())
    hits = Counter(fault.kind for fault in facts.faults if fault.hit)
    resumed = resume_seconds(facts)
    count = len(facts.runs)
    peaks = {agent: f"{peak(facts, agent)[0]} of {limit}" for agent, limit in facts.limits.items()}
    times = f"p50 {percentile(resumed, 0.5):.1f} s, p99 {percentile(resumed, 0.99):.1f} s"
    refused = _listed(refused_writes(facts)) or "none"
    effects = _listed(Counter(f"{row.channel} {row.state}" for row in facts.effects)) or "none"
    again = sum(row.tries > 1 for row in facts.effects)
    lines = [
        f"seed {seed}, {seconds:.0f} s",
        f"runs {count}: {_listed(states)}",
        f"faults that hit {sum(hits.values())}: {_listed(hits)}",
        f"violations {len(violations)} (none in {count} runs bounds the rate at 3/{count})",
        f"kill of a worker to resumed work, {len(resumed)} times: {times}, lease {facts.lease} s",
        f"most calls of an agent at once, and its limit: {peaks}",
        f"effects: {effects}; begun more than once {again}",
        f"malformed requests refused: {sum(1 for _ in facts.of('malformed'))}",
        f"refused writes of zombies: {refused}; late starts: {len(late_starts(facts))}",
        f"losses of workers that got no processor: {len(taken_from_the_starved(facts))}",
        *(f"VIOLATION {found}" for found in violations),
    ]
    return "\n".join(f"  {line}" for line in lines)


def _listed(counted: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counted.items()))
