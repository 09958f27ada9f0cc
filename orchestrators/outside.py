"""The outside world of a run that nothing records: effects at once, consent from the caller."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TypeVar, cast

from envelope.approval import Approval, ApprovalRequest
from envelope.effect import Effect, Gated, Missing, Send, Sent
from envelope.errors import ApprovalExpired, ApprovalRejected, EffectConflict, NotRegistered
from envelope.ports.effects import DeliveryGate, EffectOrigin
from envelope.resources import Resources
from envelope.running import utc_now

T = TypeVar("T")

Approve = Callable[[ApprovalRequest], bool]
"""Says whether the caller of `run_inline` consents to exactly this."""

CALLER = "the caller of run_inline"

_NOT_ALLOWED = Missing(
    rule="run", message="The run may not deliver: pass allow_delivery=True to run_inline."
)
_NOT_APPROVED = Missing(
    rule="approval", message="The caller must approve exactly this: ask with ctx.approve."
)


class DirectDelivery:
    """Implements `Effects` and `DeliveryGate` for one `run_inline`: each key is sent one time.

    Args:
        approve: Asked for consent; None where nobody is to be asked.
    """

    def __init__(self, approve: Approve | None) -> None:
        self._approve = approve
        self._approved: set[str] = set()
        self._sent: dict[str, tuple[str, Sent]] = {}
        self._sending: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def perform(self, origin: EffectOrigin, effect: Effect, send: Send) -> Sent:
        """Send, unless this run has sent under that key."""
        if not origin.allow_delivery:
            raise Gated([_NOT_ALLOWED])
        key = effect.key or origin.idempotency_key
        async with self._sending[key]:
            if key in self._sent:
                return _before(self._sent[key], effect)
            sent = Sent(key=key, receipt=await send(key))
            self._sent[key] = (effect.sha256, sent)
            return sent

    async def look(self, effect: Effect, *, tenant: str, allow_delivery: bool) -> Sequence[Missing]:  # noqa: ARG002 - port
        """Return what is missing: the run's permission, the caller's consent."""
        asks = self._approve is not None and effect.sha256 not in self._approved
        return [
            *([] if allow_delivery else [_NOT_ALLOWED]),
            *([_NOT_APPROVED] if asks else []),
        ]

    def approval_role(self, channel: str) -> str | None:  # noqa: ARG002 - port
        """Return the role of whoever is asked."""
        return None if self._approve is None else CALLER

    def approve(self, slot: str, request: ApprovalRequest) -> Approval:
        """Ask the caller.

        Raises:
            ApprovalRejected: The caller said no.
            ApprovalExpired: There is nobody to be asked.
        """
        if self._approve is None:
            raise ApprovalExpired("Nobody consents here: pass run_inline(approve=…).")
        if not self._approve(request):
            raise ApprovalRejected(f"{CALLER} rejected {request.title or request.channel!r}.")
        self._approved.add(request.sha256)
        now = utc_now().timestamp()
        return Approval(id=slot, sha256=request.sha256, by=CALLER, at=now, expires_at=now)


class WithDelivery(Resources):
    """What the caller provides and, where that has no gate, the one of the run itself."""

    def __init__(self, given: Resources, delivery: DirectDelivery) -> None:
        super().__init__()
        self._given = given
        self._delivery = delivery

    def get(self, kind: type[T]) -> T:
        """Return the one `kind`; see `Resources.get`."""
        try:
            return self._given.get(kind)
        except NotRegistered:
            if kind is DeliveryGate:
                return cast("T", self._delivery)
            raise


def _before(known: tuple[str, Sent], effect: Effect) -> Sent:
    sha256, sent = known
    if sha256 != effect.sha256:
        raise EffectConflict(
            f"Key {sent.key!r} belongs to another effect. Use a new key for a new act."
        )
    return Sent(key=sent.key, receipt=sent.receipt, before=True)
