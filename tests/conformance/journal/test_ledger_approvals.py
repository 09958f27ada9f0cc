"""Approvals: asked once, decided once by somebody else, used once for exactly one content."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from envelope.approval import ApprovalState
from envelope.effect import EffectState
from envelope.errors import ApprovalRefused, Cancelled, Fenced, InvalidInput, UnknownApproval
from envelope.ports.journal_rows import Claim, RunState
from envelope.ports.ledger import ApprovalFilter, ApprovalRow, approval_signal
from tests.conformance.journal.making import (
    Backend,
    Books,
    claimed,
    ending,
    last_event,
    state_of,
    types,
    until,
    waiting,
    write_of,
)
from tests.conformance.journal.making_effects import (
    CONTENT,
    a_conclusion,
    a_decision,
    a_request,
    an_intent,
    approval_state,
    approved,
    begun,
    concluded,
    kept,
)

PENDING, APPROVED, REJECTED, EXPIRED, CONSUMED = ApprovalState
ROLE = "approver"


async def has_expired(books: Books, approval: ApprovalRow) -> None:
    """Wait until the approval's time is over."""

    async def over() -> bool:
        return await approval_state(books, approval) is EXPIRED

    await until(over)


def test_a_request_is_entered_once(backend: Backend) -> None:
    async def body(books: Books) -> None:
        claim = await claimed(books, user="u1")
        new = a_request(claim)
        asked = await books.ask_approval(new)
        assert (asked.state, asked.content, asked.requester) == (PENDING, CONTENT, "u1")
        assert asked.expires_at == pytest.approx(asked.asked_at + 60)
        kind, data = await last_event(books, claim.run.run_id)
        assert kind == "run.approval_requested"
        assert data == {
            "approval_id": asked.approval_id,
            "channel": "email",
            "role": ROLE,
            "expires_at": asked.expires_at,
        }
        again = await books.ask_approval(a_request(claim, asked.approval_id, content="{}"))
        assert again == asked == await books.approval(asked.approval_id)
        assert (await types(books, claim.run.run_id)).count("run.approval_requested") == 1
        assert await books.approval("none") is None

    backend.using(body)


def test_a_stale_owner_asks_for_nothing(backend: Backend) -> None:
    async def body(books: Books) -> None:
        claim = await claimed(books)
        for wrong in ({"epoch": 7}, {"run_id": "none"}, {"run_id": "none", "epoch": None}):
            with pytest.raises(Fenced):
                await books.ask_approval(a_request(claim, **wrong))
        asked = await books.ask_approval(a_request(claim, epoch=None))
        await books.commit(write_of(claim, **ending()))
        for epoch in (claim.run.epoch, None):
            with pytest.raises(Fenced):
                await books.ask_approval(a_request(claim, asked.approval_id, epoch=epoch))

    backend.using(body)


@pytest.mark.parametrize(
    "wrong",
    [
        {"approval_id": ""},
        {"approval_id": "a" * 151},
        {"content": "\x00"},
        {"expires_seconds": 0},
        {"expires_seconds": float("inf")},
    ],
)
def test_a_request_that_cannot_be_kept_is_refused(backend: Backend, wrong: dict[str, Any]) -> None:
    async def body(books: Books) -> None:
        with pytest.raises(InvalidInput):
            await books.ask_approval(a_request(await claimed(books), **wrong))

    backend.using(body)


@pytest.mark.parametrize(("approve", "state"), [(True, APPROVED), (False, REJECTED)])
def test_a_decision_reaches_its_run(backend: Backend, approve: bool, state: ApprovalState) -> None:
    async def body(books: Books) -> None:
        claim = await claimed(books, user="u1")
        run_id = claim.run.run_id
        asked = await books.ask_approval(a_request(claim))
        name = approval_signal(asked.approval_id)
        await books.commit(write_of(claim, **waiting(signals={name: 0})))
        decided = await books.decide(a_decision(asked, approve=approve, reason="so be it"))
        assert (decided.state, decided.decided_by, decided.reason) == (state, "boss", "so be it")
        assert decided.content == CONTENT
        assert await books.approval(asked.approval_id) == decided
        assert await state_of(books, run_id) is RunState.QUEUED
        assert (await types(books, run_id))[-2:] == ["run.approval_decided", "run.woken"]
        (signal,) = await books.signals(run_id)
        assert signal.name == name
        assert json.loads(signal.data) == {
            "approval_id": asked.approval_id,
            "state": state.value,
            "by": "boss",
            "at": decided.decided_at,
            "expires_at": asked.expires_at,
            "reason": "so be it",
            "sha256": asked.content_sha256,
        }

    backend.using(body)


def test_a_run_that_does_not_wait_yet_finds_the_decision(backend: Backend) -> None:
    async def body(books: Books) -> None:
        claim = await claimed(books)
        approval = await approved(books, claim)
        name = approval_signal(approval.approval_id)
        await books.commit(write_of(claim, **waiting(signals={name: 0})))
        assert await state_of(books, claim.run.run_id) is RunState.QUEUED

    backend.using(body)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"content_sha256": "other"}, "another content"),
        ({"by": "u1"}, "Somebody else"),
        ({"by": " U1 "}, "Somebody else"),
        ({"by": "u1", "approve": False}, "Somebody else"),
    ],
)
def test_a_wrong_decision_changes_nothing(
    backend: Backend, wrong: dict[str, Any], says: str
) -> None:
    async def body(books: Books) -> None:
        claim = await claimed(books, user="u1")
        asked = await books.ask_approval(a_request(claim))
        with pytest.raises(ApprovalRefused, match=says):
            await books.decide(a_decision(asked, **wrong))
        assert await books.approval(asked.approval_id) == asked
        assert list(await books.signals(claim.run.run_id)) == []

    backend.using(body)


def test_a_decision_names_an_approval_and_a_person(backend: Backend) -> None:
    async def body(books: Books) -> None:
        asked = await books.ask_approval(a_request(await claimed(books)))
        for wrong in ({"tenant": "other"}, {"approval_id": "none"}):
            with pytest.raises(UnknownApproval):
                await books.decide(a_decision(asked, **wrong))
        with pytest.raises(InvalidInput, match="who"):
            await books.decide(a_decision(asked, by=" "))
        assert (await books.decide(a_decision(asked, tenant=None))).state is APPROVED

    backend.using(body)


def test_a_decision_that_is_repeated_is_answered_as_before(backend: Backend) -> None:
    async def body(books: Books) -> None:
        claim = await claimed(books)
        asked = await books.ask_approval(a_request(claim))
        first = await books.decide(a_decision(asked, approve=True, by="boss"))
        before = await types(books, claim.run.run_id)
        assert await books.decide(a_decision(asked, approve=True, by="boss")) == first
        assert await types(books, claim.run.run_id) == before
        with pytest.raises(ApprovalRefused):
            await books.decide(a_decision(asked, approve=False, by="boss"))

    backend.using(body)


def test_what_is_decided_stays_so(backend: Backend) -> None:
    async def body(books: Books) -> None:
        claim = await claimed(books)
        first = await approved(books, claim)
        with pytest.raises(ApprovalRefused, match="boss decided before"):
            await books.decide(a_decision(first, approve=False))
        assert await books.approval(first.approval_id) == first

    backend.using(body)


def test_of_two_decisions_at_once_one_counts(backend: Backend) -> None:
    async def body(books: Books) -> None:
        asked = await books.ask_approval(a_request(await claimed(books)))
        answers = await asyncio.gather(
            *(books.decide(a_decision(asked, approve=n % 2 == 0, by=f"p{n}")) for n in range(6)),
            return_exceptions=True,
        )
        refused = [answer for answer in answers if isinstance(answer, ApprovalRefused)]
        assert len(refused) == 5
        assert len(list(await books.signals(asked.run_id))) == 1

    backend.using(body)


def test_a_request_expires(backend: Backend) -> None:
    async def body(books: Books) -> None:
        claim = await claimed(books)
        asked = await books.ask_approval(a_request(claim, expires_seconds=0.2))
        await has_expired(books, asked)
        with pytest.raises(ApprovalRefused, match="its time is over"):
            await books.decide(a_decision(asked))
        again = await books.ask_approval(a_request(claim, asked.approval_id))
        assert again.state is EXPIRED

    backend.using(body)


def test_an_approval_expires_unused(backend: Backend) -> None:
    async def body(books: Books) -> None:
        claim = await claimed(books)
        approval = await approved(books, claim, expires_seconds=0.4)
        await has_expired(books, approval)
        found = await books.intend(an_intent(claim, approval_role=ROLE))
        assert kept(found) == ["approval"]

    backend.using(body)


def test_a_run_that_has_ended_is_told_nothing(backend: Backend) -> None:
    async def body(books: Books) -> None:
        claim = await claimed(books)
        asked = await books.ask_approval(a_request(claim))
        given = await approved(books, claim)
        await books.commit(write_of(claim, **ending(RunState.FAILED)))
        assert await approval_state(books, asked) is EXPIRED
        assert await approval_state(books, given) is APPROVED
        before = await types(books, claim.run.run_id)
        with pytest.raises(ApprovalRefused, match="has ended"):
            await books.decide(a_decision(asked))
        assert await types(books, claim.run.run_id) == before

    backend.using(body)


def test_an_approval_is_used_once(backend: Backend) -> None:
    async def body(books: Books) -> None:
        claim = await claimed(books)
        assert kept(await books.intend(an_intent(claim, approval_role=ROLE))) == ["approval"]
        approval = await approved(books, claim)
        effect = await begun(books, claim, "a", approval_role=ROLE)
        assert effect.approval_id == approval.approval_id
        used = await books.approval(approval.approval_id)
        assert used is not None
        assert (used.state, used.consumed_by, used.consumed_at) == (
            CONSUMED,
            "a",
            effect.intended_at,
        )
        assert kept(await books.intend(an_intent(claim, "b", approval_role=ROLE))) == ["approval"]
        with pytest.raises(ApprovalRefused, match="consumed"):
            await books.decide(a_decision(approval))

    backend.using(body)


@pytest.mark.parametrize(
    "other", [{"content_sha256": "other"}, {"channel": "sms"}, {"role": "lawyer"}]
)
def test_an_approval_is_for_exactly_one_thing(backend: Backend, other: dict[str, Any]) -> None:
    async def body(books: Books) -> None:
        claim = await claimed(books)
        approval = await approved(books, claim, **other)
        assert kept(await books.intend(an_intent(claim, approval_role=ROLE))) == ["approval"]
        assert await approval_state(books, approval) is APPROVED

    backend.using(body)


def test_an_approval_of_another_tenant_does_not_count(backend: Backend) -> None:
    async def body(books: Books) -> None:
        await approved(books, await claimed(books, tenant="other"))
        claim = await claimed(books, "w2")
        assert kept(await books.intend(an_intent(claim, approval_role=ROLE))) == ["approval"]

    backend.using(body)


def test_pending_and_rejected_approve_nothing(backend: Backend) -> None:
    async def body(books: Books) -> None:
        claim = await claimed(books)
        await books.ask_approval(a_request(claim))
        rejected = await books.ask_approval(a_request(claim))
        await books.decide(a_decision(rejected, approve=False))
        assert kept(await books.intend(an_intent(claim, approval_role=ROLE))) == ["approval"]

    backend.using(body)


def test_an_effect_prefers_the_approval_of_its_own_run(backend: Backend) -> None:
    async def body(books: Books) -> None:
        other, claim = await claimed(books), await claimed(books, "w2")
        older = await approved(books, other)
        own = await approved(books, claim)
        assert (await begun(books, claim, "a", approval_role=ROLE)).approval_id == own.approval_id
        # A run that repeats one which ended uses what was approved for that.
        await books.commit(write_of(other, **ending(RunState.FAILED)))
        second = await begun(books, claim, "b", approval_role=ROLE)
        assert second.approval_id == older.approval_id

    backend.using(body)


def test_a_kept_back_effect_uses_no_approval(backend: Backend) -> None:
    async def body(books: Books) -> None:
        claim = await claimed(books)
        approval = await approved(books, claim)
        await books.cancel(claim.run.run_id, "enough")
        with pytest.raises(Cancelled):
            await books.intend(an_intent(claim, approval_role=ROLE))
        assert await approval_state(books, approval) is APPROVED

    backend.using(body)


def test_a_failed_effect_keeps_its_approval(backend: Backend) -> None:
    async def body(books: Books) -> None:
        claim = await claimed(books)
        approval = await approved(books, claim, expires_seconds=1.5)
        effect = await begun(books, claim, approval_role=ROLE)
        await books.conclude(a_conclusion(effect, EffectState.FAILED))
        # Nobody else gets it.
        assert kept(await books.intend(an_intent(claim, "b", approval_role=ROLE))) == ["approval"]
        again = await begun(books, claim, approval_role=ROLE)
        assert (again.tries, again.approval_id) == (2, approval.approval_id)
        await books.conclude(a_conclusion(again, EffectState.FAILED))

        async def over() -> bool:
            return approval.expires_at <= (await claim_time(books))

        await until(over)
        assert kept(await books.intend(an_intent(claim, approval_role=ROLE))) == ["approval"]

    backend.using(body)


async def claim_time(books: Books) -> float:
    """The time of the journal's clock."""
    return (await claimed(books, "clock")).now


def test_a_repeated_effect_keeps_its_approval(backend: Backend) -> None:
    async def body(books: Books) -> None:
        claim = await claimed(books)
        approval = await approved(books, claim)
        fields: dict[str, Any] = {"approval_role": ROLE, "deduplicates": True}
        await begun(books, claim, **fields)
        again = await begun(books, claim, **fields)
        assert (again.tries, again.approval_id) == (2, approval.approval_id)

    backend.using(body)


def test_an_approval_consumed_at_once_by_many_is_consumed_once(backend: Backend) -> None:
    async def body(books: Books) -> None:
        claim = await claimed(books)
        await approved(books, claim)
        found = await asyncio.gather(
            *(books.intend(an_intent(claim, f"k{n}", approval_role=ROLE)) for n in range(20))
        )
        assert sum(each.go for each in found) == 1

    backend.using(body)


def test_a_request_asked_and_decided_in_one_batch(backend: Backend) -> None:
    async def body(books: Books) -> None:
        claim = await claimed(books)
        new = a_request(claim, "together")
        answers = await asyncio.gather(
            books.ask_approval(new), books.ask_approval(new), return_exceptions=True
        )
        first, second = answers
        assert first == second
        assert (await types(books, claim.run.run_id)).count("run.approval_requested") == 1

    backend.using(body)


def test_approvals_are_listed_newest_first(backend: Backend) -> None:
    async def body(books: Books) -> None:
        made = await _one_of_each(books)

        async def listed(**which: Any) -> list[str]:
            rows = await books.approvals(ApprovalFilter(**which))
            names = {row.approval_id: name for name, row in made.items()}
            return [names[row.approval_id] for row in rows]

        every = ["pending", "vain", "late", "used", "rejected", "approved"]
        assert await listed() == every
        assert await listed(limit=2) == every[:2]
        assert await listed(limit=0) == []
        assert await listed(state=PENDING) == ["pending"]
        assert await listed(state=APPROVED) == ["approved"]
        assert await listed(state=REJECTED) == ["rejected"]
        assert await listed(state=EXPIRED) == ["vain", "late"]
        assert await listed(state=CONSUMED) == ["used"]
        assert await listed(tenant="other") == ["pending"]
        assert await listed(run_id=made["vain"].run_id) == ["vain"]
        assert await listed(channel="sms") == ["late"]
        assert await listed(content_sha256="c1") == ["approved"]
        assert await listed(content_sha256="c1", state=APPROVED, tenant="default") == ["approved"]
        assert await listed(content_sha256="none") == []
        (bare,) = await books.approvals(ApprovalFilter(content_sha256="c1", contents=False))
        whole = await books.approval(bare.approval_id)
        assert whole is not None
        assert (bare.content, whole.content) == ("", CONTENT)
        assert replace(bare, content=CONTENT) == whole
        for row in await books.approvals(ApprovalFilter(state=EXPIRED)):
            assert row.state is EXPIRED

    backend.using(body)


async def _one_of_each(books: Books) -> dict[str, ApprovalRow]:
    one: Claim = await claimed(books)
    made = {"approved": await approved(books, one, content_sha256="c1")}
    made["rejected"] = await books.ask_approval(a_request(one))
    await books.decide(a_decision(made["rejected"], approve=False))
    made["used"] = await approved(books, one)
    await begun(books, one, approval_role=ROLE)
    made["late"] = await books.ask_approval(a_request(one, channel="sms", expires_seconds=0.05))
    await has_expired(books, made["late"])
    ended = await claimed(books, "w2")
    made["vain"] = await books.ask_approval(a_request(ended))
    await books.commit(write_of(ended, **ending()))
    other = await claimed(books, "w3", tenant="other")
    made["pending"] = await books.ask_approval(a_request(other))
    return made


def test_an_approval_outlives_a_settled_effect(backend: Backend) -> None:
    """What a person found not to have been sent may be sent under the same consent."""

    async def body(books: Books) -> None:
        claim = await claimed(books)
        approval = await approved(books, claim)
        await concluded(books, claim, state=EffectState.UNKNOWN, approval_role=ROLE)
        await books.settle_effect("default", "k", EffectState.FAILED, by="me")
        again = await begun(books, claim, approval_role=ROLE)
        assert again.approval_id == approval.approval_id

    backend.using(body)
