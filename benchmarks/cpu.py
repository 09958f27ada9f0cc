"""Processor time of a contender's processes: a figure that a busy machine disturbs little."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from benchmarks.rounds import Contender, Measured

_GROUP, _USER, _SYSTEM = 2, 11, 12
"""Where `/proc/PID/stat` has them, counted after the name (man 5 proc_pid_stat)."""


def with_cpu(contender: Contender, groups: Sequence[int], units: int, unit: str) -> Contender:
    """Return the contender with one figure more: processor time per unit of work (Linux only).

    Args:
        contender: Who works.
        groups: The process groups that execute; a client's own share is not counted.
        units: How much is done in a round.
        unit: What it is called.
    """

    async def measure() -> Measured:
        before = cpu_seconds(groups)
        measured = await contender.measure()
        after = cpu_seconds(groups)
        if before is None or after is None:
            return measured
        return {**measured, f"CPU ms/{unit}": (after - before) / units * 1e3}

    return Contender(contender.name, measure)


def cpu_seconds(groups: Sequence[int]) -> float | None:
    """Return what the living processes of groups have used so far; None where not Linux."""
    processes = list(Path("/proc").glob("[0-9]*"))
    if not processes:
        return None
    ticks = sum(_ticks(process, groups) for process in processes)
    return ticks / os.sysconf("SC_CLK_TCK")


def _ticks(process: Path, groups: Sequence[int]) -> int:
    try:
        fields = (process / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0  # it has just ended
    return int(fields[_USER]) + int(fields[_SYSTEM]) if int(fields[_GROUP]) in groups else 0
