"""What Prometheus has of the stack: its targets, and the alert rules of `deploy/`."""

import re
from collections.abc import Callable

from tests.docker.stack import ROOT, Stack
from tests.services.waiting import wait_until


def test_it_finds_every_worker_and_reads_it(stack: Stack) -> None:
    def health() -> list[tuple[str, str]]:
        targets = stack.prometheus("targets?state=active")["activeTargets"]
        return sorted((target["labels"]["job"], target["health"]) for target in targets)

    expected = [("flower", "up"), ("prometheus", "up"), ("workers", "up"), ("workers", "up")]
    wait_until(lambda: health() == expected, 60, "all targets are up")


def test_it_has_every_alert_rule_and_can_evaluate_it(
    stack: Stack, figure: Callable[[str], None]
) -> None:
    def rules() -> dict[str, str]:
        groups = stack.prometheus("rules?type=alert")["groups"]
        return {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}

    written = re.findall(r"- alert: (\w+)", (ROOT / "deploy/prometheus/alerts.yml").read_text())
    assert written
    wait_until(lambda: "unknown" not in rules().values(), 60, "the rules are evaluated")
    assert rules() == dict.fromkeys(written, "ok")
    figure(f"Prometheus has {len(written)} alert rules loaded")


def test_it_reads_what_the_dashboard_asks_for(stack: Stack) -> None:
    def alive() -> list[str]:
        result = stack.prometheus("query?query=max(muster_workers{state='alive'})")["result"]
        return [one["value"][1] for one in result]

    wait_until(lambda: alive() == ["2"], 60, "both workers are counted")
