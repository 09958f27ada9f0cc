"""The `email` agents: one makes what can be approved, the other sends it."""

from __future__ import annotations

from datetime import UTC, datetime

from agents.email.html import html_of
from agents.email.message import outgoing_mail
from agents.email.port import Mailer
from agents.email.request import CHANNEL, EmailPrepareRequest, EmailRequest
from agents.registry import agent
from agents.retries import RetryPolicy
from envelope.canonical import canonical_json
from envelope.effect import Receipt
from envelope.envelope import Envelope
from envelope.errors import InvalidInput
from envelope.ports.context import AgentContext
from envelope.record import Record
from envelope.signature import from_canonical


@agent("email_prepare", concurrency=64, inline=True, timeout=30)
async def email_prepare(ctx: AgentContext, request: EmailPrepareRequest) -> Envelope:
    """Return one record that says exactly what `email` would send; nothing is sent."""
    mailer = ctx.resource(Mailer)  # type: ignore[type-abstract] # a port is asked for by its Protocol
    effect = _full(request, mailer.default_sender).effect
    prepared = {
        "agent": CHANNEL,
        "channel": effect.channel,
        "recipients": list(effect.recipients),
        "content": effect.content,
        "sha256": effect.sha256,
        "title": effect.title,
    }
    return Envelope.from_records([prepared], source="email_prepare")


# A step keeps its permit between attempts: longer patience is the mail server's own queue's task.
@agent(
    "email",
    concurrency=4,
    timeout=180,
    retries=RetryPolicy(attempts=6, base_seconds=5.0, cap_seconds=80.0),
)
async def email(ctx: AgentContext, request: EmailRequest) -> Envelope:
    """Send an e-mail to one person through the gate and the ledger, with at most one DATA a key."""
    mailer = ctx.resource(Mailer)  # type: ignore[type-abstract] # a port is asked for by its Protocol
    if ctx.allow_delivery:
        mailer.ready()  # known before an approval is used up

    async def send(key: str) -> Receipt:
        mail = outgoing_mail(request, tenant=ctx.tenant, key=key, at=datetime.now(UTC))
        return await mailer.deliver(mail, key)

    effect = request.effect
    sent = await ctx.effect(effect, send)
    receipt = {
        "channel": effect.channel,
        "recipients": list(effect.recipients),
        "subject": request.subject,
        "sha256": effect.sha256,
        "key": sent.key,
        "sent_before": sent.before,
        "receipt": dict(sent.receipt),
    }
    return Envelope.from_records(
        [Record.of(receipt, source="email", row_id=sent.key)], source="email"
    )


def _full(request: EmailPrepareRequest, default_sender: str | None) -> EmailRequest:
    sender = request.sender or default_sender
    if sender is None:
        raise InvalidInput("The e-mail names no sender. Give one, or set MUSTER_MAIL_FROM.")
    shared = request.model_dump(mode="json", exclude={"draft", "sender", "html"})
    full = {
        **shared,
        "sender": sender,
        "subject": request.draft.subject,
        "text": request.draft.body,
        "html": html_of(request.draft.body) if request.html else None,
    }
    made = from_canonical(canonical_json(full), EmailRequest)
    assert isinstance(made, EmailRequest)  # noqa: S101 - for the type checker
    return made
