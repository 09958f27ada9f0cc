"""Approvals: what waits for a person's consent, and the decisions of people."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from control.async_manager import AsyncCampaignManager
from control.loop_thread import LoopThread
from control.people_only import check_person
from control.tenant_runs import run_id_of
from envelope.approval import ApprovalState
from envelope.errors import ApprovalRefused, InvalidInput, UnknownApproval
from envelope.ports.ledger import ApprovalFilter, ApprovalRow, Decision, Ledger
from worker.delivery.policy import DeliveryPolicy

Opened = Callable[[], Awaitable[AsyncCampaignManager]]
"""Returns the campaign manager, connected."""

_SHORTEST = 4
_MOST_SEARCHED = 1_000
_MOST_NAMED = 5


class AsyncApprovals:
    """Approvals over one campaign manager; `AsyncMuster().approvals`.

    Example:
        >>> for asked in await muster.approvals.list(state="pending"):
        ...     print(asked.title, asked.content)
        >>> await muster.approvals.approve(asked.approval_id, by="ada", sha256=asked.content_sha256)
    """

    def __init__(self, opened: Opened) -> None:
        self._opened = opened

    async def list(
        self,
        *,
        state: ApprovalState | str | None = None,
        run: str | None = None,
        channel: str | None = None,
        tenant: str | None = None,
        limit: int = 50,
    ) -> Sequence[ApprovalRow]:
        """Return approvals, newest first; None means any.

        Raises:
            InvalidInput: There is no such state.
            UnknownRun: There is no such run of that tenant.
        """
        backend = (await self._opened()).backend
        run_id = await run_id_of(backend.journal, run, tenant) if run else None
        which = ApprovalFilter(
            tenant=tenant,
            state=None if state is None else approval_state(state),
            run_id=run_id,
            channel=channel,
            limit=limit,
        )
        return await backend.ledger.approvals(which)

    async def show(self, name: str, *, tenant: str | None = None) -> ApprovalRow:
        """Return an approval with its content, named by its id or a unique part of it.

        Raises:
            UnknownApproval: There is none of that name for that tenant.
            InvalidInput: Several begin or end like that.
        """
        return await find_approval((await self._opened()).backend.ledger, name, tenant)

    async def approve(
        self,
        name: str,
        *,
        by: str,
        reason: str = "",
        sha256: str | None = None,
        tenant: str | None = None,
    ) -> ApprovalRow:
        """Consent to exactly what the approval shows; the run that waits for it goes on.

        Args:
            name: The approval's id, or a unique part of it.
            by: The person.
            reason: What they say.
            sha256: Hash of the content that they were shown; None: of what it is now.
            tenant: Whose approval it must be; None for any.

        Raises:
            ApprovalRefused: It is decided or expired, its content is another one, the person has
                not the role or is the one who asks, or an agent or flow tries.
            UnknownApproval: There is no such approval.
        """
        return await self._decide(name, tenant, sha256, approve=True, by=by, reason=reason)

    async def reject(
        self, name: str, *, by: str, reason: str = "", tenant: str | None = None
    ) -> ApprovalRow:
        """Say no; the flow of the run gets ApprovalRejected. Errors as `approve`."""
        return await self._decide(name, tenant, None, approve=False, by=by, reason=reason)

    async def _decide(
        self,
        name: str,
        tenant: str | None,
        sha256: str | None,
        *,
        approve: bool,
        by: str,
        reason: str,
    ) -> ApprovalRow:
        person = check_person(by, "approve" if approve else "reject")
        manager = await self._opened()
        row = await find_approval(manager.backend.ledger, name, tenant)
        check_may_decide(DeliveryPolicy.of(manager.backend.settings), row, person)
        decision = Decision(
            approval_id=row.approval_id,
            tenant=tenant,
            approve=approve,
            content_sha256=sha256 or row.content_sha256,
            by=person,
            reason=reason,
        )
        decided = await manager.backend.ledger.decide(decision)
        await manager.tell_of_decision(decided.run_id)
        return decided


class Approvals:
    """Approvals for synchronous code; see `AsyncApprovals` for what each call means."""

    def __init__(self, approvals: AsyncApprovals, thread: LoopThread) -> None:
        self._approvals = approvals
        self._thread = thread

    def list(
        self,
        *,
        state: ApprovalState | str | None = None,
        run: str | None = None,
        channel: str | None = None,
        tenant: str | None = None,
        limit: int = 50,
    ) -> Sequence[ApprovalRow]:
        """Return approvals, newest first; None means any."""
        found = self._approvals.list(
            state=state, run=run, channel=channel, tenant=tenant, limit=limit
        )
        return self._thread.call(found)

    def show(self, name: str, *, tenant: str | None = None) -> ApprovalRow:
        """Return an approval with its content."""
        return self._thread.call(self._approvals.show(name, tenant=tenant))

    def approve(
        self,
        name: str,
        *,
        by: str,
        reason: str = "",
        sha256: str | None = None,
        tenant: str | None = None,
    ) -> ApprovalRow:
        """Consent to exactly what the approval shows."""
        decided = self._approvals.approve(name, by=by, reason=reason, sha256=sha256, tenant=tenant)
        return self._thread.call(decided)

    def reject(
        self, name: str, *, by: str, reason: str = "", tenant: str | None = None
    ) -> ApprovalRow:
        """Say no."""
        return self._thread.call(self._approvals.reject(name, by=by, reason=reason, tenant=tenant))


def approval_state(name: ApprovalState | str) -> ApprovalState:
    """Return the state of that name.

    Raises:
        InvalidInput: There is none; the message lists them.
    """
    try:
        return ApprovalState(name)
    except ValueError:
        known = ", ".join(ApprovalState)
        raise InvalidInput(f"There is no approval state {name!r}. States: {known}.") from None


async def find_approval(ledger: Ledger, name: str, tenant: str | None = None) -> ApprovalRow:
    """Return the approval whose id is `name` or, among the newest 1,000, begins or ends with it.

    Raises:
        UnknownApproval: There is none for that tenant.
        InvalidInput: There are several.
    """
    exact = await ledger.approval(name) if name.isprintable() and name else None
    if exact is not None and tenant in {None, exact.tenant}:
        return exact
    which = ApprovalFilter(tenant=tenant, limit=_MOST_SEARCHED, contents=False)
    found = [row for row in await ledger.approvals(which) if _is_named(row, name)]
    only = await ledger.approval(found[0].approval_id) if len(found) == 1 else None
    if only is not None:
        return only
    if not found:
        raise UnknownApproval(
            f"There is no approval {name!r}. `muster approvals list` shows the newest ones."
        )
    some = ", ".join(row.approval_id for row in found[:_MOST_NAMED])
    raise InvalidInput(f"{name!r} names {len(found)} approvals, among them {some}.")


def check_may_decide(policy: DeliveryPolicy, row: ApprovalRow, by: str) -> None:
    """Let a person decide who has the role and is not the one who asks.

    Raises:
        ApprovalRefused: This one may not.
    """
    policy.approvers.check(by, row.role)
    if row.requester is not None and by.casefold() == row.requester.strip().casefold():
        raise ApprovalRefused(
            f"Run {row.run_id} asks in the name of {row.requester!r}: another person must decide."
        )


def _is_named(row: ApprovalRow, name: str) -> bool:
    part = name.strip().lower()
    is_part = row.approval_id.startswith(part) or row.approval_id.endswith(part)
    return len(part) >= _SHORTEST and is_part
