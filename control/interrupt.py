"""Turns signals into the cancellation of the running task, so that everything closes in order."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def cancelled_by(*signals: signal.Signals) -> Iterator[list[signal.Signals]]:
    """Cancel the current task at the first of `signals`; the list yielded then names it.

    Further signals do their usual work, so a second Ctrl-C does not wait for anything.
    """
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    received: list[signal.Signals] = []

    def interrupt(number: signal.Signals) -> None:
        received.append(number)
        restore()
        if task is not None:
            task.cancel()

    def restore() -> None:
        for number in signals:
            loop.remove_signal_handler(number)

    for number in signals:
        loop.add_signal_handler(number, interrupt, number)
    try:
        yield received
    finally:
        restore()
