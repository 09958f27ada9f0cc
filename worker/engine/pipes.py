"""Pipes through which a process that was started here tells, line by line."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from worker.engine.persist import uninterrupted
from worker.telemetry.meters import Meters
from worker.telemetry.relay import Relay

_LONGEST_LINE = 64 * 1024 * 1024


async def json_lines(descriptor: int) -> AsyncIterator[Any]:
    """Yield what is written until all ends of the pipe are closed, by whoever has them or death.

    Raises:
        ValueError: A line is no JSON.
    """
    reader = asyncio.StreamReader(limit=_LONGEST_LINE)
    with os.fdopen(descriptor, "rb") as pipe:
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), pipe
        )
        try:
            while line := await reader.readline():
                if line.endswith(b"\n"):  # a death may cut the last one
                    yield json.loads(line)
        finally:
            transport.close()


@asynccontextmanager
async def counted(meters: Meters) -> AsyncIterator[int]:
    """Yield the end of a pipe; what a process counts through it (`relayed_to`) is counted here.

    Args:
        meters: Those of this process.
    """
    reading, writing = os.pipe()
    counting = asyncio.create_task(_count(reading, meters))
    try:
        yield writing
    finally:
        os.close(writing)
        await uninterrupted(counting)


async def _count(reading: int, meters: Meters) -> None:
    relay = Relay(meters)
    try:
        with suppress(ValueError):  # not of our making: an agent's code may write there
            async for line in json_lines(reading):
                relay.take(line)
    finally:
        relay.close()
