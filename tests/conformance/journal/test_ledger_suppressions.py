"""Who shall not be reached."""

from typing import Any

import pytest

from envelope.effect import EffectState
from envelope.errors import InvalidInput
from envelope.ports.ledger import FrequencyCap, Suppression
from tests.conformance.journal.making import Backend, Books, claimed
from tests.conformance.journal.making_effects import an_intent, begun, concluded, kept


def a_suppression(recipient: str = "ann@example.com", **fields: Any) -> Suppression:
    values: dict[str, Any] = {"tenant": "default", "channel": "email", "recipient": recipient}
    return Suppression(**values | fields)


async def listed(books: Books, tenant: str = "default", **which: Any) -> list[tuple[str, str]]:
    return [(row.recipient, row.channel) for row in await books.suppressions(tenant, **which)]


@pytest.mark.parametrize("channel", ["email", "*"])
def test_a_suppressed_recipient_is_not_reached(backend: Backend, channel: str) -> None:
    async def body(books: Books) -> None:
        claim = await claimed(books)
        await books.suppress(a_suppression(channel=channel, reason="asked to stop", by="me"))
        found = await books.intend(an_intent(claim, recipients=["bob", "ann@example.com"]))
        assert (found.go, found.effect) == (False, None)
        (missing,) = found.missing
        assert (missing.rule, missing.recipient) == ("suppressed", "ann@example.com")
        assert "asked to stop" in missing.message
        assert "muster suppress remove" in missing.message
        assert await books.unsuppress("default", channel, "ann@example.com")
        assert not await books.unsuppress("default", channel, "ann@example.com")
        await begun(books, claim)

    backend.using(body)


@pytest.mark.parametrize(
    "other", [{"channel": "sms"}, {"tenant": "other"}, {"recipient": "bob@example.com"}]
)
def test_a_suppression_is_for_one_place(backend: Backend, other: dict[str, Any]) -> None:
    async def body(books: Books) -> None:
        await books.suppress(a_suppression(**other))
        await begun(books, await claimed(books))

    backend.using(body)


def test_a_failed_effect_does_not_reach_who_was_suppressed_since(backend: Backend) -> None:
    async def body(books: Books) -> None:
        claim = await claimed(books)
        failed = await concluded(books, claim, state=EffectState.FAILED)
        await books.suppress(a_suppression())
        found = await books.intend(an_intent(claim))
        assert kept(found) == ["suppressed"]
        assert found.effect == failed

    backend.using(body)


def test_all_that_is_missing_is_said_at_once(backend: Backend) -> None:
    async def body(books: Books) -> None:
        claim = await claimed(books)
        await begun(books, claim, "a")
        await books.suppress(a_suppression())
        cap = FrequencyCap(count=1, seconds=60)
        found = await books.intend(an_intent(claim, "b", cap=cap, approval_role="approver"))
        assert kept(found) == ["suppressed", "frequency", "approval"]

    backend.using(body)


def test_again_replaces_the_reason(backend: Backend) -> None:
    async def body(books: Books) -> None:
        await books.suppress(a_suppression(reason="first", by="me"))
        (first,) = await books.suppressions("default")
        await books.suppress(a_suppression(reason="second", by="you"))
        (second,) = await books.suppressions("default")
        assert (first.reason, first.by, second.reason, second.by) == (
            "first",
            "me",
            "second",
            "you",
        )
        assert second.at >= first.at > 1e9

    backend.using(body)


def test_suppressions_are_listed_by_recipient(backend: Backend) -> None:
    async def body(books: Books) -> None:
        for recipient, channel in (("b", "email"), ("a", "*"), ("b", "sms"), ("c", "email")):
            await books.suppress(a_suppression(recipient, channel=channel))
        await books.suppress(a_suppression("a", tenant="other"))
        every = [("a", "*"), ("b", "email"), ("b", "sms"), ("c", "email")]
        assert await listed(books) == every
        assert await listed(books, limit=2) == every[:2]
        assert await listed(books, limit=0) == []
        assert await listed(books, channel="sms") == [("a", "*"), ("b", "sms")]
        assert await listed(books, recipients=["c", "a", "none"]) == [("a", "*"), ("c", "email")]
        assert await listed(books, channel="sms", recipients=["a", "b"]) == [
            ("a", "*"),
            ("b", "sms"),
        ]
        assert await listed(books, recipients=[]) == []
        assert await listed(books, "other") == [("a", "email")]

    backend.using(body)


@pytest.mark.parametrize("wrong", [{"recipient": ""}, {"channel": "\x00"}, {"reason": "\ud800"}])
def test_what_cannot_be_kept_is_refused(backend: Backend, wrong: dict[str, Any]) -> None:
    async def body(books: Books) -> None:
        with pytest.raises(InvalidInput):
            await books.suppress(a_suppression(**wrong))
        assert await listed(books) == []

    backend.using(body)
