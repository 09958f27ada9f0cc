"""Every way in which an act can go, over the ledger in memory: never a silent second one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import structlog

from envelope.approval import ApprovalState
from envelope.effect import Effect, EffectState, Gated, Receipt, Sent
from envelope.errors import (
    Cancelled,
    EffectConflict,
    EffectUnknown,
    Fenced,
    InvalidInput,
    JournalUnavailable,
    NotSent,
    Refused,
    Retryable,
)
from envelope.ids import new_id
from envelope.ports.effects import EffectOrigin
from envelope.ports.journal_writes import NewRun, WorkerInfo
from envelope.ports.ledger import (
    ApprovalFilter,
    Decision,
    EffectRow,
    NewApproval,
    Suppression,
)
from tests.rig.engine_rig import FakeTime
from worker.delivery.effects import LedgerEffects
from worker.delivery.gate import LedgerGate
from worker.delivery.policy import DeliveryPolicy
from worker.engine.hold import Hold
from worker.journal.memory import MemoryJournal
from worker.redaction import Redactor
from worker.settings import Settings

EFFECT = Effect(channel="email", recipients=["Ada@Example.com"], content='{"text":"hi"}', key="k")
SECRET = "swordfish-7"
OPEN: dict[str, Any] = {"allow_delivery": True, "approval_channels": ""}


@dataclass
class Desk:
    """One claimed run that acts."""

    journal: MemoryJournal
    time: FakeTime
    effects: LedgerEffects
    gate: LedgerGate
    hold: Hold
    origin: EffectOrigin
    sent: list[str] = field(default_factory=list)

    async def send(self, key: str) -> Receipt:
        self.sent.append(key)
        return {"id": "42"}

    async def perform(self, effect: Effect = EFFECT, send: Any = None) -> Sent:
        return await self.effects.perform(self.origin, effect, send or self.send)

    async def row(self, key: str = "k") -> EffectRow:
        row = await self.journal.effect("default", key)
        assert row is not None
        return row

    async def missing(self, effect: Effect = EFFECT) -> list[str]:
        found = await self.gate.look(effect, tenant="default", allow_delivery=True)
        return [each.rule for each in found]

    async def approve(self, effect: Effect = EFFECT, *, approve: bool = True) -> str:
        new = NewApproval(
            approval_id=new_id(),
            run_id=self.origin.run_id,
            epoch=self.origin.epoch,
            tenant="default",
            requester="eve",
            channel=effect.channel,
            content=effect.content,
            content_sha256=effect.sha256,
            title="",
            role="approver",
            expires_seconds=100.0,
        )
        await self.journal.ask_approval(new)
        told = Decision(
            approval_id=new.approval_id,
            tenant=None,
            approve=approve,
            content_sha256=effect.sha256,
            by="ada",
        )
        await self.journal.decide(told)
        return new.approval_id


async def claimed(journal: MemoryJournal, **more: Any) -> EffectOrigin:
    run_id = new_id()
    new = NewRun(
        run_id=run_id, flow="f", version=1, payload="{}", payload_sha256="x", source="t", **more
    )
    await journal.accept(new)
    claim = await journal.claim(run_id, "w")
    assert claim is not None
    return EffectOrigin(
        run_id=run_id,
        step="s",
        attempt=1,
        agent="a",
        tenant=new.tenant,
        user=None,
        allow_delivery=True,
        idempotency_key=f"{run_id}:s",
        epoch=claim.run.epoch,
    )


@asynccontextmanager
async def desk(grace_seconds: float = 5.0, **settings: Any) -> AsyncIterator[Desk]:
    time = FakeTime()
    journal = MemoryJournal(clock=time)
    await journal.beat(WorkerInfo(worker_id="w", hostname="h", pid=1), 10)
    policy = DeliveryPolicy.of(Settings(**{**OPEN, **settings}))
    hold, log = Hold(10), structlog.get_logger("test")
    redactor = Redactor([SECRET])
    effects = LedgerEffects(
        journal, policy, hold, log, redactor=redactor, grace_seconds=grace_seconds
    )
    gate = LedgerGate(policy, journal, log)
    yield Desk(journal, time, effects, gate, hold, await claimed(journal))


def run(body: Callable[[Desk], Awaitable[None]], **settings: Any) -> None:
    async def go() -> None:
        async with desk(**settings) as one:
            await body(one)

    asyncio.run(go())


def raising(error: BaseException) -> Any:
    async def send(key: str) -> Receipt:
        raise error

    return send


def test_an_act_is_intended_done_and_concluded_and_done_once() -> None:
    async def body(one: Desk) -> None:
        async def send(key: str) -> Receipt:
            row = await one.row(key)
            assert row.state is EffectState.INTENDED, "the intent stands before anything is sent"
            return await one.send(key)

        assert await one.perform(send=send) == Sent(key="k", receipt={"id": "42"})
        row = await one.row()
        assert (row.state, row.receipt, row.tries) == (EffectState.SENT, {"id": "42"}, 1)
        assert row.recipients == ("ada@example.com",), "in one spelling"
        again = await one.perform()
        assert again == Sent(key="k", receipt={"id": "42"}, before=True)
        assert one.sent == ["k"]

    run(body)


def test_an_effect_without_a_key_has_that_of_its_step() -> None:
    async def body(one: Desk) -> None:
        sent = await one.perform(replace(EFFECT, key=None))
        assert sent.key == one.origin.idempotency_key == one.sent[0]

    run(body)


def test_an_act_that_names_nobody_is_refused() -> None:
    async def body(one: Desk) -> None:
        with pytest.raises(InvalidInput, match="at least one recipient"):
            await one.perform(replace(EFFECT, recipients=[]))
        assert await one.journal.effect("default", "k") is None

    run(body)


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"allow_delivery": False}, "settings"),
        ({"delivery_allow": "*@other.example"}, "allow_list"),
        ({"delivery_quiet": "00:00-23:59 UTC"}, "quiet_hours"),
        ({"approval_channels": "email"}, "approval"),
    ],
)
def test_what_the_settings_keep_back_is_gated_and_leaves_no_trace(
    settings: dict[str, Any], rule: str
) -> None:
    async def body(one: Desk) -> None:
        with pytest.raises(Gated, match="Nothing was sent") as gated:
            await one.perform()
        assert [each.rule for each in gated.value.missing] == [rule]
        assert await one.missing() == [rule], "the gate says the same beforehand"
        assert await one.journal.effect("default", "k") is None
        assert not one.sent

    run(body, **settings)


def test_a_run_that_may_not_deliver_delivers_nothing() -> None:
    async def body(one: Desk) -> None:
        origin = replace(one.origin, allow_delivery=False)
        with pytest.raises(Gated) as gated:
            await one.effects.perform(origin, EFFECT, one.send)
        assert [each.rule for each in gated.value.missing] == ["run"]
        assert not one.sent

    run(body)


def test_a_suppressed_recipient_is_not_reached_in_any_spelling() -> None:
    async def body(one: Desk) -> None:
        for channel in ("*", "email"):
            who = Suppression(tenant="default", channel=channel, recipient="ada@example.com")
            await one.journal.suppress(who)
            with pytest.raises(Gated) as gated:
                await one.perform()
            assert {each.rule for each in gated.value.missing} == {"suppressed"}
            assert await one.missing() == ["suppressed"]
            await one.journal.unsuppress("default", channel, "ada@example.com")
        elsewhere = Suppression(tenant="default", channel="fax", recipient="ada@example.com")
        await one.journal.suppress(elsewhere)
        assert await one.missing() == []
        await one.perform()

    run(body)


def test_nobody_is_reached_more_often_than_the_cap_says() -> None:
    async def body(one: Desk) -> None:
        for number in range(2):
            await one.perform(replace(EFFECT, key=f"k{number}"))
        with pytest.raises(Gated) as gated:
            await one.perform()
        assert [each.rule for each in gated.value.missing] == ["frequency"]
        assert await one.missing() == ["frequency"]
        one.time.advance(86_401)
        assert await one.missing() == []
        assert await one.perform()

    run(body, delivery_cap="2/1d")


def test_an_approval_is_used_once_and_for_exactly_its_content() -> None:
    async def body(one: Desk) -> None:
        approval_id = await one.approve()
        assert await one.missing() == []
        other = replace(EFFECT, content='{"text":"other"}', key="other")
        with pytest.raises(Gated):
            await one.perform(other)
        assert await one.perform()
        row = await one.journal.approval(approval_id)
        assert row is not None
        assert (row.state, row.consumed_by) == (ApprovalState.CONSUMED, "k")
        with pytest.raises(Gated):
            await one.perform(replace(EFFECT, key="k2"))
        assert await one.missing() == [], "this one happened: it needs no second consent"
        assert one.sent == ["k"]

    run(body, approval_channels="email")


def test_an_approval_that_was_rejected_or_has_expired_lets_nothing_through() -> None:
    async def body(one: Desk) -> None:
        await one.approve(approve=False)
        assert await one.missing() == ["approval"]
        await one.approve()
        assert await one.missing() == []
        one.time.advance(101)
        assert await one.missing() == ["approval"]
        with pytest.raises(Gated):
            await one.perform()
        states = {row.state for row in await one.journal.approvals(ApprovalFilter())}
        assert states == {ApprovalState.REJECTED, ApprovalState.EXPIRED}

    run(body, approval_channels="email")


def test_what_was_not_sent_is_tried_again_under_the_same_key_and_consent() -> None:
    async def body(one: Desk) -> None:
        await one.approve()
        with pytest.raises(NotSent, match="greylisted"):
            await one.perform(send=raising(NotSent("greylisted")))
        row = await one.row()
        assert (row.state, row.reason) == (EffectState.FAILED, "greylisted")
        assert await one.missing() == []
        assert (await one.perform()).before is False
        assert (await one.row()).tries == 2
        assert one.sent == ["k"]

    run(body, approval_channels="email")


def test_what_was_refused_is_failed() -> None:
    async def body(one: Desk) -> None:
        error = Refused("550 no such user")
        with pytest.raises(Refused) as refused:
            await one.perform(send=raising(error))
        assert refused.value is error
        assert (await one.row()).state is EffectState.FAILED

    run(body)


def test_a_key_whose_content_was_refused_is_spent() -> None:
    async def body(one: Desk) -> None:
        with pytest.raises(Refused):
            await one.perform(send=raising(Refused("554 spam", spent=True)))
        assert (await one.row()).state is EffectState.REFUSED
        sends: list[str] = []

        async def send(key: str) -> Receipt:
            sends.append(key)
            return {}

        with pytest.raises(Refused, match="refused before: 554 spam"):
            await one.perform(send=send)
        assert not sends, "the receiver does not see it again"

    run(body)


@pytest.mark.parametrize("error", [ConnectionResetError("cut"), TimeoutError(), ValueError("odd")])
def test_after_any_other_error_an_e_mail_is_unknown_until_a_person_says(error: Exception) -> None:
    async def body(one: Desk) -> None:
        with pytest.raises(EffectUnknown, match="muster effects settle k sent") as unknown:
            await one.perform(send=raising(error))
        assert unknown.value.__cause__ is error
        row = await one.row()
        assert row.state is EffectState.UNKNOWN
        assert type(error).__name__ in str(row.reason)
        with pytest.raises(EffectUnknown):
            await one.perform()
        assert not one.sent
        await one.journal.settle_effect("default", "k", EffectState.FAILED, by="ada")
        assert (await one.perform()).before is False
        assert one.sent == ["k"]

    run(body)


def test_what_a_person_settled_as_sent_is_never_sent_again() -> None:
    async def body(one: Desk) -> None:
        with pytest.raises(EffectUnknown):
            await one.perform(send=raising(TimeoutError()))
        await one.journal.settle_effect("default", "k", EffectState.SENT, by="ada")
        assert (await one.perform()).before is True
        assert not one.sent

    run(body)


def test_where_the_receiver_deduplicates_it_goes_again_under_the_same_key() -> None:
    async def body(one: Desk) -> None:
        effect = replace(EFFECT, deduplicates=True)
        with pytest.raises(Retryable, match="under the same key"):
            await one.perform(effect, raising(ConnectionResetError("cut")))
        assert (await one.row()).state is EffectState.INTENDED
        assert (await one.perform(effect)).before is False
        assert one.sent == ["k"]
        assert (await one.row()).tries == 2

    run(body)


def test_a_key_stands_for_one_act() -> None:
    async def body(one: Desk) -> None:
        await one.perform()
        for other in (
            replace(EFFECT, content="{}"),
            replace(EFFECT, channel="fax"),
            replace(EFFECT, recipients=["b@example.com"]),
        ):
            with pytest.raises(EffectConflict):
                await one.perform(other)
        assert one.sent == ["k"]

    run(body)


def test_what_happened_is_told_even_where_it_would_be_kept_back_now() -> None:
    async def body(one: Desk) -> None:
        await one.perform()
        with pytest.raises(EffectUnknown):
            await one.perform(replace(EFFECT, key="k2"), raising(TimeoutError()))
        one.effects._policy = DeliveryPolicy.of(Settings(allow_delivery=False))
        assert (await one.perform()).before is True
        with pytest.raises(EffectUnknown):
            await one.perform(replace(EFFECT, key="k2"))
        with pytest.raises(EffectConflict):
            await one.perform(replace(EFFECT, content="{}"))
        with pytest.raises(Gated):
            await one.perform(replace(EFFECT, key="new"))

    run(body)


def test_what_was_cut_off_and_may_not_go_again_now_is_not_called_unsent() -> None:
    async def body(one: Desk) -> None:
        effect = replace(EFFECT, deduplicates=True)
        with pytest.raises(Retryable):
            await one.perform(effect, raising(ConnectionResetError("cut")))
        one.effects._policy = DeliveryPolicy.of(Settings(allow_delivery=False))
        with pytest.raises(EffectUnknown, match="cut off.*MUSTER_ALLOW_DELIVERY"):
            await one.perform(effect)
        assert not one.sent

    run(body)


CUT = ConnectionResetError("cut")
HOOK = replace(EFFECT, deduplicates=True)


@pytest.mark.parametrize("what", ["suppressed", "expired"])
def test_what_goes_again_goes_under_the_rules_of_then(what: str) -> None:
    async def body(one: Desk) -> None:
        await one.approve(HOOK)
        with pytest.raises(Retryable):
            await one.perform(HOOK, raising(CUT))
        if what == "expired":
            one.time.advance(101)
        else:
            who = Suppression(tenant="default", channel="*", recipient="ada@example.com")
            await one.journal.suppress(who)
        with pytest.raises(EffectUnknown, match="cut off"):
            await one.perform(HOOK)
        assert not one.sent
        assert (await one.row()).state is EffectState.INTENDED
        await one.journal.unsuppress("default", "*", "ada@example.com")
        if what == "expired":
            await one.approve(HOOK)
        await one.perform(HOOK)
        assert one.sent == ["k"]

    run(body, approval_channels="email")


def test_only_a_no_for_good_says_that_a_cut_off_act_did_not_happen() -> None:
    async def body(one: Desk) -> None:
        with pytest.raises(Retryable):
            await one.perform(HOOK, raising(CUT))
        with pytest.raises(NotSent, match="503"):
            await one.perform(HOOK, raising(NotSent("503")))
        assert (await one.row()).state is EffectState.INTENDED, "the first may have arrived"
        counted = await one.journal.reached("default", "email", ["ada@example.com"], 60)
        assert counted == {"ada@example.com": 1}
        with pytest.raises(Refused):
            await one.perform(HOOK, raising(Refused("400")))
        assert (await one.row()).state is EffectState.FAILED
        with pytest.raises(NotSent):
            await one.perform(HOOK, raising(NotSent("503")))
        assert (await one.row()).state is EffectState.FAILED, "this one began anew"

    run(body)


def test_what_was_taken_back_may_have_happened_before() -> None:
    async def body(one: Desk) -> None:
        with pytest.raises(Retryable):
            await one.perform(HOOK, raising(CUT))
        intend = one.journal.intend

        async def lapsing(intent: Any) -> Any:
            made = await intend(intent)
            one.hold.lapses += 1
            return made

        one.journal.intend = lapsing  # type: ignore[method-assign]
        with pytest.raises(NotSent):
            await one.perform(HOOK)
        assert (await one.row()).state is EffectState.INTENDED

    run(body)


@pytest.mark.parametrize("effect", [EFFECT, HOOK])
def test_an_intent_whose_answer_was_lost_goes_on(
    monkeypatch: pytest.MonkeyPatch, effect: Effect
) -> None:
    monkeypatch.setattr("worker.engine.persist.AGAIN_SECONDS", 0.001)

    async def body(one: Desk) -> None:
        intend, answers = one.journal.intend, [False, True]

        async def losing(intent: Any) -> Any:
            made = await intend(intent)
            if answers.pop(0):
                return made
            raise JournalUnavailable("the answer was lost")

        one.journal.intend = losing  # type: ignore[method-assign]
        await one.perform(effect)
        row = await one.row()
        assert (row.state, row.tries, one.sent) == (EffectState.SENT, 1, ["k"])

    run(body)


def test_what_a_sender_says_is_masked_and_kept_however_odd_it_is() -> None:
    async def body(one: Desk) -> None:
        async def send(key: str) -> Receipt:
            odd: Any = float("nan")
            return {"said": f"a\x00b\ud800 {SECRET}", "api_key": "x", "n": [odd, 1.5]}

        effect = replace(EFFECT, title=f"To Ada {SECRET}\x00")
        sent = await one.perform(effect, send)
        row = await one.row()
        assert (row.state, row.title) == (EffectState.SENT, "To Ada ***")
        expected = {"said": "ab? ***", "api_key": "***", "n": ["nan", 1.5]}
        assert row.receipt == sent.receipt == expected
        with pytest.raises(Refused):
            await one.perform(replace(EFFECT, key="k2"), raising(Refused(f"\x00no\udc00 {SECRET}")))
        failed = await one.row("k2")
        assert (failed.state, failed.reason) == (EffectState.FAILED, "no? ***")
        told = str(await one.journal.events(one.origin.run_id))
        assert SECRET not in told
        assert "Ada" not in told

    run(body)


def test_the_gate_does_not_count_the_effect_itself() -> None:
    async def body(one: Desk) -> None:
        with pytest.raises(Retryable):
            await one.perform(HOOK, raising(CUT))
        assert await one.missing(HOOK) == []
        assert await one.missing(replace(HOOK, key="other")) == ["frequency"]

    run(body, delivery_cap="1/1d")


def test_quiet_hours_that_begin_while_the_lease_is_waited_for_count() -> None:
    async def body(one: Desk) -> None:
        async def assured() -> None:
            one.time.advance(1_800)

        one.hold.assured = assured  # type: ignore[method-assign]
        assert await one.missing() == [], "by the journal's clock it is 13:46"
        with pytest.raises(Gated) as gated:
            await one.perform()
        assert [each.rule for each in gated.value.missing] == ["quiet_hours"]
        assert await one.missing() == ["quiet_hours"]
        assert not one.sent

    run(body, delivery_quiet="14:00-15:00 UTC")


def test_who_meets_a_living_sender_in_quiet_hours_waits_for_it() -> None:
    async def body(one: Desk) -> None:
        other, begun, go_on = await claimed(one.journal), asyncio.Event(), asyncio.Event()

        async def slow(key: str) -> Receipt:
            begun.set()
            await go_on.wait()
            return await one.send(key)

        sending = asyncio.create_task(one.perform(HOOK, slow))
        await begun.wait()
        one.time.advance(1_800)
        await one.journal.beat(WorkerInfo(worker_id="w", hostname="h", pid=1), 10)
        with pytest.raises(NotSent, match="right now"):
            await one.effects.perform(other, HOOK, one.send)
        go_on.set()
        await sending
        assert (await one.effects.perform(other, HOOK, one.send)).before is True
        assert one.sent == ["k"]

    run(body, delivery_quiet="14:00-15:00 UTC")


async def _cancelled_while_sending(one: Desk, send: Any, effect: Effect = EFFECT) -> None:
    begun = asyncio.Event()

    async def sending(key: str) -> Receipt:
        begun.set()
        made: Receipt = await send(key)
        return made

    task = asyncio.create_task(one.perform(effect, sending))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_a_sending_that_ends_soon_after_a_cancellation_is_sent() -> None:
    async def body(one: Desk) -> None:
        async def send(key: str) -> Receipt:
            for _ in range(5):
                await asyncio.sleep(0)
            return await one.send(key)

        await _cancelled_while_sending(one, send)
        assert (await one.row()).state is EffectState.SENT
        assert (await one.perform()).before is True
        assert one.sent == ["k"]

    run(body)


@pytest.mark.parametrize("deduplicates", [False, True])
def test_a_sending_that_does_not_end_is_cut_off(deduplicates: bool) -> None:
    async def body(one: Desk) -> None:
        cut = asyncio.Event()

        async def send(key: str) -> Receipt:
            try:
                await asyncio.Event().wait()
            finally:
                cut.set()
            return {}

        effect = replace(EFFECT, deduplicates=deduplicates)
        await _cancelled_while_sending(one, send, effect)
        assert cut.is_set()
        expected = EffectState.INTENDED if deduplicates else EffectState.UNKNOWN
        assert (await one.row()).state is expected

    run(body, grace_seconds=0.01)


def test_the_outcome_is_written_however_long_the_journal_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("worker.engine.persist.AGAIN_SECONDS", 0.001)

    async def body(one: Desk) -> None:
        conclude, away = one.journal.conclude, [True, True, True]
        asked = asyncio.Event()

        async def flickering(conclusion: Any) -> EffectRow:
            asked.set()
            if away:
                away.pop()
                raise JournalUnavailable("gone")
            return await conclude(conclusion)

        one.journal.conclude = flickering  # type: ignore[method-assign]
        task = asyncio.create_task(one.perform())
        await asked.wait()
        task.cancel()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await one.row()).state is EffectState.SENT

    run(body)


def test_a_cancellation_that_overtakes_the_intent_takes_it_back() -> None:
    async def body(one: Desk) -> None:
        intend, begun, go_on = one.journal.intend, asyncio.Event(), asyncio.Event()

        async def slow(intent: Any) -> Any:
            begun.set()
            await go_on.wait()
            return await intend(intent)

        one.journal.intend = slow  # type: ignore[method-assign]
        await one.approve()
        task = asyncio.create_task(one.perform())
        await begun.wait()
        task.cancel()
        await asyncio.sleep(0)
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not one.sent
        row = await one.row()
        assert (row.state, row.tries) == (EffectState.FAILED, 1)
        assert "before anything was sent" in str(row.reason)
        assert (await one.perform()).before is False, "its consent is not lost"

    run(body, approval_channels="email")


def test_a_cancellation_ends_the_wait_for_a_journal_that_is_away() -> None:
    async def body(one: Desk) -> None:
        begun = asyncio.Event()

        async def away(intent: Any) -> Any:
            begun.set()
            await asyncio.sleep(0)
            raise JournalUnavailable("gone")

        one.journal.intend = away  # type: ignore[method-assign]
        task = asyncio.create_task(one.perform())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 5)
        assert not one.sent

    run(body)


def test_nothing_is_sent_without_the_lease() -> None:
    async def body(one: Desk) -> None:
        intend = one.journal.intend

        async def slow(intent: Any) -> Any:
            made = await intend(intent)
            one.hold._until = 0.0
            return made

        one.journal.intend = slow  # type: ignore[method-assign]
        with pytest.raises(NotSent, match="lease lapsed"):
            await one.perform()
        assert not one.sent
        assert (await one.row()).state is EffectState.FAILED

    run(body)


def test_a_lapse_between_intent_and_sending_that_was_mended_counts_too() -> None:
    async def body(one: Desk) -> None:
        intend = one.journal.intend

        async def slow(intent: Any) -> Any:
            made = await intend(intent)
            one.hold.lapses += 1
            return made

        one.journal.intend = slow  # type: ignore[method-assign]
        with pytest.raises(NotSent):
            await one.perform()
        assert not one.sent

    run(body)


def test_a_process_that_lost_the_run_sends_nothing() -> None:
    async def body(one: Desk) -> None:
        stale = replace(one.origin, epoch=(one.origin.epoch or 0) - 1)
        with pytest.raises(Fenced):
            await one.effects.perform(stale, EFFECT, one.send)
        assert not one.sent
        assert await one.journal.effect("default", "k") is None

    run(body)


def test_a_cancelled_run_begins_nothing() -> None:
    async def body(one: Desk) -> None:
        await one.journal.cancel(one.origin.run_id, "enough")
        with pytest.raises(Cancelled):
            await one.perform()
        assert not one.sent
        assert await one.journal.effect("default", "k") is None

    run(body)


def test_two_tenants_never_share_a_key() -> None:
    async def body(one: Desk) -> None:
        await one.perform()
        other = await claimed(one.journal, tenant="other")
        sent = await one.effects.perform(other, EFFECT, one.send)
        assert sent.before is False
        assert one.sent == ["k", "k"]

    run(body)
