"""`muster dev`: everything that development needs, in one terminal."""

from __future__ import annotations

import asyncio
import os
import signal

import click
from rich.markup import escape

from control.cli.logs import quiet_logs
from control.cli.terminal import side_console
from control.interrupt import cancelled_by
from control.worker_process import WorkerDied, WorkerProcess
from worker.backend import Backend
from worker.redaction import mask_url
from worker.settings import Settings


@click.command()
@click.option("-c", "--concurrency", type=click.IntRange(1), help="Runs and steps at once.")
@click.option("-Q", "--queues", help="Queues to consume, by default all.")
def dev(concurrency: int | None, queues: str | None) -> None:
    """Run a worker here, with an embedded Redis and SQLite where no URL is set. Ctrl-C ends it.

    Other terminals with the same MUSTER_HOME share all of it: try `muster enqueue`.
    """
    flags = ["--loglevel", "INFO"]
    if concurrency:
        flags += ["-c", str(concurrency)]
    if queues:
        flags += ["-Q", queues]
    settings = Settings.load()
    quiet_logs(settings)
    asyncio.run(_develop(settings, flags))


async def _develop(settings: Settings, flags: list[str]) -> None:
    backend = await Backend.open(settings)
    worker = WorkerProcess(os.environ)
    try:
        _announce(settings, backend)
        with cancelled_by(signal.SIGINT, signal.SIGTERM) as interrupted:
            try:
                await worker.start(*flags)
                code = await worker.wait()
                raise WorkerDied(f"The worker ended with exit code {code}; see above.")
            except asyncio.CancelledError:
                if not interrupted:
                    raise
                side_console().print("\nStopping: runs under way are given back …")
    finally:
        await worker.stop()
        await backend.close()


def _announce(settings: Settings, backend: Backend) -> None:
    redis = backend.redis.url if backend.redis is not None else ""
    console = side_console()
    console.print("[bold]Muster for development[/]  (Ctrl-C ends it)")
    console.print(f"  home     {escape(str(settings.home))}")
    console.print(f"  Redis    {escape(mask_url(redis))}")
    console.print(f"  journal  {escape(mask_url(settings.journal_url))}")
    console.print("  try      [bold]muster runs list[/] in another terminal\n")
