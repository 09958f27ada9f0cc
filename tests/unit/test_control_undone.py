"""A run that undid its work is repeated from its beginning."""

from __future__ import annotations

import asyncio

import pytest

from control.async_manager import AsyncCampaignManager
from control.replay import replay_run
from envelope.errors import InvalidInput
from envelope.ports.journal_rows import RunFilter, RunState
from tests.rig.flows import CALLS, GATES, reset
from tests.rig.waiting_flows import undoing

FLOW = undoing


def test_what_was_undone_is_done_again() -> None:
    reset()

    async def scenario() -> None:
        async with await AsyncCampaignManager.in_process() as manager:
            ingesting = asyncio.create_task(
                manager.ingest_event({"flow": "undoing", "payload": {"text": "x"}})
            )
            while not CALLS["pay"]:
                await asyncio.sleep(0.005)
            first = (await manager.backend.journal.runs(RunFilter()))[0]
            GATES["unbook"].set()
            run = manager.handle(first.run_id)
            await run.cancel("no")
            assert (await run.ended()).state is RunState.CANCELLED
            await ingesting
            with pytest.raises(InvalidInput, match="from scratch"):
                await replay_run(manager, await run.row(), from_step="pay")
            GATES["pay"].set()
            again = await replay_run(manager, await run.row())
            assert await again.status() is RunState.SUCCEEDED
            assert CALLS["book"] == 2

    asyncio.run(scenario())
    reset()
