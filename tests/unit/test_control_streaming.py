"""Pieces of text reach whoever watches, and end with the run."""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic import BaseModel

from agents import agent
from control.async_manager import AsyncCampaignManager
from control.streaming import Piece
from envelope import Envelope
from envelope.ports.journal_rows import RunFilter
from orchestrators import orchestrator


class Text(BaseModel):
    words: list[str]


@agent("streaming-speaker", inline=True)
async def speaker(ctx: Any, request: Text) -> Envelope:
    """Say the words one by one, once somebody listens."""
    for word in request.words:
        ctx.stream(word)
        await asyncio.sleep(0.01)
    return Envelope.from_records([{"said": len(request.words)}], source="speaker")


@orchestrator("streaming-speech")
async def speech(ctx: Any, request: Text) -> Envelope:
    """Wait until somebody listens, then speak."""
    await ctx.wait_for("listening")
    return await ctx.call("streaming-speaker", request)


def test_pieces_come_in_order_with_equal_ones_and_end_with_the_run() -> None:
    async def scenario() -> list[Piece]:
        async with await AsyncCampaignManager.in_process() as manager:
            event = {"flow": "streaming-speech", "payload": {"words": ["a", "b", "b", "c"]}}
            ingesting = asyncio.create_task(manager.ingest_event(event))
            while not (found := await manager.backend.journal.runs(RunFilter())):
                await asyncio.sleep(0)
            run = manager.handle(found[0].run_id)
            pieces: list[Piece] = []
            stream = run.stream()
            first = asyncio.ensure_future(anext(stream))
            await asyncio.sleep(0)
            await run.signal("listening")
            pieces.append(await first)
            pieces += [piece async for piece in stream]
            await ingesting
            return pieces

    pieces = asyncio.run(scenario())
    assert [piece.text for piece in pieces] == ["a", "b", "b", "c"]
    assert [piece.piece for piece in pieces] == [1, 2, 3, 4]
