"""A run's requests for a person's consent: asked once, waited for without a worker."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar
from uuid import UUID, uuid5

from envelope.approval import Approval, ApprovalRequest, ApprovalState
from envelope.errors import (
    ApprovalExpired,
    ApprovalRejected,
    Fenced,
    NonDeterminism,
    UnknownApproval,
)
from envelope.ports.ledger import ApprovalRow, Ledger, NewApproval, approval_signal
from worker.engine.execution import RunExecution, Stop
from worker.engine.parts import EngineParts
from worker.engine.persist import until_written
from worker.engine.waits import RunWaits

T = TypeVar("T")

_GIVEN = frozenset({ApprovalState.APPROVED, ApprovalState.CONSUMED})


class RunApprovals:
    """The approvals of one claimed run.

    Args:
        parts: What the process provides.
        execution: The run.
        waits: What it waits for.
    """

    def __init__(self, parts: EngineParts, execution: RunExecution, waits: RunWaits) -> None:
        self._parts = parts
        self._execution = execution
        self._waits = waits

    async def decision(self, slot: str, request: ApprovalRequest) -> dict[str, Any]:
        """Ask, unless that was done before, and return what was decided, as the run records it."""
        ledger, new = self._parts.ledger, self._new(slot, request)
        row = await self._reach(lambda: ledger.ask_approval(new))
        await self._check_same(row, new)
        if row.state is ApprovalState.PENDING:
            await self._waits.signal(approval_signal(row.approval_id), row.expires_at)
            row = await self._reach(lambda: _known(ledger, new.approval_id))
        return _recorded(row)

    def _new(self, slot: str, request: ApprovalRequest) -> NewApproval:
        run, longest = self._execution.run, self._parts.settings.approval_seconds
        return NewApproval(
            approval_id=str(uuid5(UUID(run.run_id), f"approval {slot}")),
            run_id=run.run_id,
            epoch=self._execution.epoch,
            tenant=run.tenant,
            requester=run.user,
            channel=request.channel,
            content=request.content,
            content_sha256=request.sha256,
            title=self._parts.redactor.text(request.title),
            role=request.role,
            expires_seconds=min(request.expires_seconds or longest, longest),
        )

    async def _reach(self, asked: Callable[[], Awaitable[T]]) -> T:
        with self._execution.working():
            try:
                return await until_written(asked, self._parts.log)
            except Fenced:
                await self._execution.abort(Stop.FENCED)

    async def _check_same(self, row: ApprovalRow, new: NewApproval) -> None:
        if row.content_sha256 == new.content_sha256:
            return
        error = NonDeterminism(
            f"The run asked for approval {row.approval_id} of other content than its replay asks "
            "for. The flow's code changed under the run, or it depends on something that is not "
            "recorded: give the changed flow a new version."
        )
        await self._execution.abort(Stop.BROKEN, error)


def consent(decision: Mapping[str, Any]) -> Approval:
    """Return the approval that was given.

    Raises:
        ApprovalRejected: A person said no.
        ApprovalExpired: Nobody decided in time.
    """
    title = f" ({decision['title']})" if decision["title"] else ""
    name = f"approval {decision['id']}{title}"
    if decision["state"] == ApprovalState.REJECTED:
        reason = f": {decision['reason']}" if decision["reason"] else ""
        raise ApprovalRejected(f"{decision['by']} rejected {name}{reason}.")
    if decision["state"] not in _GIVEN:
        raise ApprovalExpired(
            f"Nobody decided on {name} in time. Repeat the run to ask again: muster runs retry."
        )
    return Approval(
        id=decision["id"],
        sha256=decision["sha256"],
        by=decision["by"],
        at=decision["at"],
        expires_at=decision["expires_at"],
        reason=decision["reason"],
    )


async def _known(ledger: Ledger, approval_id: str) -> ApprovalRow:
    row = await ledger.approval(approval_id)
    if row is None:
        raise UnknownApproval(f"Approval {approval_id} was removed from the journal.")
    return row


def _recorded(row: ApprovalRow) -> dict[str, Any]:
    return {
        "id": row.approval_id,
        "state": row.state.value,
        "title": row.title,
        "sha256": row.content_sha256,
        "by": row.decided_by,
        "at": row.decided_at,
        "expires_at": row.expires_at,
        "reason": row.reason,
    }
