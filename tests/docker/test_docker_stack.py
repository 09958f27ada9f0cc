"""`docker compose up` from a clone: what comes up, what it does, how it is watched."""

import json
import re
from collections.abc import Callable

from tests.docker.stack import Stack, run
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


def test_everything_comes_up_healthy_and_nothing_else(
    stack: Stack, figure: Callable[[str], None]
) -> None:
    figure(f"healthy {stack.seconds_to_healthy:.1f} s after `up`, with images built")
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


def test_the_image_is_small(stack: Stack, figure: Callable[[str], None]) -> None:
    whole, base = megabytes("muster:local"), megabytes("python:3.12-slim-bookworm")
    figure(f"muster:local has {whole:.0f} MB, {whole - base:.0f} MB of them above Python's image")
    assert whole - base < 210


def test_leads_succeed_offline(informed: Stack) -> None:
    outcomes = informed.wait(informed.enqueue(leads(10, "offline")))
    assert [one["status"] for one in outcomes] == ["succeeded"] * 10
    assert all(one["records"] == 2 for one in outcomes)  # a draft and its lead
    assert {attempt for one in outcomes for attempt in one["attempts"].values()} <= {0, 1}


def test_the_command_line_runs_in_the_stack(informed: Stack) -> None:
    payload = json.dumps({"company": CANARY, "sector": "Energy"})
    done = informed.muster(
        "enqueue", "lead", "--payload", payload, "--user", "u", "--thread", "cli", "--wait"
    )
    assert done["status"] == "succeeded"
    shown = informed.muster("runs", "show", done["run_id"])
    assert [step["step"] for step in shown["steps"] if step["kind"] == "agent"] == [
        "research",
        "draft",
        "store",
    ]


def test_redis_keeps_its_data_through_a_restart(informed: Stack) -> None:
    informed.compose("restart", "redis")
    informed.until_healthy("redis", 1)
    log = informed.compose("logs", "--no-log-prefix", "redis")
    assert len(re.findall("DB loaded from append only file", log)) == 1
    assert "CRITICAL" not in log
    outcomes = informed.wait(informed.enqueue(leads(3, "after-restart")))
    assert [one["status"] for one in outcomes] == ["succeeded"] * 3


def test_a_worker_that_does_not_answer_is_unhealthy(stack: Stack) -> None:
    assert not stack.unhealthy("agents")
    # The first process is init, the worker its child.
    pid = stack.inside("agents", "cat", "/proc/1/task/1/children").split()[0]
    stack.inside("agents", "sh", "-c", f"kill -STOP {pid}")
    try:
        assert stack.unhealthy("agents")
    finally:
        stack.inside("agents", "sh", "-c", f"kill -CONT {pid}")
    stack.until_healthy("agents", 1)


def test_a_worker_without_its_journal_is_unhealthy(stack: Stack) -> None:
    by_the_journal = ("with-secrets", "python", "-m", "worker.health")
    assert "of its lease left" in stack.inside("agents", *by_the_journal)
    stack.compose("pause", "postgres")
    try:
        wait_until(lambda: stack.unhealthy("agents"), 40, "the lease lapses")
    finally:
        stack.compose("unpause", "postgres")
    stack.until_healthy("postgres", 1)
    stack.until_healthy("orchestrators", 1)
    stack.until_healthy("agents", 1)


def megabytes(image: str) -> float:
    return int(run("docker", "image", "inspect", "--format", "{{.Size}}", image)) / 1e6
