"""Turns signals into the cancellation of the running task, so that everything closes in order."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

_ECHO_SECONDS = 1.0


@contextmanager
def cancelled_by(*signals: signal.Signals) -> Iterator[list[signal.Signals]]:
    """Cancel the current task at the first of `signals`; the list yielded then names it.

    A signal often comes twice: to the process, and to its group by whatever started it. Only a
    Ctrl-C that comes more than a second after the first is meant as impatience, and ends at once.
    """
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    received: list[signal.Signals] = []
    first_at = 0.0

    def interrupt(number: signal.Signals) -> None:
        nonlocal first_at
        if not received:
            first_at = time.monotonic()
            received.append(number)
            if task is not None:
                task.cancel()
        elif number is signal.SIGINT and time.monotonic() - first_at > _ECHO_SECONDS:
            loop.remove_signal_handler(number)
            signal.raise_signal(number)

    for number in signals:
        loop.add_signal_handler(number, interrupt, number)
    try:
        yield received
    finally:
        for number in signals:
            loop.remove_signal_handler(number)
