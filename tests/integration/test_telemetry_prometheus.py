"""Alerts and dashboard against Prometheus's own tools and a real server with a real load."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis

from control import Muster
from tests.rig.cluster import Cluster
from tests.rig.scraping import metrics_url
from tests.services.ports import free_port
from tests.services.prometheus_server import PrivatePrometheus, program
from tests.services.waiting import wait_until
from worker.telemetry.catalogue import METRICS

DEPLOY = Path(__file__).parents[2] / "deploy"
DASHBOARD: dict[str, Any] = json.loads(
    (DEPLOY / "grafana" / "dashboards" / "muster.json").read_text()
)
FLOWS = "tests.rig.telemetry_flows"
NAMES = re.compile(r"\b(?:muster|celery)_\w+")
SUFFIX = re.compile(r"_(?:bucket|sum|count)$")

# What a load that goes well has none of; the query must be answered all the same.
QUIET = ("celery_task_failed_total",)


def promtool(*arguments: str) -> None:
    command = [program("promtool"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def queries() -> list[tuple[str, str]]:
    return [
        (panel["title"], target["expr"])
        for panel in DASHBOARD["panels"]
        for target in panel.get("targets", ())
    ]


def test_the_alert_rules_are_rules() -> None:
    promtool("check", "rules", str(DEPLOY / "prometheus" / "alerts.yml"))


def test_each_alert_fires_when_it_should_and_not_before() -> None:
    promtool("test", "rules", str(DEPLOY / "prometheus" / "alerts_test.yml"))
    rules = (DEPLOY / "prometheus" / "alerts.yml").read_text()
    tests = (DEPLOY / "prometheus" / "alerts_test.yml").read_text()
    alerts = set(re.findall(r"alert: (\w+)", rules))
    assert alerts == set(re.findall(r"alertname: (\w+)", tests))


def test_alerts_and_dashboard_ask_for_metrics_that_there_are() -> None:
    rules = (DEPLOY / "prometheus" / "alerts.yml").read_text()
    asked = set(NAMES.findall(rules + " ".join(query for _, query in queries())))
    known = {metric.exposed for metric in METRICS}
    assert {name for name in asked if SUFFIX.sub("", name) not in known} == set()


def test_the_dashboard_shows_every_metric_of_ours() -> None:
    shown = {SUFFIX.sub("", name) for _, query in queries() for name in NAMES.findall(query)}
    left = {metric.exposed for metric in METRICS if metric.exposed.startswith("muster_")} - shown
    assert left == {"muster_quarantined"}


@pytest.fixture
def cluster(tmp_path: Path, redis_url: str) -> Iterator[Cluster]:
    redis.Redis.from_url(redis_url).flushall()
    made = Cluster(tmp_path, redis_url, f"sqlite:///{tmp_path}/journal.sqlite3")
    try:
        yield made
    finally:
        made.stop()


def load(cluster: Cluster, count: int) -> None:
    settings = cluster.settings.model_copy(update={"include": (FLOWS,)})
    with Muster(settings) as muster:
        runs = [muster.enqueue("seen", {"fail": number % 5 == 0}) for number in range(count)]
        ended = {"succeeded", "failed"}
        wait_until(lambda: all(run.status() in ended for run in runs), 90, "the load is done")


def filled_in(query: str) -> str:
    """The query as Grafana sends it, all flows and agents chosen."""
    return query.replace("$__rate_interval", "1m").replace("$flow", ".*").replace("$agent", ".*")


@pytest.mark.timeout(240)
def test_every_panel_is_answered_by_a_real_prometheus(cluster: Cluster, tmp_path: Path) -> None:
    environment = {"MUSTER_INCLUDE": FLOWS, "MUSTER_METRICS_PORT": str(free_port())}
    workers = [cluster.start(environment=environment) for _ in range(2)]
    targets = [urlsplit(metrics_url(worker)).netloc for worker in workers]
    prometheus = PrivatePrometheus(tmp_path, targets)
    try:
        prometheus.until_scraped()
        for _ in range(2):  # a series that appears with its first count has no rate before it
            load(cluster, 10)
            prometheus.until_scraped_again()
        empty = [query for _, query in queries() if not prometheus.query(filled_in(query))]
        assert [query for query in empty if not any(name in query for name in QUIET)] == []
        [alive] = prometheus.query('max(muster_workers{state="alive"})')
        assert alive["value"][1] == "2"
        [ended] = prometheus.query("sum(muster_runs_ended_total)")
        assert ended["value"][1] == "20"
    finally:
        prometheus.close()
