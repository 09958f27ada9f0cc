"""Runs a command's coroutine with an open client."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from control.async_client import AsyncMuster
from worker.settings import Settings

T = TypeVar("T")


def with_client(work: Callable[[AsyncMuster], Awaitable[T]]) -> T:
    """Open a client by the settings, do `work` with it, close it."""
    settings = Settings.load()

    async def session() -> T:
        async with AsyncMuster(settings) as client:
            return await work(client)

    return asyncio.run(session())
