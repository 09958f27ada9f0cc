"""The demo's delivery: one draft → a person's consent → the demo's own mail server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from rich.console import Console

from control.async_client import AsyncMuster
from control.async_run import AsyncRun
from control.demo.delivery_view import (
    print_begun,
    print_decided,
    print_declined,
    print_left_open,
    print_not_sent,
    print_question,
    print_received,
    print_sent_before,
    print_traces,
)
from control.demo.letter import Letter
from control.demo.mail_sink import MailSink
from control.demo.options import Deliver, DemoOptions
from control.lineage import read_lineage
from control.outcome import failure_of, has_ended
from control.worker_process import WorkerProcess
from envelope.approval import ApprovalState
from envelope.envelope import Envelope
from envelope.errors import ApprovalRefused, ApprovalRejected
from envelope.ports.journal_rows import TERMINAL_STATES, Run, RunState
from envelope.ports.ledger import ApprovalRow, EffectRow

FLOW = "delivery"
_USER = "muster-demo"
_DRAFT_TAG = "delivers"
_ACTIVE = tuple(state for state in RunState if state not in TERMINAL_STATES)
_LOOK_SECONDS = 0.1

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What a delivery needs: who sends, who receives, who is asked, who is told."""

    client: AsyncMuster
    worker: WorkerProcess
    sink: MailSink
    console: Console
    prefix: str
    options: DemoOptions
    deliver: Deliver


async def deliver(desk: Desk, letter: Letter) -> bool:
    """Send a draft, once a person has consented; return whether nothing went wrong.

    That nobody decides, or decides against it, is not wrong.

    Raises:
        WorkerDied: The worker ended before the run did.
    """
    run = await _run(desk, letter)
    asked = await _question(desk, run)
    if asked is not None and not await _answered(desk, asked):
        print_left_open(desk.console, desk.prefix, asked, desk.options.delivery_command)
        return True
    return await _told(desk, await _end(desk, run))


async def _run(desk: Desk, letter: Letter) -> AsyncRun:
    """Go on with a delivery of this draft that is under way, or begin one."""
    tags = {_DRAFT_TAG: letter.draft}
    under_way = await desk.client.runs(flow=FLOW, states=_ACTIVE, tags=tags, limit=1)
    if under_way:
        run = await desk.client.get(under_way[0].run_id)
    else:
        run = await desk.client.enqueue(
            FLOW,
            {"drafts": [{"run_id": letter.run_id, "record_id": letter.draft, "to": letter.to}]},
            user=_USER,
            tags=tags,
            allow_delivery=True,
            source="demo",
        )
    print_begun(desk.console, letter, run.id, continued=bool(under_way))
    return run


async def _question(desk: Desk, run: AsyncRun) -> ApprovalRow | None:
    """Return what the run asks a person; None where it ends without that."""

    async def look() -> tuple[ApprovalRow | None] | None:
        row = await run.row()
        if has_ended(row):
            return (None,)
        pending = await desk.client.approvals.list(state=ApprovalState.PENDING, run=run.id, limit=1)
        return (pending[0],) if pending and row.state is RunState.WAITING else None

    return (await _until(desk, look))[0]


async def _answered(desk: Desk, asked: ApprovalRow) -> bool:
    """Show exactly what would be sent and ask; return whether somebody has decided."""
    print_question(desk.console, asked)
    answer = await _answer(desk)
    if answer is None:
        return False
    approvals, by = desk.client.approvals, desk.deliver.by
    try:
        if answer:
            sha256 = asked.content_sha256
            decided = await approvals.approve(asked.approval_id, by=by, sha256=sha256)
        else:
            decided = await approvals.reject(asked.approval_id, by=by)
    except ApprovalRefused:
        decided = await approvals.show(asked.approval_id)
        if decided.state is ApprovalState.PENDING:
            raise  # otherwise somebody else was faster, and that counts
    print_decided(desk.console, decided)
    return True


async def _answer(desk: Desk) -> bool | None:
    if desk.deliver.yes:
        return True
    ask = desk.options.ask
    return None if ask is None else await ask("Send exactly this?", False)


async def _end(desk: Desk, run: AsyncRun) -> Run:
    async def look() -> Run | None:
        row = await run.row()
        return row if has_ended(row) else None

    return await _until(desk, look)


async def _told(desk: Desk, run: Run) -> bool:
    made = Envelope.from_json(run.envelope, max_bytes=None) if run.envelope else None
    if made is None or not made.records:
        return _told_why_not(desk, run, made)
    record, journal = made.records[0], (await desk.client.manager()).backend.journal
    effect = await desk.client.effects.show(str(record.data["key"]))
    mail = desk.sink.received(effect.receipt.get("message_id"))
    if mail is not None:
        print_received(desk.console, mail)
    elif record.data["sent_before"]:
        print_sent_before(desk.console, effect)
    ancestry = (await read_lineage(journal, run)).ancestry(record.id)
    print_traces(desk.console, effect, ancestry, desk.prefix, _next(desk, run, effect))
    return True


def _next(desk: Desk, run: Run, effect: EffectRow) -> dict[str, str]:
    again = desk.options.delivery_command
    return {
        f"muster runs show {run.run_id}": "steps and events of the delivery",
        f"muster runs explain {run.run_id}": "its lineage",
        f"muster effects list --run {effect.run_id}": "what was done to the outside world",
        f"muster approvals show {effect.approval_id}": "who consented to exactly what",
        again: "does not send it again",
        f"{again} --new": "a new campaign, and a draft of it",
    }


def _told_why_not(desk: Desk, run: Run, made: Envelope | None) -> bool:
    failure = (made.error if made else None) or failure_of(run)
    if failure is not None and failure.code == ApprovalRejected.code:
        print_declined(desk.console, run, received=len(desk.sink.taken))
        return True
    print_not_sent(desk.console, run, failure)
    return False


async def _until(desk: Desk, look: Callable[[], Awaitable[T | None]]) -> T:
    while (found := await look()) is None:
        desk.worker.check()
        await asyncio.sleep(_LOOK_SECONDS)
    return found
