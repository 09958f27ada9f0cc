"""How often a recipient may be reached."""

import asyncio
from typing import Any

import pytest

from envelope.effect import EffectState
from envelope.errors import InvalidInput
from envelope.ports.ledger import FrequencyCap
from tests.conformance.journal.making import Backend, Books, claimed, until
from tests.conformance.journal.making_effects import (
    a_conclusion,
    an_intent,
    begun,
    concluded,
    gone,
    kept,
)

SENT, FAILED, UNKNOWN = EffectState.SENT, EffectState.FAILED, EffectState.UNKNOWN
ONCE = FrequencyCap(count=1, seconds=3600)


def test_a_cap_keeps_back_what_is_too_often(backend: Backend) -> None:
    async def body(books: Books) -> None:
        claim = await claimed(books)
        cap = FrequencyCap(count=2, seconds=3600)
        for key in ("a", "b"):
            first = await begun(books, claim, key, cap=cap)
        found = await books.intend(an_intent(claim, "c", cap=cap))
        assert (found.go, found.effect) == (False, None)
        (missing,) = found.missing
        assert (missing.rule, missing.recipient) == ("frequency", "ann@example.com")
        assert "2 times" in missing.message
        assert missing.until is not None
        assert first.intended_at + 3590 < missing.until <= first.intended_at + 3600
        assert await books.effect("default", "c") is None

    backend.using(body)


@pytest.mark.parametrize(
    "other", [{"channel": "sms"}, {"recipients": ["bob@example.com"]}, {"tenant": "other"}]
)
def test_a_cap_is_for_one_place(backend: Backend, other: dict[str, Any]) -> None:
    async def body(books: Books) -> None:
        claim = await claimed(books)
        await begun(books, claim, "a", cap=ONCE)
        await begun(books, claim, "b", cap=ONCE, **other)

    backend.using(body)


@pytest.mark.parametrize(("state", "counts"), [(SENT, True), (UNKNOWN, True), (FAILED, False)])
def test_what_failed_does_not_count(backend: Backend, state: EffectState, counts: bool) -> None:
    async def body(books: Books) -> None:
        claim = await claimed(books)
        await concluded(books, claim, "a", state, cap=ONCE)
        found = await books.intend(an_intent(claim, "b", cap=ONCE))
        assert found.go is not counts

    backend.using(body)


def test_an_effect_does_not_count_against_itself(backend: Backend) -> None:
    async def body(books: Books) -> None:
        claim = await claimed(books)
        await concluded(books, claim, "a", FAILED, cap=ONCE)
        await begun(books, claim, "a", cap=ONCE)
        assert kept(await books.intend(an_intent(claim, "b", cap=ONCE))) == ["frequency"]

    backend.using(body)


def test_a_failed_effect_begins_anew_under_the_cap(backend: Backend) -> None:
    async def body(books: Books) -> None:
        claim = await claimed(books)
        failed = await concluded(books, claim, "a", FAILED, cap=ONCE)
        await begun(books, claim, "b", cap=ONCE)
        found = await books.intend(an_intent(claim, "a", cap=ONCE))
        assert kept(found) == ["frequency"]
        assert found.effect == failed

    backend.using(body)


def test_what_was_reached_without_a_cap_counts(backend: Backend) -> None:
    async def body(books: Books) -> None:
        claim = await claimed(books)
        await begun(books, claim, "a")
        assert kept(await books.intend(an_intent(claim, "b", cap=ONCE))) == ["frequency"]

    backend.using(body)


def test_every_recipient_counts(backend: Backend) -> None:
    async def body(books: Books) -> None:
        claim = await claimed(books)
        await begun(books, claim, "a", cap=ONCE, recipients=["x", "y"])
        found = await books.intend(an_intent(claim, "b", cap=ONCE, recipients=["y", "z", "x"]))
        assert [missing.recipient for missing in found.missing] == ["y", "x"]
        await begun(books, claim, "c", cap=ONCE, recipients=["z"])
        assert await books.reached("default", "email", ["x", "z", "none"], 60) == {
            "x": 1,
            "z": 1,
            "none": 0,
        }
        assert await books.reached("default", "sms", ["x"], 60) == {"x": 0}
        every = await books.reached("default", "email", ["x"], 60)
        but_one = await books.reached("default", "email", ["x"], 60, but="a")
        assert but_one == {"x": every["x"] - 1}
        assert await books.reached("other", "email", ["x"], 60) == {"x": 0}
        assert await books.reached("default", "email", [], 60) == {}

    backend.using(body)


def test_a_cap_passes_with_time(backend: Backend) -> None:
    async def body(books: Books) -> None:
        claim = await claimed(books)
        cap = FrequencyCap(count=1, seconds=0.4)
        first = await begun(books, claim, "a", cap=cap)

        async def passed() -> bool:
            return (await books.intend(an_intent(claim, "b", cap=cap))).go

        await until(passed)
        second = await books.effect("default", "b")
        assert second is not None
        assert second.intended_at - first.intended_at >= cap.seconds
        assert (await books.reached("default", "email", ["ann@example.com"], 3600)) == {
            "ann@example.com": 2
        }

    backend.using(body)


@pytest.mark.parametrize(
    "cap", [FrequencyCap(count=0, seconds=1), FrequencyCap(count=1, seconds=float("inf"))]
)
def test_a_cap_must_be_one(backend: Backend, cap: FrequencyCap) -> None:
    async def body(books: Books) -> None:
        with pytest.raises(InvalidInput, match="cap"):
            await books.intend(an_intent(await claimed(books), cap=cap))

    backend.using(body)


def test_caps_hold_within_one_batch(backend: Backend) -> None:
    async def body(books: Books) -> None:
        claim = await claimed(books)
        cap = FrequencyCap(count=3, seconds=3600)
        found = await asyncio.gather(
            *(
                books.intend(an_intent(claim, f"k{n}", cap=cap, recipients=["all", f"r{n % 5}"]))
                for n in range(40)
            )
        )
        went = [gone(each) for each in found if each.go]
        assert len(went) == 3
        for effect in went:
            await books.conclude(a_conclusion(effect, FAILED))
        assert await books.reached("default", "email", ["all"], 60) == {"all": 0}

    backend.using(body)
