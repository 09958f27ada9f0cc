"""A campaign of the demo: one run per lead, found again by its tags."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from control.async_client import AsyncMuster
from control.demo.progress import Stand
from control.worker_process import WorkerProcess
from envelope.canonical import content_hash
from envelope.ids import new_id
from envelope.ports.journal_rows import TERMINAL_STATES, Run, RunState

FLOW = "lead"
CAMPAIGN_TAG = "campaign"
_WORK_TAG = "demo"
_LOOK_SECONDS = 0.3
_ACTIVE = tuple(state for state in RunState if state not in TERMINAL_STATES)
_UNHAPPY = (RunState.FAILED, RunState.CANCELLED, RunState.DEAD)


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """What is to be done, under which name, and what of it the journal had when we came.

    Attributes:
        name: Its id, which every run carries as a tag.
        work: Hash of all payloads; the same work is the same campaign continued.
        payloads: One per run, in order.
        accepted: Runs that the journal has.
        ended: Of these, those that have ended.
    """

    name: str
    work: str
    payloads: Sequence[Mapping[str, Any]]
    accepted: int = 0
    ended: int = 0

    @property
    def total(self) -> int:
        """How many runs it has."""
        return len(self.payloads)

    @property
    def unfinished(self) -> bool:
        """Whether something was begun and is left to do."""
        return bool(self.accepted) and self.ended < self.total

    @property
    def tags(self) -> dict[str, str]:
        """What its runs are found by."""
        return {CAMPAIGN_TAG: self.name, _WORK_TAG: self.work}


def new_campaign(payloads: Sequence[Mapping[str, Any]]) -> Campaign:
    """Return a campaign that nothing was done of."""
    return Campaign(name=f"demo-{new_id()[-12:]}", work=_hash(payloads), payloads=payloads)


async def last_campaign(
    client: AsyncMuster, payloads: Sequence[Mapping[str, Any]]
) -> Campaign | None:
    """Return the newest campaign with the very same payloads."""
    work = _hash(payloads)
    newest = await client.runs(flow=FLOW, tags={_WORK_TAG: work}, limit=1)
    if not newest:
        return None
    name = newest[0].tags[CAMPAIGN_TAG]
    states = [run.state async for run in client.every_run(tags={CAMPAIGN_TAG: name})]
    ended = sum(state in TERMINAL_STATES for state in states)
    return Campaign(name=name, work=work, payloads=payloads, accepted=len(states), ended=ended)


async def accept(client: AsyncMuster, campaign: Campaign) -> int:
    """Accept what the journal does not have yet; return how many runs that made.

    The key of each run names campaign and row, so that doing it twice changes nothing.
    """
    manager = await client.manager()
    runs = await manager.ingest_many(
        {
            "flow": FLOW,
            # The campaign's name keeps its drafts apart from those of the one before.
            "payload": {**payload, "campaign": campaign.name},
            "source": "demo",
            "user": "demo",
            # Runs of one thread wait for each other.
            "thread": str(payload["symbol"] or payload["company"]),
            "key": f"{campaign.name}:{number}",
            "tags": campaign.tags,
        }
        for number, payload in enumerate(campaign.payloads, start=1)
    )
    return sum(1 for run in runs if run.receipt is not None and run.receipt.created)


async def follow(
    client: AsyncMuster,
    campaign: Campaign,
    steps: Sequence[str],
    worker: WorkerProcess,
    tell: Callable[[Stand], None],
) -> None:
    """Tell how far the campaign is until every run has ended.

    Raises:
        WorkerDied: The worker ended before that.
    """
    while True:
        stand = await _stand(client, campaign, steps)
        tell(stand)
        if stand.ended == stand.total:
            return
        worker.check()
        await asyncio.sleep(_LOOK_SECONDS)


async def all_runs(client: AsyncMuster, campaign: Campaign) -> list[Run]:
    """Return the campaign's runs in the order in which they were accepted."""
    found = [run async for run in client.every_run(tags={CAMPAIGN_TAG: campaign.name})]
    return sorted(found, key=_row_of)


async def _stand(client: AsyncMuster, campaign: Campaign, steps: Sequence[str]) -> Stand:
    """Runs that succeeded did every step: only the others are read, and they get fewer."""
    tags = {CAMPAIGN_TAG: campaign.name}
    active = [run async for run in client.every_run(tags=tags, states=_ACTIVE)]
    unhappy = [run async for run in client.every_run(tags=tags, states=_UNHAPPY)]
    succeeded = campaign.total - len(active) - len(unhappy)
    others = [run.steps_done for run in (*active, *unhappy)]
    return Stand(
        total=campaign.total,
        ended=campaign.total - len(active),
        failed=len(unhappy),
        steps={
            name: succeeded + sum(done > place for done in others)
            for place, name in enumerate(steps)
        },
    )


def _row_of(run: Run) -> int:
    return int((run.key or "0").rpartition(":")[2])


def _hash(payloads: Sequence[Mapping[str, Any]]) -> str:
    return content_hash([dict(payload) for payload in payloads])[:16]
