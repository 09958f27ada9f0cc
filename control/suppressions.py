"""Suppressions: who shall not be reached, and on which channel."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from ipaddress import IPv6Address
from typing import Final

from agents.email.address import address
from agents.email.request import CHANNEL as EMAIL
from agents.webhook.host_name import host_name
from agents.webhook.request import CHANNEL as WEBHOOK
from control.approvals import Opened
from control.loop_thread import LoopThread
from control.people_only import check_person
from envelope.errors import InvalidInput
from envelope.ports.ledger import Suppression
from worker.delivery.recipients import ANYONE, one_spelling

ANY_CHANNEL = ANYONE
_EXCERPT: Final = 60


class AsyncSuppressions:
    """Suppressions over one campaign manager; `AsyncMuster().suppressions`."""

    def __init__(self, opened: Opened) -> None:
        self._opened = opened

    async def list(
        self,
        *,
        channel: str | None = None,
        recipient: str | None = None,
        tenant: str = "default",
        limit: int = 1000,
    ) -> Sequence[Suppression]:
        """Return the suppressions of a tenant; None means any."""
        recipients = [one_spelling(recipient)] if recipient else None
        ledger = (await self._opened()).backend.ledger
        return await ledger.suppressions(
            tenant, channel=channel, recipients=recipients, limit=limit
        )

    async def add(
        self,
        recipient: str,
        *,
        channel: str = ANY_CHANNEL,
        reason: str = "",
        by: str = "",
        tenant: str = "default",
    ) -> Suppression:
        """Keep a recipient from being reached; anybody may do so, an agent too.

        Args:
            recipient: An address, or the host of webhooks; case does not count. On a channel of
                your own, whatever its effects name as their recipient.
            channel: On which channel; `*` means any.
            reason: Why.
            by: Who says so.
            tenant: Whose recipient.

        Raises:
            InvalidInput: The recipient is empty, a pattern, or nobody whom the channel can reach.
        """
        name = _reachable(recipient, channel)
        made = Suppression(tenant=tenant, channel=channel, recipient=name, reason=reason, by=by)
        await (await self._opened()).backend.ledger.suppress(made)
        return made

    async def remove(
        self, recipient: str, *, by: str, channel: str = ANY_CHANNEL, tenant: str = "default"
    ) -> bool:
        """Let a recipient be reached again; False where nothing of that name was suppressed.

        Raises:
            ApprovalRefused: An agent or a flow tries.
        """
        check_person(by, "lift a suppression")
        ledger = (await self._opened()).backend.ledger
        return await ledger.unsuppress(tenant, channel, _one(recipient))


class Suppressions:
    """Suppressions for synchronous code; see `AsyncSuppressions` for what each call means."""

    def __init__(self, suppressions: AsyncSuppressions, thread: LoopThread) -> None:
        self._suppressions = suppressions
        self._thread = thread

    def list(
        self,
        *,
        channel: str | None = None,
        recipient: str | None = None,
        tenant: str = "default",
        limit: int = 1000,
    ) -> Sequence[Suppression]:
        """Return the suppressions of a tenant; None means any."""
        found = self._suppressions.list(
            channel=channel, recipient=recipient, tenant=tenant, limit=limit
        )
        return self._thread.call(found)

    def add(
        self,
        recipient: str,
        *,
        channel: str = ANY_CHANNEL,
        reason: str = "",
        by: str = "",
        tenant: str = "default",
    ) -> Suppression:
        """Keep a recipient from being reached."""
        added = self._suppressions.add(
            recipient, channel=channel, reason=reason, by=by, tenant=tenant
        )
        return self._thread.call(added)

    def remove(
        self, recipient: str, *, by: str, channel: str = ANY_CHANNEL, tenant: str = "default"
    ) -> bool:
        """Let a recipient be reached again."""
        removed = self._suppressions.remove(recipient, by=by, channel=channel, tenant=tenant)
        return self._thread.call(removed)


def _one(recipient: str) -> str:
    name = one_spelling(recipient)
    if not name or "*" in name:
        raise InvalidInput(
            "A suppression names one recipient, without *. MUSTER_DELIVERY_ALLOW takes patterns."
        )
    return name


def _reachable(recipient: str, channel: str) -> str:
    """A recipient who is misspelled would go on being reached under the right name."""
    name = _one(recipient)
    if not any(fits(name) for fits in _SPELLED.get(channel, (str.isprintable,))):
        raise InvalidInput(
            f"{recipient[:_EXCERPT]!r} is nobody whom channel {channel!r} can reach. Name an "
            "address, such as ada@example.com, or the host that webhooks go to, such as "
            "hooks.example.com; for another kind of recipient name its channel."
        )
    return name


def _is_address(name: str) -> bool:
    return _passes(address, name)


def _is_host(name: str) -> bool:
    return _passes(host_name, name) or _passes(IPv6Address, name)


def _passes(check: Callable[[str], object], name: str) -> bool:
    try:
        check(name)
    except ValueError:
        return False
    return True


_SPELLED: Final[Mapping[str, Sequence[Callable[[str], bool]]]] = {
    EMAIL: (_is_address,),
    WEBHOOK: (_is_host,),
    ANY_CHANNEL: (_is_address, _is_host),
}
