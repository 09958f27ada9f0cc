"""Bugs that others had, planted one at a time: the checker finds each, and nothing without it."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

import tests.rig.faults.flows  # noqa: F401  # registers the flows of the scenarios
from control import Muster
from tests.rig.cluster import ROOT
from tests.rig.faults import delivery_scenarios, redis_scenarios, scenarios
from tests.rig.faults.agents import STUB_VARIABLE
from tests.rig.faults.checker import check
from tests.rig.faults.delivering import SINK_VARIABLE
from tests.rig.faults.delivery_scenarios import DeliveryScenario
from tests.rig.faults.facts import Facts, read_facts
from tests.rig.faults.history import HISTORY_VARIABLE, History
from tests.rig.faults.loop import LoopThread
from tests.rig.faults.pair import paired
from tests.rig.faults.planted.planting import PLANT_VARIABLE, planted
from tests.rig.faults.rig import FLOWS
from tests.rig.faults.scenarios import Scenario
from tests.rig.faults.sinks import Sinks
from tests.rig.faults.stub_llm import StubLLM
from tests.services.waiting import wait_until
from worker.settings import Settings

IN_A_PAIR = {
    "no_fence": (scenarios.zombie, "committed twice"),
    "numbers_outside": (scenarios.zombie, "numbers"),
    "duplicate_runs_owned": (scenarios.second_message, "taken from the living"),
    "announced_early": (scenarios.slow_database, "announced before commit"),
    "reconciler_ignores_owners": (scenarios.rounds_of_the_reconciler, "taken from the living"),
    "cancel_forgets_queued_steps": (scenarios.late_step_message, "begun after cancel"),
    "permit_not_held": (scenarios.crowd, "above the limit"),
    "retry_bypasses_permit": (scenarios.storm, "above the limit"),
}

DELIVERING = {
    "effect_before_intent": (delivery_scenarios.mail_of_a_zombie, "mailed twice"),
    "outcome_forgotten": (delivery_scenarios.mail, "not in the ledger"),
    "permission_ignored": (delivery_scenarios.nobody_allowed_it, "without permission"),
    "key_of_each_attempt": (delivery_scenarios.second_attempt, "second effect"),
}


@pytest.fixture
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> History:
    made = History(tmp_path / "history.jsonl")
    monkeypatch.setenv(HISTORY_VARIABLE, str(made.path))
    return made


@pytest.fixture
def stub(history: History, monkeypatch: pytest.MonkeyPatch) -> Iterator[StubLLM]:
    thread = LoopThread("test-stub")
    made = StubLLM(thread, history)
    monkeypatch.setenv(STUB_VARIABLE, made.url)
    yield made
    made.close()
    thread.close()


@pytest.fixture
def sinks(history: History, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sinks]:
    thread = LoopThread("test-sinks")
    made = Sinks.on(thread, history)
    monkeypatch.setenv(SINK_VARIABLE, made.hook.url)
    yield made
    made.close()
    thread.close()


def names(facts: Facts) -> set[str]:
    return {violation.name for violation in check(facts)}


async def trial_in_a_pair(scenario: Scenario, folder: Path, stub: StubLLM) -> Facts:
    (folder / "history.jsonl").unlink(missing_ok=True)
    async with paired(folder) as pair:
        await scenario(pair, stub)
        return await pair.facts()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("bug", IN_A_PAIR)
def test_a_bug_between_two_workers_is_found(bug: str, tmp_path: Path, stub: StubLLM) -> None:
    scenario, violation = IN_A_PAIR[bug]
    assert check(asyncio.run(trial_in_a_pair(scenario, tmp_path, stub))) == []
    with planted(bug):
        assert violation in names(asyncio.run(trial_in_a_pair(scenario, tmp_path, stub)))


async def trial_of_a_delivery(scenario: DeliveryScenario, folder: Path, sinks: Sinks) -> Facts:
    (folder / "history.jsonl").unlink(missing_ok=True)
    async with paired(folder, **sinks.settings) as pair:
        await scenario(pair, sinks)
        return await pair.facts()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("bug", DELIVERING)
def test_a_bug_in_a_delivery_is_found(bug: str, tmp_path: Path, sinks: Sinks) -> None:
    scenario, violation = DELIVERING[bug]
    assert check(asyncio.run(trial_of_a_delivery(scenario, tmp_path, sinks))) == []
    with planted(bug):
        assert violation in names(asyncio.run(trial_of_a_delivery(scenario, tmp_path, sinks)))


@pytest.mark.timeout(60)
def test_a_run_that_comes_back_to_who_lost_it_ends_well(tmp_path: Path, stub: StubLLM) -> None:
    assert check(asyncio.run(trial_in_a_pair(scenarios.homecoming, tmp_path, stub))) == []


@pytest.mark.timeout(60)
def test_a_permit_that_stays_with_the_dead_is_found(redis_url: str, history: History) -> None:
    def trial(plant: str | None) -> Facts:
        flush(redis_url)
        with planted(plant):
            asyncio.run(redis_scenarios.dead_holder(redis_url, history))
        return Facts(history.lines(), {})

    assert check(trial(None)) == []
    assert "leaked" in names(trial("permit_without_lease"))


@pytest.mark.timeout(60)
def test_a_lock_deleted_by_who_had_it_before_is_found(redis_url: str, history: History) -> None:
    def trial(plant: str | None) -> Facts:
        flush(redis_url)
        history.clear()
        with planted(plant):
            redis_scenarios.late_release(redis_url, history)
        return Facts(history.lines(), {})

    assert check(trial(None)) == []
    assert "two holders" in names(trial("plain_delete"))


@pytest.mark.timeout(90)
@pytest.mark.parametrize("bug", [None, "acknowledged_early"])
def test_a_run_acknowledged_before_its_commit_is_found(
    bug: str | None, tmp_path: Path, history: History, redis_url: str
) -> None:
    settings = Settings(
        redis_url=redis_url,  # nobody consumes
        database_url=f"sqlite:///{tmp_path}/journal.sqlite3",
        home=tmp_path / "home",
        include=(FLOWS,),
    )

    def accepted() -> int:
        return len([line for line in history.lines() if line["what"] == "accepted"])

    with Muster(settings) as muster:
        muster.runs()  # makes the tables
        client = hasty_client(settings, bug)
        try:
            wait_until(lambda: accepted() >= 5, 30, "runs are acknowledged")
            with locked(tmp_path / "journal.sqlite3"):
                before = accepted()
                if bug is not None:
                    wait_until(lambda: accepted() > before + 3, 30, "more are acknowledged")
                client.send_signal(signal.SIGKILL)
                client.wait()
        finally:
            client.kill()
            flush(redis_url)
        found = names(read_facts(muster, history, {}))
    assert ("lost" in found) == (bug is not None)


def flush(redis_url: str) -> None:
    with Redis.from_url(redis_url) as broker:
        broker.flushall()


class locked:  # noqa: N801  # reads as a statement
    """Keeps everybody else from writing to an SQLite database."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)

    def __enter__(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, *_: object) -> None:
        self._connection.execute("ROLLBACK")
        self._connection.close()


def hasty_client(settings: Settings, bug: str | None) -> subprocess.Popen[bytes]:
    include = FLOWS if bug is None else f"{FLOWS},tests.rig.faults.planted.loaded"
    environment = {
        **os.environ,
        "MUSTER_REDIS_URL": str(settings.redis_url),
        "MUSTER_DATABASE_URL": str(settings.database_url),
        "MUSTER_HOME": str(settings.home),
        "MUSTER_INCLUDE": include,
        PLANT_VARIABLE: bug or "",
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "tests.rig.faults.hasty_client", "10000"]
    return subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True)
