"""What an isolated process counts, told to the worker that watches it and counted there.

Each fact is one line, written at once: what a process had done before it died is counted all the
same. A pipe that is full, because its worker is busy, costs facts and holds up nobody.
"""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from select import PIPE_BUF
from typing import Any

from envelope.usage import Usage
from worker.telemetry.meters import Meters

FACTS = frozenset(name for name, _ in inspect.getmembers(Meters, inspect.isfunction))
"""The methods of `Meters`."""

_HELD = "run_held"


def relayed_to(descriptor: int) -> Meters:
    """Return meters that write to a pipe what they are told.

    Args:
        descriptor: The pipe's end for writing; it no longer blocks.
    """
    os.set_blocking(descriptor, False)

    def fact(name: str) -> Callable[..., None]:
        def tell(_meters: Meters, *args: Any, **named: Any) -> None:
            line = json.dumps([name, args, named], default=_plain).encode() + b"\n"
            if len(line) <= PIPE_BUF:  # so long it is written whole or not at all
                with suppress(OSError):  # the pipe is full, or its worker is gone
                    os.write(descriptor, line)

        return tell

    made: Meters = type("RelayedMeters", (Meters,), {name: fact(name) for name in FACTS})()
    return made


class Relay:
    """Counts what an isolated process tells.

    Args:
        meters: Those of the worker.
    """

    def __init__(self, meters: Meters) -> None:
        self._meters = meters
        self._held = 0

    def take(self, line: Any) -> None:
        """Count a fact; what is none is dropped, for an agent's code may have written it."""
        match line:
            case [str(name), [*args], dict(named)] if name in FACTS:
                with suppress(TypeError, ValueError):
                    getattr(self._meters, name)(*map(_read, args), **named)
                    self._held += args[0] if name == _HELD else 0

    def close(self) -> None:
        """Give up the runs that the process held: it has ended."""
        self._meters.run_held(-self._held)


def _plain(value: object) -> object:
    if isinstance(value, Usage):
        return value.model_dump()
    return list(value) if isinstance(value, Iterable) else str(value)


def _read(value: Any) -> Any:
    return Usage.model_validate(value) if isinstance(value, dict) else value
