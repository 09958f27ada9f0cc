"""The fault rig's witness: it sees a process that gets no processor, and only such a one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rig.faults.history import History
from tests.rig.faults.starvation import longest_wait, noting_starvation, waits_of
from tests.services.waiting import wait_until

_BUSY = """
import os
os.nice(19)  # other tests need the processor too
os.sched_setaffinity(0, {int(os.environ["CPU"])})
while True:
    pass
"""

needs_linux = pytest.mark.skipif(
    not Path("/proc/self/schedstat").exists(), reason="only Linux tells who waits for a processor"
)


@pytest.fixture
def rivals() -> Iterator[list[int]]:
    """A dozen processes that all want the same processor."""
    environment = {**os.environ, "CPU": str(min(os.sched_getaffinity(0)))}
    busy = [subprocess.Popen([sys.executable, "-c", _BUSY], env=environment) for _ in range(12)]
    yield [process.pid for process in busy]
    for process in busy:
        process.kill()
        process.wait()


@needs_linux
def test_who_wants_a_processor_that_others_have_is_starved(
    rivals: list[int], tmp_path: Path
) -> None:
    history = History(tmp_path / "history.jsonl")
    with noting_starvation(history, lambda: rivals):
        wait_until(
            lambda: {line["pid"] for line in history.lines()} == set(rivals), 60, "all are noted"
        )
    assert all(line["what"] == "starved" and line["seconds"] >= 0.4 for line in history.lines())


def test_the_thread_that_fared_worst_counts_and_new_ones_do_not() -> None:
    assert longest_wait({"1": 1.0, "2": 5.0}, {"1": 1.75, "2": 5.25, "3": 9.0}) == 0.75
    assert longest_wait({}, {"1": 9.0}) == 0.0


def test_a_process_that_is_gone_has_no_waits() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert waits_of(process.pid) == {}
