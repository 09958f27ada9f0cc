"""A scrape answers: whatever is away, whatever hangs, whoever has the port."""

from __future__ import annotations

import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator

import pytest
from prometheus_client import CollectorRegistry, Counter

from tests.services.ports import free_port
from worker.coordination.permits.count import PermitCount
from worker.journal.figures import Figures
from worker.telemetry import collector as collecting
from worker.telemetry.bounded import MOST_AGENTS
from worker.telemetry.cluster import Coordination
from worker.telemetry.collector import ClusterCollector
from worker.telemetry.part import Part
from worker.telemetry.server import MetricsServer, NoPortFree

FIGURES = Figures(
    runs={("lead", "queued"): 3},
    dead_letters={("lead", "dead"): 2},
    oldest_due={"lead": 12.5},
    workers={"alive": 2, "lapsed": 1},
    quarantined=4,
)
COORDINATION = Coordination([PermitCount("rag", 8, 5, 7)], {"runs.lead": 9})

Ask = Callable[[], object]


def well() -> None:
    return None


@pytest.fixture
def served() -> Iterator[Callable[..., MetricsServer]]:
    servers: list[MetricsServer] = []

    def serve(registry: CollectorRegistry, healthy: Ask = well, port: int = 0) -> MetricsServer:
        made = MetricsServer(registry, healthy, "127.0.0.1", port or free_port())  # type: ignore[arg-type]
        servers.append(made)
        return made

    yield serve
    for server in servers:
        server.close()


def get(url: str, **headers: str) -> tuple[int, str, str]:
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - ours
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - ours
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read().decode()


def test_metrics_in_either_format(served: Callable[..., MetricsServer]) -> None:
    registry = CollectorRegistry()
    Counter("seen", "Seen.", registry=registry).inc()
    url = served(registry).url
    status, kind, text = get(url)
    assert (status, kind.split(";")[0]) == (200, "text/plain")
    assert "seen_total 1.0" in text
    _, kind, text = get(url, Accept="application/openmetrics-text; version=1.0.0")
    assert kind.startswith("application/openmetrics-text")
    assert text.endswith("# EOF\n")


def test_health_says_what_is_wrong(served: Callable[..., MetricsServer]) -> None:
    trouble: list[str] = []
    url = served(CollectorRegistry(), lambda: trouble[0] if trouble else None).url
    health = url.replace("/metrics", "/healthz")
    assert get(health)[::2] == (200, "ok\n")
    trouble.append("The lease has lapsed.")
    assert get(health)[::2] == (503, "The lease has lapsed.\n")


def test_there_is_nothing_else(served: Callable[..., MetricsServer]) -> None:
    url = served(CollectorRegistry()).url
    assert get(url.replace("/metrics", "/"))[0] == 404
    assert get(url.replace("/metrics", "/metrics/../etc/passwd"))[0] == 404


def test_the_next_worker_takes_the_next_port(served: Callable[..., MetricsServer]) -> None:
    first = served(CollectorRegistry())
    port = int(first.url.rsplit(":", 1)[1].split("/")[0])
    second = served(CollectorRegistry(), port=port)
    assert second.url != first.url
    assert get(second.url)[0] == 200


def test_an_address_that_is_not_ours_is_said() -> None:
    with pytest.raises(NoPortFree, match="Cannot listen on 192\\.0\\.2\\.1"):
        MetricsServer(CollectorRegistry(), lambda: None, "192.0.2.1", free_port())


def test_a_client_that_says_nothing_holds_up_nobody(served: Callable[..., MetricsServer]) -> None:
    url = served(CollectorRegistry()).url
    port = int(url.rsplit(":", 1)[1].split("/")[0])
    with socket.create_connection(("127.0.0.1", port)):
        assert get(url)[0] == 200


def figures(registry: CollectorRegistry) -> dict[str, float]:
    return {
        "".join([sample.name, *(f" {value}" for value in sample.labels.values())]): sample.value
        for family in registry.collect()
        for sample in family.samples
    }


def collected(journal: Ask, redis: Ask) -> dict[str, float]:
    registry = CollectorRegistry()
    registry.register(ClusterCollector(journal, redis))  # type: ignore[arg-type] # stand-ins
    return figures(registry)


def test_the_cluster_s_figures() -> None:
    assert collected(lambda: FIGURES, lambda: COORDINATION) == {
        "muster_up journal": 1,
        "muster_up redis": 1,
        "muster_runs lead queued": 3,
        "muster_dead_letters lead dead": 2,
        "muster_oldest_due_seconds lead": 12.5,
        "muster_quarantined": 4,
        "muster_workers alive": 2,
        "muster_workers lapsed": 1,
        "muster_permits_limit rag": 8,
        "muster_permits_held rag": 5,
        "muster_permits_waiting rag": 7,
        "celery_queue_length runs.lead": 9,
    }


def test_agents_beyond_the_cap_are_one_series() -> None:
    many = Coordination([PermitCount(f"a{number}", 2, 1, 3) for number in range(10_000)], {})
    registry = CollectorRegistry()
    registry.register(ClusterCollector(lambda: FIGURES, lambda: many))
    for name, each in (("limit", 2), ("held", 1), ("waiting", 3)):
        [family] = [one for one in registry.collect() if one.name == f"muster_permits_{name}"]
        told = {sample.labels["agent"]: sample.value for sample in family.samples}
        assert len(told) == len(family.samples) == MOST_AGENTS + 1, "a series was told twice"
        assert told["other"] == (10_000 - MOST_AGENTS) * each


def away() -> None:
    raise ConnectionError("away")


def test_a_part_that_is_away_costs_its_own_figures() -> None:
    told = collected(away, lambda: COORDINATION)
    assert (told["muster_up journal"], told["muster_up redis"]) == (0, 1)
    assert "muster_permits_held rag" in told
    assert not any(name.startswith("muster_runs") for name in told)


def test_a_part_that_hangs_costs_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collecting, "DEADLINE_SECONDS", 0.2)
    go_on = threading.Event()
    asked: list[int] = []

    def hang() -> Figures:
        asked.append(1)
        go_on.wait(20)
        return FIGURES

    registry = CollectorRegistry()
    registry.register(ClusterCollector(hang, lambda: COORDINATION))
    begun = time.monotonic()
    for _ in range(3):
        assert figures(registry)["muster_up journal"] == 0
    assert time.monotonic() - begun < 10
    assert asked == [1], "each scrape added a thread to those that hang"
    go_on.set()
    deadline = time.monotonic() + 10
    while figures(registry)["muster_up journal"] == 0:
        assert time.monotonic() < deadline, "it never recovered"


def test_many_scrapes_are_one_question() -> None:
    asked: list[int] = []
    part = Part(lambda: asked.append(1) or len(asked), fresh_seconds=60)
    answers = [part.answer(time.monotonic() + 10) for _ in range(20)]
    assert answers == [1] * 20


def test_an_old_answer_is_asked_for_again() -> None:
    asked: list[int] = []
    part = Part(lambda: asked.append(1) or len(asked), fresh_seconds=0)
    assert [part.answer(time.monotonic() + 10) for _ in range(3)] == [1, 2, 3]
