"""Scaling and restarting under load: nothing is lost and nothing is done twice."""

import time
from collections import Counter
from collections.abc import Callable

import pytest

from tests.docker.stack import Stack
from tests.services.waiting import wait_until

RUNS, SECONDS = 12, 1.5


@pytest.fixture(scope="module")
def three_agents(stack: Stack) -> Stack:
    stack.up("--no-recreate", "--scale", "agents=3")
    return stack


def naps(prefix: str, steps: int, until: str = "") -> list[dict]:
    payload = {"steps": steps, "seconds": SECONDS, "until": until}
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
    wait_until(lambda: scraped_workers(three_agents) == 4, 40, "all workers are scraped")


def test_a_rolling_restart_loses_and_repeats_nothing(
    three_agents: Stack, figure: Callable[[str], None]
) -> None:
    run_ids = three_agents.enqueue(naps("rolling", 1, until="restarted"))
    wait_until(lambda: len(counted(three_agents, run_ids, "begun")) >= RUNS, 60, "the load begins")
    begin = time.monotonic()
    said = three_agents.script("deploy/rolling-restart")
    seconds = time.monotonic() - begin
    assert said.count("healthy") == 4
    # The load lasts as long as the restarts, however long that is.
    (three_agents.ledger / "restarted").touch()
    outcomes = three_agents.wait(run_ids)
    assert [one["status"] for one in outcomes] == ["succeeded"] * RUNS
    expected = Counter({(one["run"], step): 1 for one in outcomes for step in one["attempts"]})
    assert expected.total() > 4 * RUNS
    assert counted(three_agents, run_ids, "begun") == expected
    assert counted(three_agents, run_ids, "done") == expected
    assert {a for one in outcomes for a in one["attempts"].values()} == {1}
    figure(f"4 workers replaced in {seconds:.0f} s under {expected.total()} steps, none twice")


def scraped_workers(stack: Stack) -> int:
    targets = stack.prometheus("targets?state=active")["activeTargets"]
    return sum(one["labels"]["job"] == "workers" for one in targets if one["health"] == "up")


def counted(stack: Stack, run_ids: list[str], what: str) -> Counter:
    return Counter(
        (one["run"], one["step"])
        for one in stack.noted()
        if one["what"] == what and one["run"] in run_ids
    )
