"""The client for synchronous code: the async one on a loop in a background thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

from pydantic import BaseModel

from control.async_client import AsyncMuster
from control.loop_thread import LoopThread
from control.run import Run
from envelope.ports.journal_rows import Run as RunRow
from envelope.ports.journal_rows import RunState
from worker.settings import Settings


class Muster:
    """Enqueues runs, finds them, waits for them. Safe to use from several threads.

    Args:
        settings: The settings; None reads the environment and `.env`.

    Raises:
        ConfigurationError: A setting is wrong.

    Example:
        >>> run = Muster().enqueue("lead", {"company": "Acme"}, key="acme")
        >>> envelope = run.result(timeout=60)
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self._client = AsyncMuster(settings or Settings.load())
        self._closing = ExitStack()
        self._thread = LoopThread()
        self._closing.callback(self._thread.close)
        self._closing.callback(lambda: self._thread.call(self._client.close()))

    def enqueue(
        self,
        flow: str,
        payload: BaseModel | Mapping[str, Any],
        *,
        user: str | None = None,
        thread: str | None = None,
        key: str | None = None,
        tags: Mapping[str, str] | None = None,
        priority: int = 0,
        delay: float = 0.0,
        allow_delivery: bool = False,
        tenant: str = "default",
        source: str = "api",
    ) -> Run:
        """Enqueue a run of `flow` and return its handle; see `AsyncMuster.enqueue`."""
        accepted = self._client.enqueue(
            flow,
            payload,
            user=user,
            thread=thread,
            key=key,
            tags=tags,
            priority=priority,
            delay=delay,
            allow_delivery=allow_delivery,
            tenant=tenant,
            source=source,
        )
        return Run(self._thread.call(accepted), self._thread)

    def get(self, run_id: str) -> Run:
        """Return the handle of a run, named by its id or a unique part of it."""
        return Run(self._thread.call(self._client.get(run_id)), self._thread)

    def runs(
        self,
        *,
        states: Sequence[RunState | str] = (),
        flow: str | None = None,
        tenant: str | None = None,
        tags: Mapping[str, str] | None = None,
        before: str | None = None,
        limit: int = 50,
    ) -> Sequence[RunRow]:
        """Return runs, newest first; see `AsyncMuster.runs`."""
        listing = self._client.runs(
            states=states, flow=flow, tenant=tenant, tags=tags, before=before, limit=limit
        )
        return self._thread.call(listing)

    def close(self) -> None:
        """Let go of all connections. Handles made here cannot be used any more."""
        self._closing.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
