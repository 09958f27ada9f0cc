"""Everything that must be given before a prepared effect may be sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from itertools import count
from typing import Any, Literal

from envelope.approval import ApprovalRequest
from envelope.effect import Gated, Missing
from envelope.errors import ApprovalExpired
from envelope.ports.context import RunContext
from envelope.ports.effects import DeliveryGate
from orchestrators.delivery.prepared import Prepared
from orchestrators.flow.places import within

_QUIET, _APPROVAL = "quiet_hours", "approval"
_APPROVER = "approver"
_SHORTEST_NAP_SECONDS = 1.0
"""The flow's clock may be ahead of the gate's: it looks again, but not in a rush."""


async def clear(ctx: RunContext, prepared: Prepared, on_quiet: Literal["wait", "gate"]) -> None:
    """Return when nothing is missing: a person has approved, quiet hours are over.

    Consent is asked for first: it may be given while the quiet hours last. Each look, question and
    nap has a place of its own, so that a run that repeats another may take another way.

    Raises:
        Gated: What is missing comes neither with time nor by consent.
        ApprovalRejected: A person said no.
        ApprovalExpired: Nobody decided in time, or the consent lapsed during the quiet hours.
    """
    asked = False
    for number in count(1):
        verdict = await within(ctx, f"look {number}", partial(_look, ctx, prepared))
        missing = [Missing(**each) for each in verdict["missing"]]
        if verdict["run_id"] != ctx.run_id:
            continue  # told to the run that this one repeats; meanwhile all may be different
        if not missing:
            return
        if not may_come(missing, on_quiet):
            raise Gated(missing)
        if not any(each.rule == _APPROVAL for each in missing):
            await within(ctx, f"nap {number}", partial(_sleep_until, ctx, missing))
        elif asked:
            raise ApprovalExpired("The consent was given, but lapsed before it could be used.")
        else:
            await within(ctx, f"ask {number}", partial(_ask, ctx, prepared))
            asked = True


async def answered_this_run(ctx: RunContext) -> bool:
    """Whether a gated step is this run's own, not taken over from a run that it repeats.

    To be asked right after the step, in a place of its own.
    """

    async def run_id() -> str:
        return ctx.run_id

    return bool(await ctx.once(run_id) == ctx.run_id)


def may_come(missing: Sequence[Missing], on_quiet: Literal["wait", "gate"]) -> bool:
    """Whether all that is missing comes with time or by consent."""
    waited_for = {_APPROVAL, _QUIET} if on_quiet == "wait" else {_APPROVAL}
    return all(each.rule in waited_for for each in missing)


def only_quiet(missing: Sequence[Missing]) -> bool:
    """Whether nothing but the hour is wrong."""
    return all(each.rule == _QUIET for each in missing)


async def _look(ctx: RunContext, prepared: Prepared) -> dict[str, Any]:
    gate = ctx.resource(DeliveryGate)  # type: ignore[type-abstract] # a port is asked for by its Protocol

    async def look() -> dict[str, Any]:
        found = await gate.look(
            prepared.effect, tenant=ctx.tenant, allow_delivery=ctx.allow_delivery
        )
        return {"run_id": ctx.run_id, "missing": [asdict(each) for each in found]}

    verdict: dict[str, Any] = await ctx.once(look)
    return verdict


async def _ask(ctx: RunContext, prepared: Prepared) -> None:
    gate = ctx.resource(DeliveryGate)  # type: ignore[type-abstract] # as above

    async def role() -> str | None:
        return gate.approval_role(prepared.channel)

    request = ApprovalRequest(
        channel=prepared.channel,
        content=prepared.content,
        title=prepared.title,
        role=await ctx.once(role) or _APPROVER,
    )
    await ctx.approve(request)


async def _sleep_until(ctx: RunContext, missing: Sequence[Missing]) -> None:
    until = max(each.until or 0.0 for each in missing)
    await ctx.sleep(max(_SHORTEST_NAP_SECONDS, until - ctx.now().timestamp()))
