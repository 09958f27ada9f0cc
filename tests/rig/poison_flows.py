"""A flow that eats memory until somebody ends its process, and who ends it."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from pathlib import Path
from typing import Any, NoReturn, Self

from pydantic import BaseModel

from agents import agent
from envelope import Envelope
from orchestrators import orchestrator
from tests.rig.cluster import Cluster
from tests.rig.traced_flows import TRACE_VARIABLE, trace

MEGABYTE = 2**20
_BITE = 2 * MEGABYTE
_PAUSE_SECONDS = 0.01
_ENOUGH = 2_048 * MEGABYTE
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Hoard(BaseModel):
    queued: bool = False


@agent("hoard", inline=True)
async def hoard(ctx: Any, request: Hoard) -> Envelope:
    """Leak until the process is killed."""
    trace(ctx, "start")
    await _eat()


@agent("far-hoard")
async def far_hoard(ctx: Any, request: Hoard) -> Envelope:
    """The same on the agent's queue."""
    trace(ctx, "start")
    await _eat()


@orchestrator("hoarding")
async def hoarding(ctx: Any, request: Hoard) -> Envelope:
    """Take the worker's memory."""
    return await ctx.call("far-hoard" if request.queued else "hoard", request)


async def _eat() -> NoReturn:
    """Its neighbours go on working meanwhile: it is no hang that ends the process."""
    eaten: list[bytes] = []
    while len(eaten) * _BITE < _ENOUGH:
        eaten.append(b"x" * _BITE)
        await asyncio.sleep(_PAUSE_SECONDS)
    raise RuntimeError("Nobody ended this process in time, so the trial is void.")


class MemoryLimit:
    """Kills each traced process of a cluster that holds more memory than it may.

    It does from without what the kernel does to a group of processes with a limit, and what
    systemd-oomd does: SIGKILL in the midst of an allocation, with no word to the victim. Unlike a
    real limit it needs no rights and no delegated control group, so it works wherever /proc is.

    Args:
        cluster: Whose agents leave traces.
        limit: Resident bytes that a process may hold.
    """

    def __init__(self, cluster: Cluster, limit: int) -> None:
        self.killed: dict[int, int] = {}
        """What each victim held, by process id."""
        self._cluster = cluster
        self._limit = limit
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(_PAUSE_SECONDS):
            for pid in {line["pid"] for line in self._cluster.trace()} - set(self.killed):
                self._look_at(pid)

    def _look_at(self, pid: int) -> None:
        try:
            held = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
            if held > self._limit and self._is_ours(pid):
                os.kill(pid, signal.SIGKILL)
                self.killed[pid] = held
        except (FileNotFoundError, PermissionError, ProcessLookupError):
            return  # it has ended by itself

    def _is_ours(self, pid: int) -> bool:
        """A number may be another process's by now."""
        ours = f"{TRACE_VARIABLE}={self._cluster.trace_file}"
        return ours in Path(f"/proc/{pid}/environ").read_text().split("\0")
