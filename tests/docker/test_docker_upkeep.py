"""Scaling and restarting under load: nothing is lost and nothing is done twice."""

from collections import Counter

import pytest

from tests.docker.stack import Stack
from tests.services.waiting import wait_until

RUNS, SECONDS = 12, 2.0
STEPS = 48  # of each run: the load lasts longer than the restarts


@pytest.fixture
def three_agents(stack: Stack) -> Stack:
    stack.up("--no-recreate", "--scale", "agents=3")
    return stack


def naps(prefix: str, steps: int) -> list[dict]:
    payload = {"steps": steps, "seconds": SECONDS}
    return [
        {"flow": "docker_naps", "payload": payload, "key": f"{prefix}-{number}"}
        for number in range(RUNS)
    ]


def test_agents_scale_and_all_of_them_work(three_agents: Stack) -> None:
    three_agents.until_healthy("agents", 3)
    run_ids = three_agents.enqueue(naps("scaled", 4))
    three_agents.wait(run_ids)
    hosts = {one["host"] for one in three_agents.noted() if one["run"] in run_ids}
    assert len(hosts) == 3
    workers = three_agents.flower("workers?json=1")["data"]
    online = [w["hostname"].partition("@")[0] for w in workers if w["status"]]
    assert Counter(online) == {"agents": 3, "orchestrators": 1}
    wait_until(lambda: len(three_agents.targets()) == 6, 40, "four workers, Flower, Prometheus")


def test_a_rolling_restart_loses_and_repeats_nothing(three_agents: Stack) -> None:
    run_ids = three_agents.enqueue(naps("rolling", STEPS))
    wait_until(lambda: _count(three_agents, run_ids, "begun"), 30, "the load begins")
    said = three_agents.script("deploy/rolling-restart")
    assert said.count("healthy") == 4
    assert len(_count(three_agents, run_ids, "done")) < RUNS * STEPS, "restarted after the load"
    outcomes = three_agents.wait(run_ids)
    assert [one["status"] for one in outcomes] == ["succeeded"] * RUNS
    expected = Counter({(r, f"nap-{n}"): 1 for r in run_ids for n in range(STEPS)})
    assert _count(three_agents, run_ids, "begun") == expected
    assert _count(three_agents, run_ids, "done") == expected
    assert {a for one in outcomes for a in one["attempts"].values()} == {1}


def _count(stack: Stack, run_ids: list[str], what: str) -> Counter:
    return Counter(
        (one["run"], one["step"])
        for one in stack.noted()
        if one["what"] == what and one["run"] in run_ids
    )
