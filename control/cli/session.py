"""Runs a command's coroutine with what it needs: a client, a backend, or the journal alone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from control.async_client import AsyncMuster
from control.cli.logs import quiet_logs
from envelope.ports.journal import Journal
from worker.backend import Backend
from worker.journal.open import journal_for
from worker.settings import Settings

T = TypeVar("T")


def with_client(work: Callable[[AsyncMuster], Awaitable[T]]) -> T:
    """Open a client by the settings, do `work` with it, close it."""
    settings = Settings.load()
    quiet_logs(settings)

    async def session() -> T:
        async with AsyncMuster(settings) as client:
            return await work(client)

    return asyncio.run(session())


def with_backend(work: Callable[[Backend], Awaitable[T]]) -> T:
    """Connect by the settings, do `work`, let go: no users' modules are needed."""
    settings = Settings.load()
    quiet_logs(settings)

    async def session() -> T:
        backend = await Backend.open(settings)
        try:
            return await work(backend)
        finally:
            await backend.close()

    return asyncio.run(session())


def with_journal(work: Callable[[Journal], Awaitable[T]]) -> T:
    """Open the journal, do `work` with it, close it: reading needs no Redis."""
    settings = Settings.load()
    quiet_logs(settings)

    async def session() -> T:
        journal = journal_for(settings.journal_url)
        await journal.open()
        try:
            return await work(journal)
        finally:
            await journal.close()

    return asyncio.run(session())
