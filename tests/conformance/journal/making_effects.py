"""Short ways to say what a test of the ledger is about."""

from itertools import count
from typing import Any

from envelope.approval import ApprovalState
from envelope.canonical import sha256_hex
from envelope.effect import EffectState
from envelope.ports.journal_rows import Claim, StepState
from envelope.ports.ledger import (
    ApprovalRow,
    Conclusion,
    Decision,
    EffectRow,
    Intended,
    Intent,
    NewApproval,
)
from tests.conformance.journal.making import Books, a_step, claimed, write_of

CONTENT = '{"subject":"Hello"}'
_numbers = count(1)


def an_intent(claim: Claim, key: str = "k", **fields: Any) -> Intent:
    """An intent of a step in the run's own process."""
    values: dict[str, Any] = {
        "key": key,
        "run_id": claim.run.run_id,
        "step": "mail",
        "attempt": 1,
        "tenant": claim.run.tenant,
        "channel": "email",
        "recipients": ["ann@example.com"],
        "content_sha256": sha256_hex(CONTENT),
        "title": "Hello",
        "epoch": claim.run.epoch,
    }
    return Intent(**values | fields)


async def begun(books: Books, claim: Claim, key: str = "k", **fields: Any) -> EffectRow:
    """Begin an effect, which must be let through."""
    return gone(await books.intend(an_intent(claim, key, **fields)))


def gone(intended: Intended) -> EffectRow:
    """The effect of an intent that was let through."""
    assert intended.go, intended
    assert intended.effect is not None
    assert (intended.effect.state, intended.missing) == (EffectState.INTENDED, ())
    return intended.effect


def kept(intended: Intended) -> list[str]:
    """The rules that kept an effect back."""
    assert not intended.go, intended
    return [missing.rule for missing in intended.missing]


def a_conclusion(effect: EffectRow, state: EffectState, **fields: Any) -> Conclusion:
    """How the attempt that began an effect ended."""
    values: dict[str, Any] = {
        "key": effect.key,
        "tenant": effect.tenant,
        "tries": effect.tries,
        "state": state,
    }
    return Conclusion(**values | fields)


async def concluded(
    books: Books, claim: Claim, key: str = "k", state: EffectState = EffectState.SENT, **fields: Any
) -> EffectRow:
    """Begin an effect and conclude it."""
    effect = await begun(books, claim, key, **fields)
    return await books.conclude(a_conclusion(effect, state))


async def executing(books: Books, step: str = "mail", **fields: Any) -> tuple[Claim, int]:
    """A queued step that executor `x1` has claimed: the run, and the attempt."""
    claim = await claimed(books)
    write = a_step(step, StepState.QUEUED, inline=False, attempt=0, **fields)
    await books.commit(write_of(claim, steps=[write]))
    taken = await books.claim_step(claim.run.run_id, step, "x1")
    assert taken is not None
    return claim, taken.step.attempt


def a_request(claim: Claim, approval_id: str | None = None, **fields: Any) -> NewApproval:
    """A run's request for consent to `CONTENT`."""
    values: dict[str, Any] = {
        "approval_id": f"a{next(_numbers):06}" if approval_id is None else approval_id,
        "run_id": claim.run.run_id,
        "epoch": claim.run.epoch,
        "tenant": claim.run.tenant,
        "requester": claim.run.user,
        "channel": "email",
        "content": CONTENT,
        "content_sha256": sha256_hex(CONTENT),
        "title": "Hello",
        "role": "approver",
        "expires_seconds": 60.0,
    }
    return NewApproval(**values | fields)


def a_decision(approval: ApprovalRow, *, approve: bool = True, **fields: Any) -> Decision:
    """What a person says who was shown the approval."""
    values: dict[str, Any] = {
        "approval_id": approval.approval_id,
        "tenant": approval.tenant,
        "approve": approve,
        "content_sha256": approval.content_sha256,
        "by": "boss",
    }
    return Decision(**values | fields)


async def approved(books: Books, claim: Claim, **fields: Any) -> ApprovalRow:
    """Ask for consent and give it."""
    approval = await books.ask_approval(a_request(claim, **fields))
    decided = await books.decide(a_decision(approval))
    assert decided.state is ApprovalState.APPROVED
    return decided


async def approval_state(books: Books, approval: ApprovalRow) -> ApprovalState:
    """What an approval counts as now."""
    found = await books.approval(approval.approval_id)
    assert found is not None
    return found.state
