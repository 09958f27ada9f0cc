"""A flow of the rig that reaches the outside world: it writes a draft and has it delivered."""

from __future__ import annotations

import os
from typing import Any

from pydantic import BaseModel

import agents.builtin  # noqa: F401  # registers the channels
import orchestrators.builtin  # noqa: F401  # registers the flow `delivery`
from agents import agent
from envelope import Envelope
from orchestrators import orchestrator
from tests.rig.faults.agents import PATIENT, Work, traced

SINK_VARIABLE = "MUSTER_TEST_WEBHOOK_SINK"
"""Names the webhook sink's URL, to which the path in `Delivery.to` leads."""

HOOKS = "/hook/"


class Delivery(BaseModel):
    """What a run of `rig-deliver` wants to send.

    Attributes:
        name: The subject; tells runs apart.
        channel: `email` or `webhook`.
        to: An address, or a path of the webhook sink.
        secret: A canary.
    """

    name: str
    channel: str
    to: str
    secret: str = ""


class Wanted(Work):
    """What the draft says."""

    subject: str


@agent("rig-drafter", inline=True, retries=PATIENT)
async def drafter(ctx: Any, request: Wanted) -> Envelope:
    """Write a draft as the copywriter would."""
    with traced(ctx, request):
        body = "Dear reader,\n\nthis is the text.\n\nYours, the rig"
        return Envelope.from_records([{"subject": request.subject, "body": body}], source="rig")


@orchestrator("rig-deliver")
async def deliver(ctx: Any, request: Delivery) -> Envelope:
    """Write, then have the flow `delivery` send what was written."""
    wanted = Wanted(subject=request.name, secret=request.secret)
    written = await ctx.call("rig-drafter", wanted, key="draft")
    to = _url(request.to) if request.channel == "webhook" else request.to
    draft = {"run_id": ctx.run_id, "record_id": written.records[0].id, "to": to}
    return await ctx.child("delivery", {"drafts": [draft], "channel": request.channel})


def _url(path: str) -> str:
    return os.environ[SINK_VARIABLE].removesuffix("/hook") + path
