"""Pieces of text as agents produce them: for people who watch, not for the record."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass

from envelope.ports.wakeup import Wakeups
from worker.engine.notices import STREAM


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A piece of text of a step, by its number within the step's attempt. Some may be missing."""

    step: str
    piece: int
    text: str


class Stream:
    """Yields the pieces of one run from now on.

    Args:
        wakeups: Carry the pieces.
        run_id: The run.
    """

    def __init__(self, wakeups: Wakeups, run_id: str) -> None:
        self._notices = wakeups.listen(f"{run_id}.{STREAM}")

    async def pieces(self, ended: asyncio.Task[object]) -> AsyncIterator[Piece]:
        """Yield pieces until the run has ended."""
        nearest: asyncio.Task[str] | None = None
        try:
            while not ended.done():
                nearest = nearest or asyncio.ensure_future(anext(self._notices))
                await asyncio.wait({nearest, ended}, return_when=asyncio.FIRST_COMPLETED)
                if nearest.done():
                    notice, nearest = nearest.result(), None
                    if notice:
                        yield Piece(**json.loads(notice))
        finally:
            if nearest is not None:
                nearest.cancel()
                await asyncio.gather(nearest, return_exceptions=True)
