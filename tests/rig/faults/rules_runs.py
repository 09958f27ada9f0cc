"""Rules about whole runs: acceptance, endings, events, keys, results, announcements."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator

from envelope.envelope import Envelope
from tests.rig.faults.facts import Facts, RunFacts, seconds_of
from tests.rig.faults.violation import Violation

_STATE_OF = {
    "run.succeeded": "succeeded",
    "run.failed": "failed",
    "run.cancelled": "cancelled",
    "run.dead": "dead",
}


def accepted_runs_end_once(facts: Facts) -> Iterator[Violation]:
    """Rule 1: an acknowledged run has a row, a terminal state, and one that may be expected."""
    for line in facts.of("accepted"):
        run = facts.run(line["run"])
        if run.state == "unknown":
            yield Violation(1, "lost", run.run_id, f"accepted at {line['at']:.3f}, yet no row")
        elif not run.ended:
            yield Violation(1, "not ended", run.run_id, f"still {run.state}")
        elif run.state not in line["expect"]:
            why = (run.failure or "")[:300]
            yield Violation(1, "ended otherwise", run.run_id, f"{run.state}, {why}")


def events_are_whole(facts: Facts) -> Iterator[Violation]:
    """Rule 8: numbers 1..n without gap, one terminal event, which is last and tells the state."""
    for run in facts.runs.values():
        if not run.ended:
            continue
        numbers = [event.number for event in run.events]
        if numbers != list(range(1, len(numbers) + 1)):
            yield Violation(8, "numbers", run.run_id, _gap(numbers))
        if len(run.endings) != 1 or run.events[-1] is not run.endings[0]:
            kinds = [event.type for event in run.events][-6:]
            yield Violation(8, "terminal event", run.run_id, f"the last events are {kinds}")
        elif _STATE_OF[run.endings[0].type] != run.state:
            told = f"{run.endings[0].type}, but the run is {run.state}"
            yield Violation(8, "terminal event", run.run_id, told)


def one_run_per_key(facts: Facts) -> Iterator[Violation]:
    """Rule 1: one idempotency key names one run."""
    told: dict[tuple[str, str], set[str]] = defaultdict(set)
    for line in facts.of("accepted"):
        if line["key"] is not None:
            told[line["flow"], line["key"]].add(line["run"])
    for run in facts.runs.values():
        if run.key is not None:
            told[run.flow, run.key].add(run.run_id)
    for (flow, key), runs in told.items():
        if len(runs) > 1:
            names = ", ".join(sorted(runs))
            yield Violation(1, "idempotency key", min(runs), f"{flow} {key!r} names {names}")


def results_are_right(facts: Facts) -> Iterator[Violation]:
    """Rule 2: whatever happened on the way, the envelope holds each step's record once."""
    for line in facts.of("accepted"):
        run = facts.run(line["run"])
        if run.state != "succeeded" or line["numbers"] is None:
            continue
        found = _numbers(run)
        if found != line["numbers"]:
            told = f"{found} instead of {line['numbers']}"
            yield Violation(2, "result", run.run_id, told)


def success_is_announced_after_its_commit(facts: Facts) -> Iterator[Violation]:
    """Rule 1: a worker that says how a run ended has it in the journal by then."""
    for line in facts.logs:
        ended = line.get("event") == "run.ended" and line.get("state") in _STATE_OF.values()
        if not ended or line.get("run") not in facts.runs:
            continue
        said = seconds_of(line["timestamp"])
        endings = [e for e in facts.runs[line["run"]].endings if _STATE_OF[e.type] == line["state"]]
        if not endings or endings[0].at > said:
            committed = f"committed at {endings[0].at:.3f}" if endings else "never committed"
            told = f"{line['state']} was announced at {said:.3f}, {committed}"
            yield Violation(1, "announced before commit", line["run"], told)


def readers_see_what_stays(facts: Facts) -> Iterator[Violation]:
    """Rule 8: what a client has read of a run's events, another one reads the same."""
    for line in facts.of("read"):
        run = facts.run(line["run"])
        final = [[event.number, event.type] for event in run.events][: len(line["events"])]
        if run.ended and line["events"] != final:
            told = f"a reader saw {line['events'][-3:]}, the journal has {final[-3:]}"
            yield Violation(8, "reader", run.run_id, told)


def _gap(numbers: list[int]) -> str:
    wrong = next((i for i, n in enumerate(numbers) if n != i + 1), len(numbers))
    return f"number {numbers[wrong]} stands at place {wrong + 1} of {len(numbers)}"


def _numbers(run: RunFacts) -> list[int]:
    envelope = Envelope.from_json(run.envelope or json.dumps({}), max_bytes=None)
    return [record.data["number"] for record in envelope.records]
