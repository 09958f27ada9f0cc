"""`docker compose up` from a clone: what comes up, what it does, how it is watched."""

import json
import re

from tests.docker.stack import Stack, secret
from tests.services.waiting import wait_until

CANARY = "Canary Harbour Bank"


def leads(count: int, prefix: str) -> list[dict]:
    return [
        {
            "flow": "lead",
            "payload": {"company": f"{CANARY} {number}", "sector": "Financials"},
            "key": f"{prefix}-{number}",
        }
        for number in range(count)
    ]


def test_everything_comes_up_healthy_and_nothing_else(stack: Stack) -> None:
    found = {name: (row["State"], row["Health"]) for name, row in stack.services().items()}
    assert found == {
        "redis-1": ("running", "healthy"),
        "postgres-1": ("running", "healthy"),
        "migrate-1": ("exited", ""),
        "orchestrators-1": ("running", "healthy"),
        "agents-1": ("running", "healthy"),
        "flower-1": ("running", "healthy"),
        "prometheus-1": ("running", "healthy"),
    }
    assert stack.services()["migrate-1"]["ExitCode"] == 0
    assert "is at version" in stack.compose("logs", "migrate")


def test_leads_succeed_offline(stack: Stack) -> None:
    assert "added=" in stack.compose("run", "--rm", "-T", "knowledge")
    outcomes = stack.wait(stack.enqueue(leads(10, "offline")))
    assert [one["status"] for one in outcomes] == ["succeeded"] * 10
    assert all(one["records"] == 2 for one in outcomes)  # a draft and its lead
    assert {attempt for one in outcomes for attempt in one["attempts"].values()} <= {0, 1}


def test_the_command_line_runs_in_the_stack(stack: Stack) -> None:
    payload = json.dumps({"company": CANARY, "sector": "Energy"})
    done = stack.muster(
        "enqueue", "lead", "--payload", payload, "--user", "u", "--thread", "cli", "--wait"
    )
    assert done["status"] == "succeeded"
    shown = stack.muster("runs", "show", done["run_id"])
    assert [step["step"] for step in shown["steps"] if step["kind"] == "agent"] == [
        "research",
        "draft",
        "store",
    ]


def test_flower_shows_runs_and_agents_by_name_and_no_payload(stack: Stack) -> None:
    (run_id,) = stack.enqueue(leads(1, "flower"))
    stack.wait([run_id])

    def tasks() -> dict:
        of_run = [t for t in stack.flower("api/tasks").values() if run_id in (t["args"] or "")]
        return {t["name"]: t for t in of_run if t["state"] == "SUCCESS"}

    wait_until(lambda: {"run.lead", "agent.copywriter"} <= tasks().keys(), 20, "the run in Flower")
    assert tasks()["run.lead"]["args"] == f"['{run_id}']"
    assert tasks()["agent.copywriter"]["args"] == f"['{run_id}', 'draft']"
    online = [w["hostname"] for w in stack.flower("workers?json=1")["data"] if w["status"]]
    assert sorted(name.partition("@")[0] for name in online) == ["agents", "orchestrators"]
    everything = json.dumps([stack.flower("api/tasks"), stack.flower("api/workers?refresh=1")])
    assert CANARY not in everything
    for name in ("redis_password", "redis_flower_password", "database_password"):
        assert secret(name) not in everything


def test_prometheus_finds_every_worker_and_reads_it(stack: Stack) -> None:
    def health() -> list[tuple[str, str]]:
        return sorted((target["labels"]["job"], target["health"]) for target in stack.targets())

    expected = [("flower", "up"), ("prometheus", "up"), ("workers", "up"), ("workers", "up")]
    wait_until(lambda: health() == expected, 60, "all targets are up")


def test_redis_keeps_its_data_through_a_restart(stack: Stack) -> None:
    stack.compose("restart", "redis")
    stack.until_healthy("redis", 1)
    log = stack.compose("logs", "--no-log-prefix", "redis")
    assert len(re.findall("DB loaded from append only file", log)) == 1
    assert "CRITICAL" not in log
    outcomes = stack.wait(stack.enqueue(leads(3, "after-restart")))
    assert [one["status"] for one in outcomes] == ["succeeded"] * 3


def test_a_worker_that_does_not_beat_is_unhealthy(stack: Stack) -> None:
    check = ("with-secrets", "python", "-m", "worker.health")
    assert "of its lease left" in stack.inside("agents", *check)
    # The first process is init, the worker its child.
    pid = stack.inside("agents", "cat", "/proc/1/task/1/children").split()[0]
    stack.inside("agents", "sh", "-c", f"kill -STOP {pid}")
    try:
        wait_until(
            lambda: "keeps a lease" in stack.inside("agents", *check, check=False),
            30,
            "the lease of a stopped worker lapses",
        )
    finally:
        stack.inside("agents", "sh", "-c", f"kill -CONT {pid}")
    stack.until_healthy("agents", 1)
