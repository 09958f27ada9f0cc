"""A Celery worker as a child process: started, watched, stopped in order."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import control
from control.ending import ENDING
from envelope.errors import Unavailable
from envelope.ports.journal import Journal
from worker.settings import Settings

_LOOK_SECONDS = 0.1
_START_SECONDS = 60.0
_TAIL_LINES = 15


class WorkerDied(Unavailable):
    """The worker process ended, or did not start. The message carries the end of its log."""

    code = "WORKER_DIED"


class WorkerProcess:
    """`celery -A worker worker` in a process that ends with this one.

    Args:
        environment: The child's environment.
        folder: The child's current folder; None for ours.
        log: File for its output, whose former content moves to `….1`; None for our own terminal.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        *,
        folder: Path | None = None,
        log: Path | None = None,
    ) -> None:
        self._environment = dict(environment)
        self._folder = folder
        self._log = log
        self._process: asyncio.subprocess.Process | None = None

    @property
    def ended(self) -> bool:
        """Whether the process has ended."""
        return self._process is not None and self._process.returncode is not None

    async def start(self, *flags: str) -> None:
        """Start the process; it gets its own session, so that Ctrl-C does not reach it."""
        output = self._open_log()
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",  # the current folder may hold packages that are named like ours
                "-m",
                "control.tethered_worker",
                *flags,
                stdin=asyncio.subprocess.PIPE,
                stdout=output,
                stderr=output,
                cwd=self._folder,
                env=self._environment | {"PYTHONPATH": _python_path(self._environment)},
                start_new_session=True,
            )
        finally:
            if output is not None:
                os.close(output)

    async def until_ready(self, journal: Journal) -> None:
        """Wait until the worker has announced itself in the journal.

        Raises:
            WorkerDied: It ended instead, or was not ready within a minute.
        """
        deadline = time.monotonic() + _START_SECONDS
        while not await self._announced(journal):
            self.check()
            if time.monotonic() > deadline:
                raise WorkerDied(
                    f"The worker is not ready after {_START_SECONDS:g} s.{self._tail()}"
                )
            await asyncio.sleep(_LOOK_SECONDS)

    def check(self) -> None:
        """Refuse to go on without the worker.

        Raises:
            WorkerDied: It has ended.
        """
        if self._process is not None and self._process.returncode is not None:
            raise WorkerDied(
                f"The worker ended with exit code {self._process.returncode}.{self._tail()}"
            )

    async def wait(self) -> int:
        """Wait until the process ends; return its exit code."""
        assert self._process is not None  # noqa: S101 - wait follows start
        return await self._process.wait()

    async def stop(self) -> None:
        """End it in order: its runs are given back. Whatever hangs is killed in the end.

        A cancellation meanwhile is heeded when the process has ended: it would be left behind.
        """
        ending = asyncio.ensure_future(self._end())
        try:
            await asyncio.shield(ending)
        except asyncio.CancelledError:
            await ending
            raise

    async def _end(self) -> None:
        process = self._process
        if process is None:
            return
        for number, seconds in ENDING:
            if process.returncode is not None:
                return
            _signal(process, number)
            try:
                async with asyncio.timeout(seconds):
                    await process.wait()
            except TimeoutError:
                continue  # the next signal is harder to ignore

    async def _announced(self, journal: Journal) -> bool:
        assert self._process is not None  # noqa: S101 - until_ready follows start
        rows = await journal.workers()
        return any(row.pid == self._process.pid and row.expires_in > 0 for row in rows)

    def _open_log(self) -> int | None:
        if self._log is None:
            return None
        self._log.parent.mkdir(parents=True, exist_ok=True)
        if self._log.exists():
            self._log.replace(self._log.with_name(f"{self._log.name}.1"))
        return os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def _tail(self) -> str:
        if self._log is None:
            return " Its last words are above."
        with self._log.open(encoding="utf-8", errors="replace") as file:
            lines = deque(file, _TAIL_LINES)
        return f" The end of {self._log}:\n{''.join(lines).rstrip() or '(empty)'}"


def environment_of(settings: Settings, inherited: Mapping[str, str]) -> dict[str, str]:
    """Return an environment that tells a child these settings and no others.

    `inherited` gives everything that is no setting.
    """
    kept = {
        name: value
        for name, value in inherited.items()
        if not name.upper().startswith("MUSTER_") and name.upper() not in _ALSO_SETTINGS
    }
    told = {
        f"MUSTER_{field.upper()}": _as_text(getattr(settings, field))
        for field in type(settings).model_fields
    }
    return kept | {name: text for name, text in told.items() if text}


_ALSO_SETTINGS = frozenset({"REDIS_URL", "DATABASE_URL", "OPENAI_API_KEY", "OPENAI_BASE_URL"})


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, tuple):
        return ",".join(value)
    secret = getattr(value, "get_secret_value", None)
    return str(secret() if secret else value)


def _python_path(environment: Mapping[str, str]) -> str:
    """Make sure that the child imports the packages that we were imported from."""
    ours = str(Path(str(control.__file__)).parent.parent)
    given = environment.get("PYTHONPATH", "")
    return os.pathsep.join([ours, given] if given else [ours])


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except ProcessLookupError:
        return  # it has just ended by itself
