"""Faults of processes: kills and pauses."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from tests.rig.faults.client import Client, Wish
from tests.rig.faults.history import in_flight
from tests.rig.faults.rig import FaultRig
from tests.rig.faults.slot import Slot
from tests.services.waiting import wait_until

_BUSY_SECONDS = 20.0
_CHILD_SECONDS = 300.0


def kill_worker(rig: FaultRig, chance: random.Random) -> None:
    """SIGKILL a worker's whole group, as an out-of-memory killer or a lost machine would."""
    rig.until_ready()
    slot = _busy(rig, chance)
    with rig.fault("kill", [slot.pid]) as proof:
        assert slot.worker is not None
        slot.worker.kill()
        proof["steps in flight"] = in_flight(rig.history.lines(), slot.pid)
    rig.revive()


def freeze_worker(rig: FaultRig, chance: random.Random) -> None:
    """SIGSTOP a worker for two to three leases, then let it go on as a zombie."""
    rig.until_ready()
    slot = _busy(rig, chance)
    lease = rig.cluster.lease_seconds
    with rig.fault("freeze", [slot.pid]) as proof:
        assert slot.worker is not None
        slot.worker.signal(signal.SIGSTOP)
        proof["steps in flight"] = in_flight(rig.history.lines(), slot.pid)
        time.sleep(chance.uniform(2 * lease, 3 * lease))
        slot.worker.signal(signal.SIGCONT)


def _busy(rig: FaultRig, chance: random.Random) -> Slot:
    """A worker that executes steps, or any one where nobody comes to do so."""

    def busy() -> list[Slot]:
        rig.revive()
        lines = rig.history.lines()
        return [slot for slot in rig.ready() if in_flight(lines, slot.pid)]

    try:
        return chance.choice(wait_until(busy, _BUSY_SECONDS, "somebody works"))
    except AssertionError:
        return rig.victim(chance)


def kill_child(rig: FaultRig, chance: random.Random) -> None:
    """Have a suspect executed in a process of its own, and SIGKILL that."""
    client = Client(rig.muster, rig.history)
    plan = {"name": "brittle", "seconds": 4.0}
    run = client.submit(
        Wish("rig-brittle", plan, expect=("dead", "succeeded")), f"brittle-{chance.random()}"
    )

    def child() -> int | None:
        rig.revive()
        told = rig.history.of_run(run.id)
        mine = {line["pid"] for line in told if line["what"] == "start"}
        alone = mine & {pid for slot in rig.slots if slot.alive for pid in children(slot.pid)}
        return next(iter(alone), None)

    pid = wait_until(child, _CHILD_SECONDS, "a suspect has a process of its own")
    with rig.fault("kill child", [pid]) as proof, suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
        proof["processes killed"] = 1


def children(pid: int) -> Iterator[int]:
    """The processes that a process has started (Linux)."""
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):  # the thread ended meanwhile
            yield from map(int, task.read_text().split())
