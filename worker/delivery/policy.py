"""The rules for effects, as the settings say them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Self

from envelope.effect import Effect, Missing
from envelope.ports.ledger import FrequencyCap
from worker.delivery.approvers import APPROVER, Approvers
from worker.delivery.frequency import parse_cap
from worker.delivery.quiet_hours import QuietHours
from worker.delivery.recipients import AllowList
from worker.settings import Settings

_DAY_SECONDS = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryPolicy:
    """All that can be said of an effect without looking at what happened before.

    Attributes:
        enabled: Whether anything may be sent at all.
        allowed: Who may be reached.
        quiet: When nothing is sent; None for no such hours.
        cap: How often one recipient may be reached on one channel; None for no limit.
        approval_channels: Channels on which a person must approve exactly what is sent.
        approval_seconds: An approval must be given and used within this time.
        approvers: Who may approve.
    """

    enabled: bool = False
    allowed: AllowList = field(default_factory=lambda: AllowList(()))
    quiet: QuietHours | None = None
    cap: FrequencyCap | None = None
    approval_channels: frozenset[str] = frozenset()
    approval_seconds: float = _DAY_SECONDS
    approvers: Approvers = field(default_factory=Approvers)

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Read the settings, which were checked by the very parsers that are used here."""
        quiet, cap = settings.delivery_quiet, settings.delivery_cap
        return cls(
            enabled=settings.allow_delivery,
            allowed=AllowList(settings.delivery_allow),
            quiet=QuietHours.parse(quiet) if quiet else None,
            cap=parse_cap(cap) if cap else None,
            approval_channels=frozenset(settings.approval_channels),
            approval_seconds=settings.approval_seconds,
            approvers=Approvers.parse(settings.approvers),
        )

    def approval_role(self, channel: str) -> str | None:
        """Return the role that must approve on this channel; None where nobody needs to."""
        return APPROVER if channel in self.approval_channels else None

    def missing(self, effect: Effect, *, allow_delivery: bool, now: float) -> list[Missing]:
        """Return what keeps an effect back, whatever happened before."""
        return [
            *self._permission(allow_delivery=allow_delivery),
            *self._not_allowed(effect),
            *self._quiet(now),
        ]

    def _permission(self, *, allow_delivery: bool) -> Iterator[Missing]:
        if not self.enabled:
            message = "Delivery is off: set MUSTER_ALLOW_DELIVERY=true and start the workers anew."
            yield Missing(rule="settings", message=message)
        if not allow_delivery:
            message = (
                "The run may not deliver: start it with allow_delivery=True, or with "
                "--allow-delivery in a terminal."
            )
            yield Missing(rule="run", message=message)

    def _not_allowed(self, effect: Effect) -> Iterator[Missing]:
        for recipient in effect.recipients:
            if not self.allowed.allows(recipient):
                message = (
                    f"{recipient} may not be reached: add it, or a pattern that fits it, to "
                    "MUSTER_DELIVERY_ALLOW and start the workers anew."
                )
                yield Missing(rule="allow_list", message=message, recipient=recipient)

    def _quiet(self, now: float) -> Iterator[Missing]:
        until = self.quiet.until(now) if self.quiet else None
        if until is not None:
            message = f"Nothing is sent in the quiet hours {self.quiet}: wait until they end."
            yield Missing(rule="quiet_hours", message=message, until=until)
