"""Another process is in the middle of a transaction on the same effects and approvals."""

import asyncio
from typing import Any

import pytest

from envelope.approval import ApprovalState
from envelope.effect import EffectState
from envelope.errors import ApprovalRefused, Cancelled, Fenced, NotSent
from envelope.ports.ledger import FrequencyCap, Intent
from tests.conformance.journal.making import (
    Backend,
    Books,
    a_step,
    claimed,
    lapse,
    types,
    write_of,
)
from tests.conformance.journal.making_effects import (
    a_conclusion,
    a_decision,
    a_request,
    an_intent,
    approval_state,
    approved,
    begun,
    gone,
    kept,
)
from tests.conformance.journal.making_races import under_way, waits_for_lock
from worker.journal.approvals import Decide
from worker.journal.cancelling import CancelRun
from worker.journal.effects import Intend
from worker.journal.losing import RescueRuns

ONCE = FrequencyCap(count=1, seconds=3600)
ROLE = "approver"


def intending(books: Books, intent: Intent) -> "asyncio.Task[Any]":
    return asyncio.create_task(_intend(books, intent))


async def _intend(books: Books, intent: Intent) -> Any:
    return await books.intend(intent)


def test_an_intent_is_refused_though_its_run_was_lost_only_just_now(database: Backend) -> None:
    async def body(books: Books) -> None:
        claim = await claimed(books)
        await lapse(books)
        with under_way(database, RescueRuns([claim.run.run_id], 3)) as commit:
            late = intending(books, an_intent(claim))
            await waits_for_lock(late)
            commit()
            with pytest.raises(Fenced):
                await late
        assert await books.effect("default", "k") is None

    database.using(body)


def test_an_intent_is_refused_though_its_run_was_cancelled_only_just_now(database: Backend) -> None:
    async def body(books: Books) -> None:
        claim = await claimed(books)
        with under_way(database, CancelRun(claim.run.run_id, "enough")) as commit:
            late = intending(books, an_intent(claim))
            await waits_for_lock(late)
            commit()
            with pytest.raises(Cancelled):
                await late
        assert await books.effect("default", "k") is None

    database.using(body)


def test_of_two_processes_one_begins_an_effect(database: Backend) -> None:
    async def body(books: Books) -> None:
        one, two = await claimed(books), await claimed(books, "w2")
        with under_way(database, Intend(an_intent(one))) as commit:
            late = intending(books, an_intent(two))
            await waits_for_lock(late)
            commit()
            with pytest.raises(NotSent):
                await late
        effect = await books.effect("default", "k")
        assert effect is not None
        assert (effect.run_id, effect.tries) == (one.run.run_id, 1)

    database.using(body)


def test_an_effect_of_a_process_that_died_before_its_commit_is_begun(database: Backend) -> None:
    async def body(books: Books) -> None:
        one, two = await claimed(books), await claimed(books, "w2")
        with under_way(database, Intend(an_intent(one, cap=ONCE))):
            late = intending(books, an_intent(two, cap=ONCE))
            await waits_for_lock(late)
        assert gone(await late).run_id == two.run.run_id

    database.using(body)


def test_of_two_processes_one_reaches_a_recipient(database: Backend) -> None:
    """Their recipients overlap only in one, and the keys are different."""

    async def body(books: Books) -> None:
        one, two = await claimed(books), await claimed(books, "w2")
        first = an_intent(one, "a", cap=ONCE, recipients=["x", "y"])
        with under_way(database, Intend(first)) as commit:
            late = intending(books, an_intent(two, "b", cap=ONCE, recipients=["y", "z"]))
            await waits_for_lock(late)
            commit()
            assert kept(await late) == ["frequency"]

    database.using(body)


def test_of_two_processes_one_uses_an_approval(database: Backend) -> None:
    async def body(books: Books) -> None:
        one, two = await claimed(books), await claimed(books, "w2")
        approval = await approved(books, one)
        first = an_intent(one, "a", approval_role=ROLE)
        with under_way(database, Intend(first)) as commit:
            late = intending(books, an_intent(two, "b", approval_role=ROLE))
            await waits_for_lock(late)
            commit()
            assert kept(await late) == ["approval"]
        used = await books.approval(approval.approval_id)
        assert used is not None
        assert used.consumed_by == "a"

    database.using(body)


def test_of_two_processes_one_decides(database: Backend) -> None:
    async def body(books: Books) -> None:
        asked = await books.ask_approval(a_request(await claimed(books)))
        with under_way(database, Decide(a_decision(asked, approve=False))) as commit:
            late = asyncio.create_task(_decide(books, asked))
            await waits_for_lock(late)
            commit()
            with pytest.raises(ApprovalRefused, match="decided before"):
                await late
        assert await approval_state(books, asked) is ApprovalState.REJECTED

    database.using(body)


def test_a_decision_that_waits_until_it_is_too_late_is_refused(database: Backend) -> None:
    """Expiry is judged under the lock, by the clock that was read after it."""

    async def body(books: Books) -> None:
        claim = await claimed(books)
        asked = await books.ask_approval(a_request(claim, expires_seconds=0.3))
        with under_way(database, CancelRun(claim.run.run_id, "why")) as commit:
            late = asyncio.create_task(_decide(books, asked))
            await waits_for_lock(late)
            commit()
            with pytest.raises(ApprovalRefused, match="time is over"):
                await late

    database.using(body)


async def _decide(books: Books, asked: Any) -> Any:
    return await books.decide(a_decision(asked))


def test_a_late_word_is_told_to_the_run_that_began_the_effect_meanwhile(database: Backend) -> None:
    async def body(books: Books) -> None:
        one, two = await claimed(books), await claimed(books, "w2")
        first = await begun(books, one, deduplicates=True)
        # The sender's step is settled: another run may go on with the effect.
        await books.commit(write_of(one, steps=[a_step("mail")]))
        again = Intend(an_intent(two, deduplicates=True))
        with under_way(database, again) as commit:
            late = asyncio.create_task(_conclude_sent(books, first))
            await waits_for_lock(late)
            commit()
            sent = await late
        assert (sent.state, sent.tries, sent.run_id) == (EffectState.SENT, 2, two.run.run_id)
        assert (await types(books, two.run.run_id))[-1] == "effect.sent"
        assert "effect.sent" not in await types(books, one.run.run_id)

    database.using(body)


async def _conclude_sent(books: Books, effect: Any) -> Any:
    return await books.conclude(a_conclusion(effect, EffectState.SENT))
