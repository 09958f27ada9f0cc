"""Hundreds of runs under dozens of random faults: every rule of the design still holds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.rig.faults.checker import check
from tests.rig.faults.client import Client, Load, Wish
from tests.rig.faults.facts import Facts
from tests.rig.faults.injector import SHORT_DECK, Injector
from tests.rig.faults.report import refused_writes, report
from tests.rig.faults.rig import FaultRig, fault_rig
from tests.rig.faults.wishes import mixed_wishes
from tests.services.postgres_server import PrivatePostgres, postgres_binaries
from tests.services.presence import missing
from tests.services.redis_server import PrivateRedis
from tests.services.waiting import wait_until

SEED = int(os.environ.get("MUSTER_TEST_SEED", "20261121"))
SHORT = bool(os.environ.get("MUSTER_TEST_FAULTS"))
LONG = bool(os.environ.get("MUSTER_TEST_LONG"))

_RUNS = 334 if LONG else 300
_LONG_ROUNDS = 9
_END_SECONDS = 480.0
_ACTIVE = ("queued", "running", "waiting")


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[FaultRig]:
    binaries = postgres_binaries()
    if binaries is None:
        missing("Postgres", "install the package postgresql")
    redis, postgres = PrivateRedis().start(), PrivatePostgres(binaries)
    try:
        postgres.start()
        with fault_rig(tmp_path, redis, postgres, seed=SEED) as made:
            yield made
    finally:
        postgres.close()
        redis.close()


@pytest.mark.skipif(
    not (SHORT or LONG), reason="set MUSTER_TEST_FAULTS=1 or MUSTER_TEST_LONG=1; takes minutes"
)
@pytest.mark.timeout(1_200 if not LONG else 10_800)
def test_no_rule_is_broken_under_random_faults(
    rig: FaultRig, tmp_path: Path, figure: Callable[[str], None]
) -> None:
    rounds = _LONG_ROUNDS if LONG else 1
    begun = time.monotonic()
    rig.start()
    wishes = mixed_wishes(SEED, rig.canary)
    for number in range(rounds):
        _strike(rig, wishes, SEED + number)
    rig.note_permits_left()
    facts = rig.facts()
    keep(facts, tmp_path / "events.jsonl")
    violations = check(facts)
    figure(report(facts, violations, SEED, time.monotonic() - begun))
    assert not violations
    assert sum(refused_writes(facts).values()) > 0, "no zombie was seen: the trial proved nothing"
    assert len([fault for fault in facts.faults if fault.hit]) >= rounds * sum(SHORT_DECK.values())


def _strike(rig: FaultRig, wishes: Iterator[Wish], seed: int) -> None:
    """One deck of faults amid a load, until all runs have ended.

    The next round begins with none: else suspects would pile up faster than two cores can start
    processes for them.
    """
    load = Load(Client(rig.muster, rig.history), wishes, _RUNS, seed)
    Injector(rig, SHORT_DECK, seed).strike_all(load)

    def ended() -> bool:
        rig.revive()
        return not rig.muster.runs(states=_ACTIVE, limit=1)

    load.finish()
    try:
        wait_until(ended, _END_SECONDS, "all runs have ended")
    except AssertionError as error:
        raise AssertionError("\n".join([str(error), *_whys(rig)])) from None
    load.join()


def _whys(rig: FaultRig) -> list[str]:
    """Show the runs that have not ended, with what they wait for."""
    show = [str(Path(sys.executable).with_name("muster")), "runs", "show"]
    return [
        subprocess.run(
            [*show, run.run_id],
            env=rig.cluster.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        ).stdout
        for run in rig.muster.runs(states=_ACTIVE, limit=10)
    ]


def keep(facts: Facts, file: Path) -> None:
    """Write every run's events beside the history, for whoever has to explain a violation."""
    lines = [json.dumps(asdict(event)) for run in facts.runs.values() for event in run.events]
    file.write_text("\n".join(lines))
