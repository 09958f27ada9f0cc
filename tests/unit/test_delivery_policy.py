"""What the settings say about effects, without a look at what happened before."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envelope.effect import Effect
from envelope.errors import ApprovalRefused
from worker.delivery.approvers import Approvers
from worker.delivery.frequency import parse_cap
from worker.delivery.policy import DeliveryPolicy
from worker.delivery.quiet_hours import QuietHours
from worker.delivery.recipients import AllowList, one_spelling
from worker.settings import Settings
from worker.settings_errors import ConfigurationError

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC).timestamp()


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@pytest.mark.parametrize(
    ("pattern", "recipient", "allowed"),
    [
        ("ada@example.com", "Ada@EXAMPLE.com", True),
        ("Ada@Example.com", "ada@example.com", True),
        ("*@example.com", "ada@example.com", True),
        ("*@example.com", "ada@example.com.evil.net", False),
        ("*@example.com", "ada@evil.net@example.com", False),
        ("*@example.com", "ada@sub.example.com", False),
        ("*.example.com", "hooks.example.com", True),
        ("*.example.com", "ada@hooks.example.com", False),
        ("example.com", "ada@example.com", False),
        ("hooks.example.com", "hooks-example.com", False),
        ("a?a@example.com", "ada@example.com", False),
        ("[ab]@example.com", "a@example.com", False),
        ("*", "anybody@anywhere.example", True),
        ("*@müller.example", "a@xn--mller-kva.example", True),
        ("a@müller.example", "A@MÜLLER.example", True),
        ("a@müller.example", "a@xn--mller-kva.example", True),
    ],
)
def test_patterns_of_the_allow_list(pattern: str, recipient: str, allowed: bool) -> None:
    assert AllowList(["nobody@nowhere.example", pattern]).allows(recipient) is allowed


def test_no_pattern_allows_anyone() -> None:
    assert AllowList(()).allows("anybody@anywhere.example")


@given(st.text(max_size=40))
def test_one_spelling_is_stable(text: str) -> None:
    once = one_spelling(text)
    assert one_spelling(once) == once


@pytest.mark.parametrize(
    ("hours", "now", "until"),
    [
        ("20:00-08:00 Europe/Berlin", "2026-06-01T19:59:59+02:00", None),
        ("20:00-08:00 Europe/Berlin", "2026-06-01T20:00:00+02:00", "2026-06-02T08:00:00+02:00"),
        ("20:00-08:00 Europe/Berlin", "2026-06-02T03:00:00+02:00", "2026-06-02T08:00:00+02:00"),
        ("20:00-08:00 Europe/Berlin", "2026-06-02T08:00:00+02:00", None),
        ("20:00-08:00 Europe/Berlin", "2026-06-01T18:30:00+00:00", "2026-06-02T08:00:00+02:00"),
        ("12:00-13:30 UTC", "2026-06-01T12:00:00+00:00", "2026-06-01T13:30:00+00:00"),
        ("12:00-13:30 UTC", "2026-06-01T13:30:00+00:00", None),
        ("00:00-06:00 America/New_York", "2026-01-01T05:00:00+00:00", "2026-01-01T11:00:00+00:00"),
        # The night in which clocks go forward (2026-03-29, 02:00 -> 03:00) is an hour shorter …
        ("22:00-06:00 Europe/Berlin", "2026-03-28T23:00:00+01:00", "2026-03-29T06:00:00+02:00"),
        # … and the one in which they go back (2026-10-25, 03:00 -> 02:00) an hour longer.
        ("22:00-06:00 Europe/Berlin", "2026-10-24T23:00:00+02:00", "2026-10-25T06:00:00+01:00"),
        # An end that happens twice is the second one: nobody is disturbed in between.
        ("22:00-02:30 Europe/Berlin", "2026-10-25T02:45:00+02:00", "2026-10-25T02:30:00+01:00"),
        ("22:00-02:30 Europe/Berlin", "2026-10-25T02:30:00+01:00", None),
        # An end that does not happen at all is not before the hour that took its place.
        ("22:00-02:30 Europe/Berlin", "2026-03-29T01:59:59+01:00", "2026-03-29T03:30:00+02:00"),
        # A beginning that happens twice is the first one.
        ("02:30-05:00 Europe/Berlin", "2026-10-25T02:30:00+02:00", "2026-10-25T05:00:00+01:00"),
    ],
)
def test_quiet_hours_over_midnight_and_changes_of_clocks(
    hours: str, now: str, until: str | None
) -> None:
    found = QuietHours.parse(hours).until(at(now))
    assert found == (None if until is None else at(until))


@given(st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1)))  # noqa: DTZ001 - made aware below
def test_when_quiet_hours_are_over_they_are_over(moment: datetime) -> None:
    quiet = QuietHours.parse("21:30-02:30 America/New_York")
    now = moment.replace(tzinfo=UTC).timestamp()
    until = quiet.until(now)
    if until is not None:
        assert now < until <= now + 6.1 * 3600
        assert quiet.until(until) is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("08:00-08:00 UTC", "begin when they end"),
        ("8:00-20:00 UTC", "not hours"),
        ("20:00-24:00 UTC", "not hours"),
        ("20:00-08:00", "not hours"),
        ("20:00-08:0\u0660 UTC", "not hours"),
        ("20:00-08:00 Europe/Atlantis", "time zone"),
        ("20:00-08:00 ../UTC", "not hours"),
        ("20:00-08:00 /UTC", "time zone"),
    ],
)
def test_what_are_no_quiet_hours_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        QuietHours.parse(text)


@pytest.mark.parametrize(
    "text", ["0/7d", "2/0d", "2/7", "2/7w", "2 / 7d", "-2/7d", "1000000/7d", "\u0662/7d", "", "d"]
)
def test_what_is_no_cap_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="count and a period"):
        parse_cap(text)


@given(st.text("0123456789:-/dhUTC ", max_size=20))
def test_what_the_settings_take_the_policy_reads(text: str) -> None:
    for field in ("delivery_quiet", "delivery_cap"):
        try:
            settings = Settings.load(**{field: text})
        except ConfigurationError:
            continue
        policy = DeliveryPolicy.of(settings)
        assert (policy.quiet or policy.cap) is not None


def test_who_has_which_role() -> None:
    approvers = Approvers.parse(["ada", "bob:legal", "ada:legal", "eve:"])
    approvers.check("ada", "approver")
    approvers.check("ada", "legal")
    approvers.check("eve", "approver")
    with pytest.raises(ApprovalRefused, match=r"'bob' has not the role 'approver'.*ada, eve"):
        approvers.check("bob", "approver")
    with pytest.raises(ApprovalRefused, match="nobody"):
        approvers.check("ada", "board")
    with pytest.raises(ApprovalRefused, match="name of the person"):
        approvers.check(" ", "approver")
    Approvers.parse([]).check("anybody", "board")


def rules(policy: DeliveryPolicy, *recipients: str, allow: bool = True, now: float = NOON) -> list:
    effect = Effect(channel="email", recipients=recipients, content="{}")
    return [each.rule for each in policy.missing(effect, allow_delivery=allow, now=now)]


def test_every_rule_says_what_is_missing_and_how_to_provide_it() -> None:
    settings = Settings(
        allow_delivery=False,
        delivery_allow="*@good.example",
        delivery_quiet="11:00-13:00 UTC",
    )
    policy = DeliveryPolicy.of(settings)
    effect = Effect(channel="email", recipients=["a@good.example", "b@bad.example"], content="{}")
    missing = policy.missing(effect, allow_delivery=False, now=NOON)
    assert [each.rule for each in missing] == ["settings", "run", "allow_list", "quiet_hours"]
    assert [each.recipient for each in missing] == [None, None, "b@bad.example", None]
    assert [each.until for each in missing] == [None, None, None, NOON + 3600]
    for each, how in zip(
        missing,
        ["MUSTER_ALLOW_DELIVERY=true", "--allow-delivery", "MUSTER_DELIVERY_ALLOW", "wait"],
        strict=True,
    ):
        assert how in each.message


def test_without_rules_nothing_is_missing_but_permission() -> None:
    assert rules(DeliveryPolicy(), "a@b.example") == ["settings"]
    assert rules(DeliveryPolicy.of(Settings(allow_delivery=True)), "a@b.example") == []


def test_the_cap_and_the_channels_that_need_approval() -> None:
    policy = DeliveryPolicy.of(Settings(delivery_cap="2/7d"))
    assert policy.cap is not None
    assert (policy.cap.count, policy.cap.seconds) == (2, 7 * 86_400)
    hours = DeliveryPolicy.of(Settings(delivery_cap="1/36h")).cap
    assert hours is not None
    assert (hours.count, hours.seconds) == (1, 36 * 3_600)
    assert policy.approval_role("email") == "approver"
    assert policy.approval_role("webhook") is None
    assert DeliveryPolicy.of(Settings(approval_channels="")).approval_role("email") is None
