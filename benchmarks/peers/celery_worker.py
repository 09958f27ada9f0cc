"""A plain Celery worker process, and the client that sends it work."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self, TypeVar

from celery import Celery, chain, group
from celery.canvas import Signature
from celery.exceptions import TimeoutError as ResultsMissing
from celery.result import AsyncResult

from benchmarks.peers.celery_app import BROKER_VARIABLE, VISIBILITY_VARIABLE, plain_app
from benchmarks.program import ProgramFailed, tail

T = TypeVar("T")

_ROOT = Path(__file__).resolve().parents[2]
_START_SECONDS = 60.0
_RESULT_SECONDS = 300.0


class PlainCelery:
    """A worker with a queue of its own; its client is this process.

    Args:
        url: Redis.
        pool: `prefork`, `threads` or `gevent`.
        concurrency: Processes, threads or greenlets.
        folder: Where its log goes.
        visibility_seconds: As for `plain_app`.
    """

    def __init__(
        self,
        url: str,
        pool: str,
        concurrency: int,
        folder: Path,
        visibility_seconds: float | None = None,
    ) -> None:
        self.app: Celery = plain_app(url, visibility_seconds)
        self._name = f"{pool}-{concurrency}-{os.urandom(3).hex()}"
        self._flags = ("-P", pool, "-c", str(concurrency), "-Q", self._name, "-l", "WARNING")
        self._facts = {BROKER_VARIABLE: url}
        if visibility_seconds is not None:
            self._facts[VISIBILITY_VARIABLE] = str(visibility_seconds)
        self._log = folder / f"celery-{self._name}.log"
        self._process: asyncio.subprocess.Process | None = None
        # Celery keeps a result backend for each thread: one thread is one client.
        self._thread = ThreadPoolExecutor(1, "celery-client")

    @property
    def pid(self) -> int:
        """The worker's main process."""
        assert self._process is not None  # noqa: S101 - it is used in `async with`
        return self._process.pid

    def task(self, name: str, *arguments: Any) -> Signature[Any]:
        """Return a call of one of its tasks."""
        found: Signature[Any] = self.app.tasks[f"bench.{name}"].s(*arguments)
        return found.set(queue=self._name)

    async def results(self, calls: Sequence[Signature[Any]]) -> list[Any]:
        """Send all calls, then wait for the result of each."""
        return await self._call(self._results, calls)

    async def send(self, calls: Sequence[Signature[Any]]) -> list[AsyncResult[Any]]:
        """Send all calls."""
        return await self._call(lambda: [call.apply_async() for call in calls])

    async def wait(self, sent: Sequence[AsyncResult[Any]], seconds: float) -> list[Any] | None:
        """Return the results; None where they were not all there in time."""
        return await self._call(_within, sent, seconds)

    async def until_active(self, count: int) -> None:
        """Return when the worker executes so many tasks at once."""
        inspect = self.app.control.inspect([f"{self._name}@bench"], timeout=0.5)
        active = 0
        while active < count:
            found = await self._call(inspect.active)
            active = sum(map(len, (found or {}).values()))

    def chain(self, steps: int) -> Signature[Any]:
        """Return `steps` tasks, one after the other."""
        rest = [self.task("noop") for _ in range(steps - 1)]
        return chain(self.task("noop", 0), *rest, app=self.app)

    def fan(self, width: int) -> Signature[Any]:
        """Return one task, then a chord of `width` tasks and one."""
        members = group((self.task("noop") for _ in range(width)), app=self.app)
        return chain(self.task("noop", 1), members, self.task("add_up"), app=self.app)

    async def kill(self) -> None:
        """SIGKILL, its children too: as an out-of-memory killer would. `start` brings another."""
        os.killpg(self.pid, signal.SIGKILL)
        await self._ended()

    async def start(self) -> None:
        """Start the worker, also in place of one that was killed; return when it answers."""
        command = ["-m", "benchmarks.peers.tethered_celery"]
        command += ["-A", "benchmarks.peers.celery_worker_app", "worker", *self._flags]
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *(*command, "-n", f"{self._name}@bench"),
                stdin=asyncio.subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=_ROOT,
                env={**os.environ, **self._facts, "PYTHONPATH": str(_ROOT)},
                start_new_session=True,
            )
        await self._ready()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_error: object) -> None:
        assert self._process is not None  # noqa: S101 - it was entered
        if self._process.returncode is None:
            await self.kill()
        await self._call(self._close_client)
        self._thread.shutdown()

    async def _ready(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        destination = [f"{self._name}@bench"]
        while not await self._call(self.app.control.ping, destination, 0.5):
            assert self._process is not None  # noqa: S101 - it was started
            if self._process.returncode is not None or time.monotonic() > deadline:
                raise ProgramFailed(f"The plain Celery worker does not start.\n{tail(self._log)}")

    async def _ended(self) -> None:
        assert self._process is not None  # noqa: S101 - it was started
        await self._process.wait()

    async def _call(self, work: Callable[..., T], *arguments: Any) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, work, *arguments)

    def _close_client(self) -> None:
        """Results unsubscribe when they are collected, at which time there may be no Redis."""
        backend: Any = self.app.backend
        consumer = backend.result_consumer
        consumer.stop()
        consumer.subscribed_to.clear()
        self.app.close()

    def _results(self, calls: Iterable[Signature[Any]]) -> list[Any]:
        sent = [call.apply_async() for call in calls]
        return [result.get(timeout=_RESULT_SECONDS) for result in sent]


def _within(sent: Sequence[AsyncResult[Any]], seconds: float) -> list[Any] | None:
    deadline = time.monotonic() + seconds
    try:
        return [result.get(timeout=max(0.01, deadline - time.monotonic())) for result in sent]
    except ResultsMissing:
        return None
