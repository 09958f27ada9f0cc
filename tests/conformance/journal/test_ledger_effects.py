"""Effects: begun once per key, fenced, concluded by whoever knows."""

import asyncio
from typing import Any

import pytest

from envelope.effect import EffectState, Missing
from envelope.errors import (
    Cancelled,
    EffectConflict,
    Fenced,
    InvalidInput,
    NotSent,
    UnknownEffect,
)
from envelope.events import EventType
from envelope.ports.journal_rows import Claim, RunState, StepState
from envelope.ports.journal_writes import Replay, StepCommit
from envelope.ports.ledger import Conclusion, EffectFilter, EffectRow, Suppression
from tests.conformance.journal.making import (
    Backend,
    Books,
    a_step,
    a_worker,
    claimed,
    ending,
    lapse,
    last_event,
    types,
    write_of,
)
from tests.conformance.journal.making_effects import (
    a_conclusion,
    an_intent,
    begun,
    concluded,
    executing,
    gone,
    kept,
)

SENT, FAILED, UNKNOWN = EffectState.SENT, EffectState.FAILED, EffectState.UNKNOWN


async def reclaimed(books: Books, claim: Claim) -> Claim:
    """The run after its worker was lost, claimed by another one."""
    await lapse(books)
    await books.rescue(3)
    await books.beat(a_worker("w2"), 60)
    taken = await books.claim(claim.run.run_id, "w2")
    assert taken is not None
    return taken


async def effect_of(books: Books, key: str = "k") -> EffectRow:
    found = await books.effect("default", key)
    assert found is not None
    return found


def test_an_effect_is_begun_once_and_its_receipt_is_kept(backend: Backend) -> None:
    async def body(books: Books) -> None:
        claim = await claimed(books)
        effect = await begun(books, claim)
        assert (effect.tries, effect.concluded_at, effect.recipients) == (
            1,
            None,
            ("ann@example.com",),
        )
        receipt = {"id": "<1@x>", "accepted": ["ann@example.com"], "é": None}
        sent = await books.conclude(a_conclusion(effect, SENT, receipt=receipt))
        assert (sent.state, sent.receipt) == (SENT, receipt)
        assert sent.concluded_at is not None
        assert sent.concluded_at >= sent.intended_at
        assert await books.effect("default", "k") == sent
        for asker in (claim, await claimed(books, "w2")):
            again = await books.intend(an_intent(asker))
            assert (again.go, again.effect, again.missing) == (False, sent, ())

    backend.using(body)


def test_a_key_belongs_to_one_tenant(backend: Backend) -> None:
    async def body(books: Books) -> None:
        await concluded(books, await claimed(books))
        other = await begun(books, await claimed(books, tenant="other"))
        assert (other.tenant, other.tries) == ("other", 1)
        assert (await effect_of(books)).state is SENT

    backend.using(body)


def test_a_replay_knows_the_first_run_of_its_chain(backend: Backend) -> None:
    async def body(books: Books) -> None:
        first = await claimed(books)
        assert first.run.origin_id == first.run.run_id
        claim = first
        for _ in range(3):
            await books.commit(write_of(claim, **ending(RunState.FAILED)))
            claim = await claimed(books, replay=Replay(run_id=claim.run.run_id))
            assert claim.run.origin_id == first.run.run_id
        run = await books.run(claim.run.run_id)
        assert run is not None
        assert run.origin_id == first.run.run_id

    backend.using(body)


@pytest.mark.parametrize(
    "other",
    [{"content_sha256": "other"}, {"channel": "webhook"}, {"recipients": ["bob@example.com"]}],
)
@pytest.mark.parametrize("state", [None, SENT, FAILED])
def test_a_key_is_for_one_act(
    backend: Backend, other: dict[str, Any], state: EffectState | None
) -> None:
    async def body(books: Books) -> None:
        claim = await claimed(books)
        effect = await begun(books, claim)
        if state is not None:
            effect = await books.conclude(a_conclusion(effect, state))
        with pytest.raises(EffectConflict, match=r"'k' belongs to another.*new key"):
            await books.intend(an_intent(claim, **other))
        assert await effect_of(books) == effect

    backend.using(body)


def test_the_order_of_recipients_does_not_matter(backend: Backend) -> None:
    async def body(books: Books) -> None:
        claim = await claimed(books)
        effect = await concluded(books, claim, recipients=["a", "b", "a"])
        assert effect.recipients == ("a", "b")
        again = await books.intend(an_intent(claim, recipients=["b", "a"]))
        assert again.effect == effect

    backend.using(body)


def test_a_failed_effect_is_begun_anew(backend: Backend) -> None:
    async def body(books: Books) -> None:
        first = await concluded(books, await claimed(books), state=FAILED)
        claim = await claimed(books, "w2")
        second = await begun(books, claim, step="other")
        assert (second.tries, second.run_id, second.step) == (2, claim.run.run_id, "other")
        assert second.intended_at >= first.intended_at
        assert (second.concluded_at, second.reason) == (None, None)

    backend.using(body)


def test_a_stale_owner_begins_nothing(backend: Backend) -> None:
    async def body(books: Books) -> None:
        claim = await claimed(books)
        taken = await reclaimed(books, claim)
        with pytest.raises(Fenced, match="epoch"):
            await books.intend(an_intent(claim))
        await books.commit(write_of(taken, **ending()))
        with pytest.raises(Fenced, match="succeeded"):
            await books.intend(an_intent(taken))
        with pytest.raises(Fenced, match="not in the journal"):
            await books.intend(an_intent(claim, run_id="none"))
        assert await books.effect("default", "k") is None

    backend.using(body)


def test_a_settled_step_begins_nothing(backend: Backend) -> None:
    async def body(books: Books) -> None:
        claim = await claimed(books)
        await books.commit(write_of(claim, steps=[a_step("mail")]))
        with pytest.raises(Fenced, match="settled"):
            await books.intend(an_intent(claim))

    backend.using(body)


@pytest.mark.parametrize("other", [{"executor": "x2"}, {"attempt": 2}, {"step": "none"}])
def test_a_queued_step_is_fenced_by_its_executor_and_attempt(
    backend: Backend, other: dict[str, Any]
) -> None:
    async def body(books: Books) -> None:
        claim, attempt = await executing(books)
        fence = {"epoch": None, "executor": "x1", "attempt": attempt}
        with pytest.raises(Fenced):
            await books.intend(an_intent(claim, **fence | other))
        await begun(books, claim, **fence)

    backend.using(body)


def test_a_queued_step_goes_on_though_its_run_changed_hands(backend: Backend) -> None:
    async def body(books: Books) -> None:
        claim, attempt = await executing(books)
        await reclaimed(books, claim)
        await begun(books, claim, epoch=None, executor="x1", attempt=attempt)

    backend.using(body)


def test_an_intent_without_a_fence_is_refused(backend: Backend) -> None:
    async def body(books: Books) -> None:
        claim = await claimed(books)
        with pytest.raises(InvalidInput, match="fenced"):
            await books.intend(an_intent(claim, epoch=None))

    backend.using(body)


@pytest.mark.parametrize(
    "wrong",
    [
        {"key": ""},
        {"key": "k\x00"},
        {"key": "k" * 1501},
        {"title": "\ud800"},
        {"recipients": [""]},
        {"recipients": ["r" * 401]},
        {"tenant": "t" * 401},
        {"channel": ""},
    ],
)
def test_what_cannot_be_kept_is_refused(backend: Backend, wrong: dict[str, Any]) -> None:
    async def body(books: Books) -> None:
        claim = await claimed(books)
        with pytest.raises(InvalidInput):
            await books.intend(an_intent(claim, **wrong))
        assert list(await books.effects(EffectFilter())) == []

    backend.using(body)


def test_the_longest_names_are_kept(backend: Backend) -> None:
    async def body(books: Books) -> None:
        fields = {"channel": "c" * 400, "recipients": ["é" * 200]}
        claim = await claimed(books, tenant="t" * 400)
        effect = await begun(books, claim, "k" * 1500, **fields)
        assert await books.effect("t" * 400, "k" * 1500) == effect

    backend.using(body)


def test_a_lost_sender_leaves_an_unknown_effect(backend: Backend) -> None:
    async def body(books: Books) -> None:
        claim = await claimed(books)
        await begun(books, claim)
        taken = await reclaimed(books, claim)
        found = await books.intend(an_intent(taken))
        assert not found.go
        assert found.effect is not None
        assert (found.effect.state, found.effect.tries) == (UNKNOWN, 1)
        assert "lost" in (found.effect.reason or "")
        assert await effect_of(books) == found.effect
        kind, data = await last_event(books, claim.run.run_id)
        assert (kind, data["state"]) == (EventType.EFFECT_UNKNOWN, "unknown")
        assert (await books.intend(an_intent(taken))).effect == found.effect

    backend.using(body)


def test_a_lost_sender_is_repeated_where_the_receiver_deduplicates(backend: Backend) -> None:
    async def body(books: Books) -> None:
        claim = await claimed(books)
        first = await begun(books, claim, deduplicates=True)
        taken = await reclaimed(books, claim)
        second = await begun(books, taken, deduplicates=True)
        assert (first.tries, second.tries) == (1, 2)
        assert await books.conclude(a_conclusion(second, SENT)) == await effect_of(books)

    backend.using(body)


def test_a_step_that_repeats_its_own_intent_does_not_send_twice(backend: Backend) -> None:
    async def body(books: Books) -> None:
        claim = await claimed(books)
        effect = await begun(books, claim)
        again = await books.intend(an_intent(claim))
        assert not again.go
        assert again.effect is not None
        assert again.effect.state is UNKNOWN
        # Its sender lives after all, and knows.
        sent = await books.conclude(a_conclusion(effect, SENT))
        assert (sent.state, sent.reason) == (SENT, None)

    backend.using(body)


@pytest.mark.parametrize("deduplicates", [False, True])
def test_what_another_is_sending_is_looked_at_later(backend: Backend, deduplicates: bool) -> None:
    async def body(books: Books) -> None:
        sender = await claimed(books)
        effect = await begun(books, sender, deduplicates=deduplicates)
        other = await claimed(books, "w2")
        with pytest.raises(NotSent, match="right now") as raised:
            await books.intend(an_intent(other, deduplicates=deduplicates))
        assert (raised.value.retry_after or 0) > 0
        assert await effect_of(books) == effect
        await books.conclude(a_conclusion(effect, SENT))
        again = await books.intend(an_intent(other, deduplicates=deduplicates))
        assert again.effect is not None
        assert (again.go, again.effect.state) == (False, SENT)

    backend.using(body)


def test_what_is_repeated_goes_under_the_rules_that_hold_by_then(backend: Backend) -> None:
    async def body(books: Books) -> None:
        claim = await claimed(books)
        await begun(books, claim, deduplicates=True)
        taken = await reclaimed(books, claim)
        asked: list[float] = []

        def quiet(now: float) -> list[Missing]:
            asked.append(now)
            return [Missing(rule="quiet_hours", message="Hush.")]

        await books.suppress(
            Suppression(tenant="default", channel="email", recipient="ann@example.com")
        )
        found = await books.intend(an_intent(taken, deduplicates=True, rules=quiet))
        assert kept(found) == ["quiet_hours", "suppressed"]
        assert asked == [pytest.approx(await books.now(), abs=5)]
        assert found.effect is not None
        assert (found.effect.state, found.effect.tries) == (EffectState.INTENDED, 1)
        assert await books.effect("default", "k") == found.effect

    backend.using(body)


@pytest.mark.parametrize("deduplicates", [False, True])
def test_the_repetition_of_an_intent_goes_where_the_first_was_written(
    backend: Backend, deduplicates: bool
) -> None:
    async def body(books: Books) -> None:
        claim = await claimed(books)
        intent = an_intent(claim, deduplicates=deduplicates, nonce="n1")
        first = gone(await books.intend(intent))
        assert gone(await books.intend(intent)) == first
        assert (first.tries, first.unresolved) == (1, False)
        other = await books.intend(an_intent(claim, deduplicates=deduplicates, nonce="n2"))
        assert other.go is deduplicates
        if deduplicates:
            assert gone(other).unresolved
            found = await books.effect("default", "k")
            assert found is not None
            assert found.unresolved
            await books.conclude(a_conclusion(gone(other), FAILED))
            assert not (await begun(books, claim, deduplicates=True)).unresolved

    backend.using(body)


@pytest.mark.parametrize("how", ["settled", "ended", "lost"])
def test_a_sender_is_lost_when_its_fence_is(backend: Backend, how: str) -> None:
    async def body(books: Books) -> None:
        sender = await claimed(books)
        await begun(books, sender)
        other = await claimed(books, "w2")
        if how == "settled":
            await books.commit(write_of(sender, steps=[a_step("mail")]))
        elif how == "ended":
            await books.commit(write_of(sender, **ending(RunState.FAILED)))
        else:
            await lapse(books)
            await books.rescue(3)
        found = await books.intend(an_intent(other))
        assert found.effect is not None
        assert (found.go, found.effect.state) == (False, UNKNOWN)
        # It says who began it, and the one who found it out tells.
        assert found.effect.run_id == sender.run.run_id
        assert (await types(books, other.run.run_id))[-1] == EventType.EFFECT_UNKNOWN

    backend.using(body)


def test_an_executor_that_lost_its_step_is_a_lost_sender(backend: Backend) -> None:
    async def body(books: Books) -> None:
        claim, attempt = await executing(books)
        fence = {"epoch": None, "executor": "x1", "attempt": attempt}
        await begun(books, claim, deduplicates=True, **fence)
        other = await claimed(books, "w2")
        with pytest.raises(NotSent):
            await books.intend(an_intent(other, deduplicates=True))
        await books.rescue_steps([(claim.run.run_id, "mail")], 3)
        assert (await begun(books, other, deduplicates=True)).tries == 2

    backend.using(body)


def test_nothing_begins_after_a_cancel_even_across_a_death(backend: Backend) -> None:
    async def body(books: Books) -> None:
        claim = await claimed(books)
        await concluded(books, claim, "failed", FAILED)
        await begun(books, claim, "cut off", deduplicates=True)
        sent = await concluded(books, claim, "sent")
        await books.cancel(claim.run.run_id, "enough")
        await _check_nothing_begins(books, claim, sent)
        await _check_nothing_begins(books, await reclaimed(books, claim), sent)

    backend.using(body)


async def _check_nothing_begins(books: Books, claim: Claim, sent: EffectRow) -> None:
    for key in ("new", "failed"):
        with pytest.raises(Cancelled, match="enough"):
            await books.intend(an_intent(claim, key))
    with pytest.raises(Cancelled, match="enough"):
        await books.intend(an_intent(claim, "cut off", deduplicates=True))
    assert (await books.intend(an_intent(claim, "sent"))).effect == sent
    assert await books.effect("default", "new") is None


def test_a_compensation_may_begin_after_a_cancel(backend: Backend) -> None:
    async def body(books: Books) -> None:
        claim = await claimed(books)
        await books.cancel(claim.run.run_id, "enough")
        await begun(books, claim, "inline", undo=True)
        undo = a_step("undo", StepState.QUEUED, inline=False, attempt=0, kind="undo")
        await books.commit(write_of(claim, steps=[undo]))
        taken = await books.claim_step(claim.run.run_id, "undo", "x1")
        assert taken is not None
        fence = {"epoch": None, "executor": "x1", "attempt": 1, "step": "undo"}
        await begun(books, claim, "queued", **fence)

    backend.using(body)


@pytest.mark.parametrize("state", [FAILED, UNKNOWN])
def test_what_was_sent_stays_sent(backend: Backend, state: EffectState) -> None:
    async def body(books: Books) -> None:
        claim = await claimed(books)
        effect = await begun(books, claim)
        sent = await books.conclude(a_conclusion(effect, SENT, receipt={"id": 1}))
        assert await books.conclude(a_conclusion(effect, state)) == sent
        assert await books.conclude(a_conclusion(effect, SENT)) == sent
        assert (await types(books, claim.run.run_id)).count("effect.sent") == 1

    backend.using(body)


def test_a_late_word_counts_only_where_it_says_sent(backend: Backend) -> None:
    async def body(books: Books) -> None:
        claim = await claimed(books)
        first = await begun(books, claim, deduplicates=True)
        second = await begun(books, claim, deduplicates=True)
        assert await books.conclude(a_conclusion(first, FAILED)) == second
        sent = await books.conclude(a_conclusion(first, SENT))
        assert sent.state is SENT
        assert await books.conclude(a_conclusion(second, FAILED)) == sent

    backend.using(body)


@pytest.mark.parametrize("before", [FAILED, UNKNOWN])
def test_a_sender_may_know_better_later(backend: Backend, before: EffectState) -> None:
    async def body(books: Books) -> None:
        claim = await claimed(books)
        effect = await begun(books, claim)
        await books.conclude(a_conclusion(effect, before, reason="r"))
        assert (await books.reached("default", "email", effect.recipients, 60)) == {
            "ann@example.com": int(before is UNKNOWN)
        }
        sent = await books.conclude(a_conclusion(effect, SENT))
        assert (sent.state, sent.reason) == (SENT, None)
        assert (await books.reached("default", "email", effect.recipients, 60)) == {
            "ann@example.com": 1
        }

    backend.using(body)


def test_a_conclusion_needs_no_fence(backend: Backend) -> None:
    async def body(books: Books) -> None:
        claim = await claimed(books)
        effect = await begun(books, claim)
        taken = await reclaimed(books, claim)
        await books.commit(write_of(taken, **ending()))
        before = await types(books, claim.run.run_id)
        assert (await books.conclude(a_conclusion(effect, SENT))).state is SENT
        # The run's events stop at the terminal one.
        assert await types(books, claim.run.run_id) == before

    backend.using(body)


def test_a_conclusion_must_conclude_something_known(backend: Backend) -> None:
    async def body(books: Books) -> None:
        effect = await begun(books, await claimed(books))
        with pytest.raises(InvalidInput, match="sent, failed or unknown"):
            await books.conclude(a_conclusion(effect, EffectState.INTENDED))
        with pytest.raises(InvalidInput):
            await books.conclude(a_conclusion(effect, SENT, receipt={"x": float("nan")}))
        for name in ({"key": "none"}, {"tenant": "other"}):
            with pytest.raises(UnknownEffect):
                await books.conclude(a_conclusion(effect, SENT, **name))

    backend.using(body)


@pytest.mark.parametrize("state", [SENT, FAILED])
def test_a_person_settles_what_nobody_knows(backend: Backend, state: EffectState) -> None:
    async def body(books: Books) -> None:
        claim = await claimed(books)
        await concluded(books, claim, state=UNKNOWN)
        settled = await books.settle_effect("default", "k", state, by="me", reason="I looked")
        assert (settled.state, settled.settled_by, settled.reason) == (state, "me", "I looked")
        assert await effect_of(books) == settled
        assert (await types(books, claim.run.run_id))[-1] == f"effect.{state.value}"
        with pytest.raises(EffectConflict, match=state.value):
            await books.settle_effect("default", "k", SENT, by="me")
        if state is FAILED:
            again = await begun(books, claim)
            assert (again.tries, again.settled_by) == (2, None)

    backend.using(body)


def test_an_intended_effect_is_settled_only_when_its_sender_is_lost(backend: Backend) -> None:
    async def body(books: Books) -> None:
        claim = await claimed(books)
        await begun(books, claim)
        with pytest.raises(EffectConflict, match="is sending it"):
            await books.settle_effect("default", "k", SENT, by="me")
        await books.commit(write_of(claim, **ending(RunState.FAILED)))
        assert (await books.settle_effect("default", "k", SENT, by="me")).state is SENT

    backend.using(body)


def test_a_settlement_must_be_one(backend: Backend) -> None:
    async def body(books: Books) -> None:
        await concluded(books, await claimed(books), state=UNKNOWN)
        for state in (UNKNOWN, EffectState.INTENDED):
            with pytest.raises(InvalidInput):
                await books.settle_effect("default", "k", state, by="me")
        with pytest.raises(InvalidInput, match="who"):
            await books.settle_effect("default", "k", SENT, by=" ")
        with pytest.raises(UnknownEffect):
            await books.settle_effect("other", "k", SENT, by="me")

    backend.using(body)


def test_events_name_the_effect_and_hold_nothing_secret(backend: Backend) -> None:
    async def body(books: Books) -> None:
        claim = await claimed(books)
        effect = await begun(books, claim)
        events = [(await books.events(claim.run.run_id))[-1]]
        receipt = {"token": "secret"}
        await books.conclude(a_conclusion(effect, SENT, receipt=receipt))
        events.append((await books.events(claim.run.run_id))[-1])
        assert [event.type for event in events] == ["effect.intended", "effect.sent"]
        assert {event.step for event in events} == {"mail"}
        _, data = await last_event(books, claim.run.run_id)
        assert data == {
            "key": "k",
            "channel": "email",
            "state": "sent",
            "tries": 1,
        }

    backend.using(body)


def test_effects_are_listed_newest_first(backend: Backend) -> None:
    async def body(books: Books) -> None:
        one, two = await claimed(books), await claimed(books, "w2", tenant="other")
        await concluded(books, one, "a", recipients=["x", "y"])
        await concluded(books, one, "b", FAILED, recipients=["y"])
        await begun(books, one, "c", channel="webhook", recipients=["host"])
        await begun(books, two, "a", recipients=["x"])

        async def listed(**which: Any) -> list[tuple[str, str]]:
            return [(row.tenant, row.key) for row in await books.effects(EffectFilter(**which))]

        every = [("other", "a"), ("default", "c"), ("default", "b"), ("default", "a")]
        assert await listed() == every
        assert await listed(limit=2) == every[:2]
        assert await listed(limit=0) == []
        assert await listed(tenant="default") == every[1:]
        assert await listed(state=EffectState.INTENDED) == every[:2]
        assert await listed(channel="webhook") == every[1:2]
        assert await listed(run_id=two.run.run_id) == every[:1]
        assert await listed(recipient="x") == [every[0], every[3]]
        assert await listed(recipient="y", tenant="default", state=FAILED) == [every[2]]

    backend.using(body)


def test_two_intents_of_one_key_at_once_begin_it_once(backend: Backend) -> None:
    async def body(books: Books) -> None:
        claims = [await claimed(books, f"w{n}") for n in range(8)]
        answers = await asyncio.gather(
            *(books.intend(an_intent(claim)) for claim in claims), return_exceptions=True
        )
        went = [answer for answer in answers if not isinstance(answer, BaseException)]
        refused = [answer for answer in answers if isinstance(answer, BaseException)]
        assert len(went) == 1
        gone(went[0])
        assert {type(error) for error in refused} == {NotSent}

    backend.using(body)


def test_a_claim_begun_and_lost_in_one_batch_is_seen(backend: Backend) -> None:
    async def body(books: Books) -> None:
        claim = await claimed(books)
        commit = write_of(claim, **ending(RunState.FAILED))
        answers = await asyncio.gather(
            books.intend(an_intent(claim)),
            books.commit(commit),
            books.intend(an_intent(claim, "late")),
            return_exceptions=True,
        )
        kinds = [type(answer).__name__ for answer in answers]
        assert kinds == ["Intended", "int", "Fenced"]
        assert await books.effect("default", "late") is None

    backend.using(body)


def test_a_refused_neighbour_leaves_an_intent_alone(backend: Backend) -> None:
    async def body(books: Books) -> None:
        claim = await claimed(books)
        unknown = Conclusion(key="none", tenant="default", tries=1, state=SENT)
        answers = await asyncio.gather(
            books.conclude(unknown), books.intend(an_intent(claim)), return_exceptions=True
        )
        assert isinstance(answers[0], UnknownEffect)
        assert not isinstance(answers[1], BaseException)
        gone(answers[1])

    backend.using(body)


def test_a_step_keeps_its_fence_while_it_hands_back(backend: Backend) -> None:
    """A step that is given back begins nothing more under the old attempt."""

    async def body(books: Books) -> None:
        claim, attempt = await executing(books)
        back = StepCommit(
            run_id=claim.run.run_id,
            step="mail",
            attempt=attempt,
            executor="x1",
            state=StepState.QUEUED,
        )
        await books.commit_step(back)
        taken = await books.claim_step(claim.run.run_id, "mail", "x1")
        assert taken is not None
        fence = {"epoch": None, "executor": "x1", "attempt": attempt}
        with pytest.raises(Fenced):
            await books.intend(an_intent(claim, **fence))
        await begun(books, claim, **fence | {"attempt": taken.step.attempt})

    backend.using(body)
