"""The `webhook` agents: one makes what can be approved, the other sends it."""

from __future__ import annotations

from agents.registry import agent
from agents.retries import RetryPolicy
from agents.webhook.port import Webhooks
from agents.webhook.request import CHANNEL, WebhookRequest
from agents.webhook.signing import webhook_id
from envelope.effect import Receipt
from envelope.envelope import Envelope
from envelope.ports.context import AgentContext
from envelope.record import Record


@agent("webhook_prepare", concurrency=64, inline=True, timeout=30)
async def webhook_prepare(ctx: AgentContext, request: WebhookRequest) -> Envelope:
    """Return one record that says exactly what `webhook` would send; nothing is sent."""
    ctx.resource(Webhooks).check(request)  # type: ignore[type-abstract] # a port is asked for by its Protocol
    effect = request.effect
    prepared = {
        "agent": CHANNEL,
        "channel": effect.channel,
        "recipients": list(effect.recipients),
        "content": effect.content,
        "sha256": effect.sha256,
        "title": effect.title,
    }
    return Envelope.from_records([prepared], source="webhook_prepare")


@agent(
    "webhook",
    concurrency=16,
    timeout=60,
    retries=RetryPolicy(attempts=5, base_seconds=1.0, cap_seconds=60.0),
)
async def webhook(ctx: AgentContext, request: WebhookRequest) -> Envelope:
    """Send a signed webhook through the gate and the ledger.

    What was cut off is sent again under the same `webhook-id`, by which the receiver deduplicates.
    """
    webhooks = ctx.resource(Webhooks)  # type: ignore[type-abstract] # a port is asked for by its Protocol
    webhooks.check(request)
    if ctx.allow_delivery:
        webhooks.ready()  # known before an approval is used up

    async def send(key: str) -> Receipt:
        return await webhooks.post(request, webhook_id(ctx.tenant, key))

    effect = request.effect
    sent = await ctx.effect(effect, send)
    receipt = {
        "channel": effect.channel,
        "recipients": list(effect.recipients),
        "sha256": effect.sha256,
        "key": sent.key,
        "sent_before": sent.before,
        "receipt": dict(sent.receipt),
    }
    return Envelope.from_records(
        [Record.of(receipt, source="webhook", row_id=sent.key)], source="webhook"
    )
