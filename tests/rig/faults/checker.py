"""Reads what happened and lists every rule that did not hold, with its evidence."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tests.rig.faults import rules_cluster, rules_effects, rules_runs, rules_steps
from tests.rig.faults.facts import Facts
from tests.rig.faults.violation import Violation

Rule = Callable[[Facts], Iterable[Violation]]

RULES: tuple[Rule, ...] = (
    rules_runs.accepted_runs_end_once,
    rules_runs.events_are_whole,
    rules_runs.one_run_per_key,
    rules_runs.results_are_right,
    rules_runs.success_is_announced_after_its_commit,
    rules_runs.readers_see_what_stays,
    rules_steps.committed_steps_stay,
    rules_steps.steps_are_committed_once,
    rules_steps.nothing_follows_the_uncommitted,
    rules_steps.the_living_keep_their_work,
    rules_steps.owners_take_turns,
    rules_steps.workers_live,
    rules_cluster.limits_hold,
    rules_cluster.permits_return,
    rules_cluster.singletons_take_turns,
    rules_cluster.locks_have_one_holder,
    rules_cluster.nothing_starts_after_a_cancel,
    rules_cluster.poison_ends_dead,
    rules_cluster.secrets_stay_secret,
    rules_effects.e_mails_have_one_data,
    rules_effects.webhooks_have_one_effect,
    rules_effects.nobody_is_reached_without_permission,
    rules_effects.the_ledger_knows_what_was_sent,
    rules_effects.what_is_told_arrived,
    rules_effects.deliveries_end_as_the_ledger_says,
    rules_effects.malformed_input_changes_nothing,
)


def check(facts: Facts, *, but: Iterable[Rule] = ()) -> list[Violation]:
    """Apply every rule; `but` leaves out those of parts that are not there yet."""
    left_out = set(but)
    return [found for rule in RULES if rule not in left_out for found in rule(facts)]
