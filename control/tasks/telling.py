"""Tells how far an operation is, in order and in the background: telling never stops the work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from agents.tasks.performing import PROGRESS_EVENT
from control.tasks.runtime import RUNTIME
from envelope.errors import MusterError

OnEvent = Callable[[str, Mapping[str, Any]], None]

_LAST_SECONDS = 3.0


class Telling:
    """Sends progress events to those who `subscribe` to a thread, and all events to a listener.

    What cannot be sent is logged and dropped.

    Args:
        thread: Whose progress it is; None tells it to the listener alone.
        on_event: The listener; called on the event loop of the work.
    """

    def __init__(self, thread: str | None, on_event: OnEvent | None) -> None:
        self._thread = thread
        self._on_event = on_event
        self._loop = asyncio.get_running_loop()
        self._waiting: asyncio.Queue[Mapping[str, Any] | None] = asyncio.Queue()
        self._sending: asyncio.Task[None] | None = None

    def tell(self, event: str, data: Mapping[str, Any]) -> None:
        """Tell an event; from any thread."""
        self._loop.call_soon_threadsafe(self._take, event, data)

    async def __aenter__(self) -> Self:
        if self._thread is not None:
            self._sending = asyncio.create_task(self._send(self._thread))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._sending is None:
            await asyncio.sleep(0)  # the listener's last event is on its way
            return
        self._loop.call_soon(self._waiting.put_nowait, None)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LAST_SECONDS):
                    await asyncio.shield(self._sending)
        finally:
            self._sending.cancel()

    def _take(self, event: str, data: Mapping[str, Any]) -> None:
        if self._on_event is not None:
            self._on_event(event, data)
        if self._thread is not None and event == PROGRESS_EVENT:
            self._waiting.put_nowait(data)

    async def _send(self, thread: str) -> None:
        runtime = await RUNTIME.opened()
        while (progress := await self._waiting.get()) is not None:
            try:
                await runtime.run(runtime.tell(thread, progress))
            except MusterError as error:
                runtime.log.warning("tasks.progress_lost", thread=thread, error=str(error))
