"""Rules about the outside world: what landed there, who allowed it, what the ledger says of it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

from envelope.effect import EffectState
from envelope.ports.ledger import EffectRow
from tests.rig.faults.facts import Facts
from tests.rig.faults.history import Line
from tests.rig.faults.violation import Violation

_PERHAPS = frozenset({EffectState.SENT, EffectState.UNKNOWN})
_REFUSALS = frozenset({"VALIDATION_FAILED", "NOT_REGISTERED", "TOO_LARGE"})


def e_mails_have_one_data(facts: Facts) -> Iterator[Violation]:
    """Rule 6: the rig wants one e-mail for each recipient, so each is named in one DATA at most."""
    times = Counter(to for line in facts.of("data") for to in line["recipients"])
    for to, count in times.items():
        if count > 1:
            yield Violation(6, "mailed twice", _run_of(facts, to), f"{count} times DATA to {to}")


def webhooks_have_one_effect(facts: Facts) -> Iterator[Violation]:
    """Rule 6: what lands at one place has one key and one body, and an intent for each time."""
    landed: dict[str, list[Line]] = defaultdict(list)
    for line in facts.of("webhook"):
        landed[line["path"]].append(line)
    effects = _by_key(facts)
    for path, lines in landed.items():
        keys, run = {line["key"] for line in lines}, _run_of(facts, path)
        if len(keys) > 1:
            yield Violation(6, "second effect", run, f"{path} saw the keys {sorted(keys)}")
        if len({line["sha256"] for line in lines}) > 1:
            yield Violation(6, "second effect", run, f"{path} saw different bodies under one key")
        tries = sum(effects[key].tries for key in keys & effects.keys())
        if len(lines) > tries:
            told = f"{path} saw {len(lines)} requests, the ledger knows of {tries}"
            yield Violation(6, "sent without intent", run, told)


def nobody_is_reached_without_permission(facts: Facts) -> Iterator[Violation]:
    """Rule 7: nothing lands, and nothing is begun, that no trigger has allowed."""
    allowed = {to for to, line in _wanted(facts).items() if line["allow_delivery"]}
    landed = [*_landed(facts), *(to for row in facts.effects for to in _e_mailed(row))]
    for to in sorted(set(landed) - allowed):
        told = f"{to} was reached, or was about to be"
        yield Violation(7, "without permission", _run_of(facts, to), told)


def the_ledger_knows_what_was_sent(facts: Facts) -> Iterator[Violation]:
    """Rule 6: what may have been sent is `sent` or `unknown`; of a webhook one always knows."""
    mailed = {to: row for row in facts.effects for to in _e_mailed(row)}
    for line in facts.of("data"):
        for to in line["recipients"]:
            row = mailed.get(to)
            if row is None or row.state not in _PERHAPS:
                told = f"DATA to {to} at {line['at']:.3f}, the ledger says {_state(row)}"
                yield Violation(6, "not in the ledger", _run_of(facts, to), told)
    hooked = _by_key(facts)
    for line in facts.of("webhook"):
        row = hooked.get(line["key"])
        if row is None or row.state is not EffectState.SENT:
            told = f"{line['key']} landed at {line['at']:.3f}, the ledger says {_state(row)}"
            yield Violation(6, "not in the ledger", _run_of(facts, line["path"]), told)


def what_is_told_arrived(facts: Facts) -> Iterator[Violation]:
    """Rule 6: what the ledger calls `sent` has landed."""
    mailed = {to for line in facts.of("mail") for to in line["recipients"]}
    keys = {line["key"] for line in facts.of("webhook")}
    for row in facts.effects:
        landed = row.key in keys or (bool(row.recipients) and set(row.recipients) <= mailed)
        if row.state is EffectState.SENT and not landed:
            yield Violation(6, "never sent", row.run_id, f"{row.key} is `sent`, nobody has it")


def deliveries_end_as_the_ledger_says(facts: Facts) -> Iterator[Violation]:
    """Rule 6: a permitted delivery succeeds when it was sent, and fails only if nobody knows.

    What nobody knew may turn out to have been sent: a paused sender wakes and says so.
    """
    states = _states(facts)
    for to, line in _wanted(facts).items():
        run = facts.run(line["run"])
        if not line["allow_delivery"] or not run.ended:
            continue
        state = states.get(to)
        fits = state in _PERHAPS if run.state == "failed" else state is EffectState.SENT
        if not fits:
            told = f"it {run.state}, but {to} is {state or 'not in the ledger'}"
            yield Violation(6, "ended without effect", run.run_id, told)


def malformed_input_changes_nothing(facts: Facts) -> Iterator[Violation]:
    """Rule 11: it is refused with the error that says why, and leaves no run behind."""
    left = {run.key: run.run_id for run in facts.runs.values() if run.key is not None}
    for line in facts.of("malformed"):
        if line["code"] not in _REFUSALS:
            told = f"{line['flow']} was answered with {line['error'] or 'a run'} ({line['code']})"
            yield Violation(11, "not refused", line.get("run", "-"), told)
        if line["key"] in left:
            told = f"{line['key']!r} was malformed, and there is a run of it"
            yield Violation(11, "changed something", left[line["key"]], told)


def _wanted(facts: Facts) -> Mapping[str, Line]:
    """By recipient or path, who asked for something to be sent there."""
    return {line["delivers"]["to"]: line for line in facts.of("accepted") if line.get("delivers")}


def _landed(facts: Facts) -> Iterator[str]:
    """The recipients and paths that were reached, or nearly."""
    for line in facts.of("data", "mail"):
        yield from line["recipients"]
    for line in facts.of("webhook"):
        yield line["path"]


def _states(facts: Facts) -> Mapping[str, EffectState]:
    """By recipient or path, what the ledger says."""
    hooked = _by_key(facts)
    paths = {line["path"]: line["key"] for line in facts.of("webhook")}
    return {
        **{to: row.state for row in facts.effects for to in _e_mailed(row)},
        **{path: hooked[key].state for path, key in paths.items() if key in hooked},
    }


def _by_key(facts: Facts) -> Mapping[str, EffectRow]:
    return {row.key: row for row in facts.effects if row.channel == "webhook"}


def _e_mailed(row: EffectRow) -> tuple[str, ...]:
    return tuple(row.recipients) if row.channel == "email" else ()


def _run_of(facts: Facts, to: str) -> str:
    line = _wanted(facts).get(to)
    return line["run"] if line else "-"


def _state(row: EffectRow | None) -> str:
    return row.state.value if row else "nothing"
