"""DBOS in one process: workflows and steps are executed and committed right here."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time

from dbos import DBOS

from benchmarks.programs.serving import serve

URL_VARIABLE = "BENCH_DATABASE_URL"
_SQLITE = "sqlite:///"


@DBOS.step()
def noop(number: int) -> int:
    """Do nothing."""
    return number


@DBOS.step()
async def noop_async(number: int) -> int:
    """Do nothing."""
    return number


@DBOS.workflow()
def chain(steps: int) -> int:
    """So many steps, one after the other, in a thread."""
    made = 0
    for number in range(steps):
        made = noop(number)
    return made


@DBOS.workflow()
async def fan(width: int) -> int:
    """One step, then `width` at once, then one; on the event loop, as threads do not fan out."""
    await noop_async(0)
    made = await asyncio.gather(*(noop_async(number) for number in range(width)))
    return await noop_async(len(made))


async def measure_chain(steps: int, count: int) -> float:
    """Execute so many workflows at once and return the seconds until all are committed."""
    begun = time.perf_counter()
    await asyncio.to_thread(_chains, steps, count)
    return time.perf_counter() - begun


async def measure_fan(width: int, count: int) -> float:
    """Execute so many workflows at once and return the seconds until all are committed."""
    begun = time.perf_counter()
    starting = (DBOS.start_workflow_async(fan, width) for _ in range(count))
    handles = await asyncio.gather(*starting)
    await asyncio.gather(*(handle.get_result() for handle in handles))
    return time.perf_counter() - begun


def _chains(steps: int, count: int) -> None:
    for handle in [DBOS.start_workflow(chain, steps) for _ in range(count)]:
        handle.get_result()


def _prepare(url: str) -> None:
    """Give it the file mode that Muster uses, which is the faster one; it stays in the file."""
    if url.startswith(_SQLITE):
        with sqlite3.connect(url.removeprefix(_SQLITE)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")


def _main() -> None:
    url = os.environ[URL_VARIABLE]
    _prepare(url)
    DBOS(
        config={
            "name": "bench",
            "system_database_url": url,
            "log_level": "ERROR",
        }
    )
    DBOS.launch()
    try:
        asyncio.run(serve({"chain": measure_chain, "fan": measure_fan}))
    finally:
        DBOS.destroy()


if __name__ == "__main__":
    _main()
