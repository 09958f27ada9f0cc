"""How a run asks for a person's consent, and how a person decides."""

from __future__ import annotations

from dataclasses import dataclass, replace
from json import dumps

from envelope.approval import ApprovalState
from envelope.errors import ApprovalRefused, Fenced, UnknownApproval
from envelope.events import EventType
from envelope.ports.ledger import ApprovalRow, Decision, NewApproval, approval_signal
from worker.journal.book import Book, Needs
from worker.journal.consents import judged
from worker.journal.fences import owned_run
from worker.journal.operations import ApprovalAnswer
from worker.journal.rows import RunRow
from worker.journal.signalling import wake_by


@dataclass(slots=True)
class AskApproval:
    """Enter a request, unless it was asked before."""

    new: NewApproval

    def need(self, needs: Needs) -> None:
        """Name the run and the approval."""
        needs.runs.add(self.new.run_id)
        needs.ledger.approvals.add(self.new.approval_id)

    def apply(self, book: Book) -> ApprovalAnswer:
        """Return the approval of that id."""
        new = self.new
        run = self._fenced(book)
        if new.approval_id not in book.ledger.approvals:
            approval = _asked(new, book.now)
            book.ledger.write_approval(approval)
            _tell_asked(book, run, approval)
        return ApprovalAnswer(new.approval_id)

    def _fenced(self, book: Book) -> RunRow:
        run = book.runs.get(self.new.run_id)
        if self.new.epoch is not None:
            return owned_run(self.new.run_id, self.new.epoch, run)
        if run is None or run.ended:
            state = "not in the journal" if run is None else run.state.value
            raise Fenced(f"Run {self.new.run_id} is {state}; no approval was asked for.")
        return run


@dataclass(slots=True)
class Decide:
    """Write what a person says to a request, and tell the run."""

    decision: Decision

    def need(self, needs: Needs) -> None:
        """Name the approval; its run and the signals of that come along with it."""
        needs.ledger.decisions.add(self.decision.approval_id)

    def apply(self, book: Book) -> ApprovalAnswer:
        """Return the approval as decided."""
        told = self.decision
        approval = book.ledger.approvals.get(told.approval_id)
        if approval is None or told.tenant not in {None, approval.tenant}:
            raise UnknownApproval(f"There is no approval {told.approval_id!r}.")
        if _repeats(told, approval):
            return ApprovalAnswer(told.approval_id)
        run = _waiting_run(book, approval)
        _check_decision(told, approval)
        decided = replace(
            approval,
            state=ApprovalState.APPROVED if told.approve else ApprovalState.REJECTED,
            decided_by=told.by,
            decided_at=book.now,
            reason=told.reason,
        )
        book.ledger.write_approval(decided)
        _tell_decided(book, run, decided)
        return ApprovalAnswer(told.approval_id)


def _asked(new: NewApproval, now: float) -> ApprovalRow:
    return ApprovalRow(
        approval_id=new.approval_id,
        run_id=new.run_id,
        tenant=new.tenant,
        requester=new.requester,
        channel=new.channel,
        content=new.content,
        content_sha256=new.content_sha256,
        title=new.title,
        role=new.role,
        state=ApprovalState.PENDING,
        asked_at=now,
        expires_at=now + new.expires_seconds,
    )


def _tell_asked(book: Book, run: RunRow, approval: ApprovalRow) -> None:
    book.tell(
        run,
        EventType.RUN_APPROVAL_REQUESTED,
        approval_id=approval.approval_id,
        channel=approval.channel,
        role=approval.role,
        expires_at=approval.expires_at,
    )


def _waiting_run(book: Book, approval: ApprovalRow) -> RunRow:
    """Return the run that can still make use of a decision."""
    run = book.runs.get(approval.run_id)
    ended = run is None or run.ended
    state = judged(approval, book.now, run_ended=ended).state
    if run is not None and not ended and state is ApprovalState.PENDING:
        return run
    if ended:
        why = f"run {approval.run_id} has ended"
    elif approval.decided_by is None:
        why = "its time is over"
    else:
        why = f"{approval.decided_by} decided before"
    raise ApprovalRefused(
        f"Approval {approval.approval_id} is {state.value}: {why}. Nothing changed."
    )


def _repeats(told: Decision, approval: ApprovalRow) -> bool:
    """Whether this very decision was made before: its answer may have been lost on the way."""
    said = ApprovalState.APPROVED if told.approve else ApprovalState.REJECTED
    if approval.decided_by is None or approval.state is not said:
        return False
    same_content = told.content_sha256 == approval.content_sha256
    return same_content and _same_person(told.by, approval.decided_by)


def _check_decision(told: Decision, approval: ApprovalRow) -> None:
    if told.content_sha256 != approval.content_sha256:
        raise ApprovalRefused(
            f"Approval {approval.approval_id} is for another content than the one that was shown. "
            "Show it again and decide upon that."
        )
    if approval.requester is not None and _same_person(told.by, approval.requester):
        raise ApprovalRefused(
            f"{told.by} is the one for whom run {approval.run_id} asks. Somebody else must decide."
        )


def _same_person(one: str, other: str) -> bool:
    return one.strip().casefold() == other.strip().casefold()


def _tell_decided(book: Book, run: RunRow, approval: ApprovalRow) -> None:
    name = approval_signal(approval.approval_id)
    told = {
        "approval_id": approval.approval_id,
        "state": approval.state.value,
        "by": approval.decided_by,
        "at": approval.decided_at,
        "expires_at": approval.expires_at,
        "reason": approval.reason,
        "sha256": approval.content_sha256,
    }
    book.keep_signal(run, name, dumps(told))
    book.tell(
        run,
        EventType.RUN_APPROVAL_DECIDED,
        approval_id=approval.approval_id,
        state=approval.state.value,
        by=approval.decided_by,
    )
    wake_by(book, run, name)
