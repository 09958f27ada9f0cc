"""A process whose loop is stuck ends itself and says where; one that was paused does not."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

from tests.rig.engine_rig import rigged
from tests.services.waiting import wait_until
from worker.engine.cell import SubprocessCell
from worker.engine.service import EngineService
from worker.engine.watchdog import EXIT_CODE, cell_limit, worker_limit
from worker.settings import Settings

ROOT = Path(__file__).parents[2]
LIMIT = 0.6

PROGRAM = """
import asyncio, json, re, sys, time
from worker.engine.watchdog import Watchdog

class Log:
    def critical(self, event, **fields):
        print(json.dumps({"event": event, **fields}), flush=True)

class StuckLog:
    def critical(self, event, **fields):
        time.sleep(3600)

def turn_no_more():
    while True:
        pass

async def main():
    watchdog = Watchdog(LIMIT, LOG())
    watchdog.start()
    print("ready", flush=True)
    BODY

asyncio.run(main())
print("done", flush=True)
"""


def _start(body: str, log: str = "Log") -> subprocess.Popen[str]:
    program = PROGRAM.replace("LIMIT", str(LIMIT)).replace("LOG", log).replace("BODY", body)
    return subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _ended(body: str, log: str = "Log") -> tuple[int, list[str], str]:
    out, err = (process := _start(body, log)).communicate(timeout=60)
    return process.returncode, out.splitlines(), err


def test_a_loop_that_no_longer_turns_ends_its_process_which_says_where() -> None:
    code, out, _ = _ended("password = 'hunter2'; turn_no_more()")
    assert code == EXIT_CODE
    told = json.loads(out[-1])
    assert told["event"] == "worker.loop_stuck"
    assert told["seconds"] == LIMIT
    assert told["stack"][0].endswith("turn_no_more")
    assert "hunter2" not in out[-1]


def test_a_blocking_call_is_no_excuse() -> None:
    code, out, _ = _ended("time.sleep(3600)")
    assert code == EXIT_CODE
    assert "loop_stuck" in out[-1]


def test_a_log_that_is_stuck_itself_does_not_hold_it_up() -> None:
    code, out, _ = _ended("turn_no_more()", log="StuckLog")
    assert (code, out) == (EXIT_CODE, ["ready"])


def test_a_loop_that_keeps_python_s_lock_is_killed_with_a_dump() -> None:
    code, _, err = _ended("re.match('(a+)+$', 'a' * 60 + 'b')")
    assert code == -signal.SIGPROF
    assert "in main" in err


def test_a_busy_loop_that_turns_now_and_then_lives() -> None:
    body = f"""
    for _ in range(6):
        time.sleep({LIMIT / 2})
        await asyncio.sleep(0.05)
    """
    code, out, _ = _ended(body)
    assert (code, out[-1]) == (0, "done")


def test_work_in_threads_does_not_matter() -> None:
    body = f"""
    def busy(until):
        while time.monotonic() < until:
            pass
    until = time.monotonic() + {3 * LIMIT}
    await asyncio.gather(*(asyncio.to_thread(busy, until) for _ in range(2)))
    """
    code, out, _ = _ended(body)
    assert (code, out[-1]) == (0, "done")


def test_after_its_stop_it_ends_nothing() -> None:
    code, out, _ = _ended(f"watchdog.stop()\n    time.sleep({3 * LIMIT})")
    assert (code, out[-1]) == (0, "done")


def test_a_paused_process_is_not_blamed() -> None:
    process = _start(f"await asyncio.sleep({8 * LIMIT})")
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    for _ in range(2):
        process.send_signal(signal.SIGSTOP)
        time.sleep(3 * LIMIT)  # the fault itself
        process.send_signal(signal.SIGCONT)
    assert wait_until(lambda: process.poll() is not None, 30, "it ended")
    assert process.returncode == 0
    assert process.communicate()[0] == "done\n"


def test_a_process_apart_dies_while_its_lease_holds_and_a_worker_after_it() -> None:
    for lease, heartbeat in [(10.0, 2.0), (3.0, 1.0), (5.0, 2.4)]:
        settings = Settings(lease_seconds=lease, heartbeat_seconds=heartbeat)
        assert cell_limit(settings) < lease - heartbeat
        assert worker_limit(settings) == 2 * lease


def test_a_worker_is_watched_until_it_stops_and_its_caller_s_process_never() -> None:
    async def scenario() -> None:
        async with rigged() as rig:
            in_process = rig.worker("a")
            worker = EngineService(replace(in_process.parts, worker_id="w", cell=SubprocessCell()))
            await in_process.start()
            assert not _watched()
            await worker.start()
            assert _watched()
            await worker.stop()
            await in_process.stop()

    asyncio.run(scenario())
    wait_until(lambda: not _watched(), 10, "nobody is watched any more")


def _watched() -> bool:
    return any(thread.name == "muster-watchdog" for thread in threading.enumerate())
