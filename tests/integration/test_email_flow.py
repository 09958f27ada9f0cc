"""A flow that prepares, then delivers by both channels, to real receivers and without services."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

from pydantic import BaseModel

from agents.email import Mailer
from agents.email.smtp_mailer import SmtpMailer
from agents.webhook import Webhooks
from agents.webhook.http_webhooks import HttpWebhooks
from envelope import Envelope
from envelope.envelope import Status
from envelope.ports.context import RunContext
from envelope.resources import Resources
from orchestrators import orchestrator, run_inline
from tests.services.http_sink import HttpSink
from tests.services.smtp_sink import MailServer

SECRET = "whsec_" + base64.b64encode(b"s" * 32).decode()


class Announcement(BaseModel):
    to: str
    url: str


@orchestrator("test-email-and-webhook", version=1)
async def announce(ctx: RunContext, request: Announcement) -> Envelope:
    draft = {"subject": "Hello", "body": "Hi"}
    orders: list[tuple[str, dict[str, Any]]] = [
        ("email", {"to": request.to, "draft": draft}),
        ("webhook", {"url": request.url, "event": "draft.sent", "payload": draft}),
    ]
    sent = []
    for channel, order in orders:
        prepared = (await ctx.call(f"{channel}_prepare", order)).records[0].data
        done = await ctx.call(str(prepared["agent"]), json.loads(str(prepared["content"])))
        sent.append(done)
    statuses = [{"status": str(done.status)} for done in sent]
    return Envelope.from_records(statuses, source="announce")


async def _announced(allow_delivery: bool) -> tuple[list[Any], int, int]:
    async with MailServer() as mail, HttpSink() as hooks:
        resources = Resources()
        mailer = SmtpMailer(f"smtp://127.0.0.1:{mail.port}", "Firm <sales@firm.example>")
        resources.provide(Mailer, lambda: mailer)  # type: ignore[type-abstract] # a port
        resources.provide(Webhooks, lambda: HttpWebhooks(SECRET, private=True))  # type: ignore[type-abstract] # a port
        made = await run_inline(
            announce,
            {"to": "Ada@Example.com", "url": f"http://127.0.0.1:{hooks.port}/"},
            resources=resources,
            allow_delivery=allow_delivery,
        )
        statuses = [record.data["status"] for record in made.records]
        return statuses, len(mail.taken), len(hooks.requests)


def test_both_channels_deliver_what_was_prepared() -> None:
    assert asyncio.run(_announced(allow_delivery=True)) == ([Status.SUCCESS] * 2, 1, 1)


def test_nothing_leaves_without_leave() -> None:
    assert asyncio.run(_announced(allow_delivery=False)) == ([Status.GATED] * 2, 0, 0)
