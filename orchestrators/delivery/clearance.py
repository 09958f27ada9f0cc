"""Everything that must be given before a prepared effect may be sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Literal

from envelope.approval import ApprovalRequest
from envelope.effect import Gated, Missing
from envelope.errors import ApprovalExpired
from envelope.ports.context import RunContext
from envelope.ports.effects import DeliveryGate
from orchestrators.delivery.prepared import Prepared

_QUIET, _APPROVAL = "quiet_hours", "approval"
_APPROVER = "approver"


async def clear(ctx: RunContext, prepared: Prepared, on_quiet: Literal["wait", "gate"]) -> None:
    """Return when nothing is missing: a person has approved, quiet hours are over.

    Consent is asked for first: it may be given while the quiet hours last.

    Raises:
        Gated: What is missing comes neither with time nor by consent.
        ApprovalRejected: A person said no.
        ApprovalExpired: Nobody decided in time, or the consent lapsed during the quiet hours.
    """
    asked = False
    while missing := await _look(ctx, prepared):
        if not may_come(missing, on_quiet):
            raise Gated(missing)
        if not any(each.rule == _APPROVAL for each in missing):
            await _sleep_until(ctx, missing)
        elif asked:
            raise ApprovalExpired("The consent was given, but lapsed before it could be used.")
        else:
            await ctx.approve(await _request(ctx, prepared))
            asked = True


def may_come(missing: Sequence[Missing], on_quiet: Literal["wait", "gate"]) -> bool:
    """Whether all that is missing comes with time or by consent."""
    waited_for = {_APPROVAL, _QUIET} if on_quiet == "wait" else {_APPROVAL}
    return all(each.rule in waited_for for each in missing)


def only_quiet(missing: Sequence[Missing]) -> bool:
    """Whether nothing but the hour is wrong."""
    return all(each.rule == _QUIET for each in missing)


async def _look(ctx: RunContext, prepared: Prepared) -> list[Missing]:
    gate = ctx.resource(DeliveryGate)  # type: ignore[type-abstract] # a port is asked for by its Protocol

    async def look() -> list[dict[str, Any]]:
        found = await gate.look(
            prepared.effect, tenant=ctx.tenant, allow_delivery=ctx.allow_delivery
        )
        return [asdict(each) for each in found]

    return [Missing(**each) for each in await ctx.once(look)]


async def _request(ctx: RunContext, prepared: Prepared) -> ApprovalRequest:
    gate = ctx.resource(DeliveryGate)  # type: ignore[type-abstract] # as above

    async def role() -> str | None:
        return gate.approval_role(prepared.channel)

    return ApprovalRequest(
        channel=prepared.channel,
        content=prepared.content,
        title=prepared.title,
        role=await ctx.once(role) or _APPROVER,
    )


async def _sleep_until(ctx: RunContext, missing: Sequence[Missing]) -> None:
    until = max(each.until or 0.0 for each in missing)
    await ctx.sleep(max(0.0, until - ctx.now().timestamp()))
