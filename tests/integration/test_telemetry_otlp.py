"""Spans of several processes, one of which is killed, reach a collector as one trace."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.rig.cluster import Cluster
from tests.services.waiting import wait_until
from worker.settings import Settings
from worker.telemetry.span_ids import claim_span_id, trigger_span_id

if "CI" not in os.environ:  # there it must be installed
    pytest.importorskip("opentelemetry.proto", reason="the extra otel is not installed")

from control import Muster
from tests.services.otlp_sink import OtlpSink

PAYLOAD_CANARY = "canary-in-a-payload"


@pytest.fixture
def sink() -> Iterator[OtlpSink]:
    with OtlpSink() as made:
        yield made


@pytest.fixture
def cluster(tmp_path: Path, redis_url: str, sink: OtlpSink) -> Iterator[Cluster]:
    redis.Redis.from_url(redis_url).flushall()
    made = Cluster(tmp_path, redis_url, f"sqlite:///{tmp_path}/journal.sqlite3")
    try:
        yield made
    finally:
        made.stop()


def told(cluster: Cluster, sink: OtlpSink) -> dict[str, str]:
    return {
        "MUSTER_INCLUDE": "tests.rig.telemetry_flows",
        "MUSTER_OTLP_ENDPOINT": sink.url,
        "MUSTER_TEST_CRASHED": str(cluster.folder / "crashed"),
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    }


@pytest.mark.timeout(180)
@pytest.mark.parametrize("crash", [False, True], ids=["whole", "crashed"])
def test_one_trace_from_the_trigger_to_the_end(
    cluster: Cluster, sink: OtlpSink, crash: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = told(cluster, sink)
    runs_only = cluster.start("-Q", "runs.*,muster", environment=environment)
    if not crash:
        cluster.start("-Q", "agent.*", environment=environment)
    settings = Settings.load(
        **{
            **cluster.settings.model_dump(include={"redis_url", "database_url", "home"}),
            "include": ("tests.rig.telemetry_flows",),
            "otlp_endpoint": sink.url,
        }
    )
    with Muster(settings) as muster:
        run = muster.enqueue("seen", {"crash": crash, "secret": PAYLOAD_CANARY})
        if crash:
            wait_until(lambda: not runs_only.alive, 60, "the run took its worker along")
            cluster.start("-Q", "runs.*,agent.*,muster", environment=environment)
        wait_until(lambda: run.status() in {"succeeded", "failed"}, 90, "the run ended")
        assert run.status() == "succeeded"
        [row] = muster.runs(limit=10)
        trace_id = row.trace_id

    def has(name: str) -> bool:
        return any(span.name == name for span in sink.spans(trace_id))

    wanted = ["trigger seen", "run seen", "step seen-far", "invoke_agent seen-far"]
    wanted += ["journal commit", "queue agent.seen-far"]
    # What was not sent yet dies with the process.
    early = ["queue runs.seen", "invoke_agent seen-here", "chat offline-composer-1"]
    wanted += ["invoke_agent seen-crash"] if crash else early
    wait_until(lambda: all(map(has, wanted)), 30, f"spans {wanted}")
    spans = sink.spans(trace_id)
    [trigger] = [span for span in spans if span.name == "trigger seen"]
    assert int.from_bytes(trigger.span_id, "big") == trigger_span_id(run.id)
    claims = {span.span_id: span for span in spans if span.name == "run seen"}
    assert all(span.parent_span_id == trigger.span_id for span in claims.values())
    lost = claim_span_id(run.id, 1).to_bytes(8, "big")
    assert (lost not in claims) is crash
    [far] = [span for span in spans if span.name == "step seen-far"]
    assert far.parent_span_id in claims
    attempts = [span for span in spans if span.name == "invoke_agent seen-far"]
    assert {span.parent_span_id for span in attempts} == {far.span_id}
    assert len(attempts) == 2, "its first attempt failed"
    assert sink.paths == {"/v1/traces"}
    assert not any(PAYLOAD_CANARY.encode() in body for body in sink.bodies)
    assert runs_only.alive or crash


@pytest.mark.timeout(120)
def test_a_collector_that_is_away_costs_no_run(cluster: Cluster) -> None:
    environment = {
        "MUSTER_INCLUDE": "tests.rig.telemetry_flows",
        "MUSTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
    }
    worker = cluster.start(environment=environment)
    settings = cluster.settings.model_copy(update={"include": ("tests.rig.telemetry_flows",)})
    with Muster(settings) as muster:
        run = muster.enqueue("seen", {})
        wait_until(lambda: run.status() == "succeeded", 60, "the run ended")
    begun = time.monotonic()
    assert worker.terminate() == 0
    assert time.monotonic() - begun < 20
