"""The parts of the demo's delivery: whom it goes to, who is asked, what receives, how it looks."""

from __future__ import annotations

import asyncio
import io
import os
import pty
import smtplib
import sys
from collections.abc import Awaitable, Callable, Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from control.demo.delivery_view import print_received
from control.demo.letter import address_of, check_symbol, letter_of
from control.demo.mail_sink import MailSink, ReceivedMail
from control.demo.options import Deliver, DemoOptions
from control.demo.question import ask
from control.demo.results import Result
from control.demo.settings import delivery_settings, demo_settings
from control.demo.work import read_work
from control.worker_process import environment_of
from envelope import Envelope, Record
from envelope.effect import Effect
from envelope.errors import InvalidInput
from envelope.ports.journal_rows import Run
from tests.rig.engine_rig import rigged
from worker.delivery.policy import DeliveryPolicy
from worker.settings import Settings

LEADS = [
    {"symbol": "AAA", "company": "Ålesund & Søn"},
    {"symbol": "", "company": "Bee Ltd"},
]


@pytest.mark.parametrize(
    ("company", "symbol", "address"),
    [
        ("Alder & Pike Bank", "ALDR", "alder-pike-bank@example.org"),
        ("Møller Åkeri", "MA", "mller-akeri@example.org"),
        ("会社", "KAI", "kai@example.org"),
        ("会社", "", "company@example.org"),
        ("x" * 200, "X", f"{'x' * 60}@example.org"),
        ("a@evil.example\r\nBcc: b", "", "a-evil-example-bcc-b@example.org"),
    ],
)
def test_an_address_is_made_of_the_name_at_a_domain_that_nobody_owns(
    company: str, symbol: str, address: str
) -> None:
    assert address_of(company, symbol) == address


def test_every_company_of_the_sample_has_an_address_of_its_own() -> None:
    leads = read_work(None, None)
    made = {address_of(lead["company"], lead["symbol"]) for lead in leads}
    assert len(made) == len(leads)


def test_a_company_is_named_by_symbol_or_name_in_any_case() -> None:
    for name in ("AAA", "aaa", "bee ltd", None):
        check_symbol(LEADS, name)
    with pytest.raises(InvalidInput, match=r"No company 'CCC' is among the 2.*AAA, Bee Ltd"):
        check_symbol(LEADS, "CCC")


async def _runs(*envelopes: Envelope | None) -> list[Run]:
    async with rigged() as rig:
        made = []
        for envelope in envelopes:
            row = await rig.run(await rig.accept("one", {"text": "x"}))
            made.append(_with(row, envelope))
        return made


def _with(row: Run, envelope: Envelope | None) -> Run:
    fields = {name: getattr(row, name) for name in row.__dataclass_fields__}
    return Run(**{**fields, "envelope": envelope.to_json() if envelope else None})


def test_the_first_draft_is_taken_or_that_of_the_company_named() -> None:
    mails = [Record.of({"subject": f"s{n}", "body": "b"}, source="copywriter") for n in range(2)]
    drafted = [Envelope.from_records([mail], source="lead") for mail in mails]
    none, first, second = asyncio.run(_runs(None, *drafted))
    leads = [{"symbol": f"C{n}", "company": f"Company {n}"} for n in range(3)]
    results = [
        Result(run=run, lead=lead, subject="")
        for run, lead in zip((none, first, second), leads, strict=True)
    ]
    letter = letter_of(results, None)
    assert letter is not None
    assert (letter.run_id, letter.draft) == (first.run_id, mails[0].id)
    assert (letter.company, letter.to) == ("Company 1", "company-1@example.org")
    named = letter_of(results, "c2")
    assert named is not None
    assert named.draft == mails[1].id
    assert letter_of(results, "C0") is None


def test_the_command_repeats_what_was_asked_for() -> None:
    plain = DemoOptions(deliver=Deliver(by="ada"))
    assert plain.delivery_command == "muster demo --deliver"
    full = DemoOptions(
        leads=Path("my leads.csv"), limit=3, deliver=Deliver(symbol="AAA", by="ada", yes=True)
    )
    assert full.delivery_command == "muster demo --deliver AAA --leads 'my leads.csv' --limit 3"


def test_a_demo_sends_to_nobody_and_its_delivery_to_its_own_server_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    theirs = {
        "MUSTER_ALLOW_DELIVERY": "true",
        "MUSTER_SMTP_URL": "smtps://u:secret@mail.example.com",
        "MUSTER_MAIL_FROM": "me@example.com",
        "MUSTER_DELIVERY_ALLOW": "*@example.com",
        "MUSTER_DELIVERY_QUIET": "00:00-23:59 UTC",
        "MUSTER_DELIVERY_CAP": "1/30d",
        "MUSTER_APPROVERS": "grace",
        "MUSTER_APPROVAL_CHANNELS": "webhook",
    }
    for name, value in theirs.items():
        monkeypatch.setenv(name, value)
    plain = demo_settings()
    assert (plain.allow_delivery, plain.smtp_url, plain.approvers) == (False, None, ())
    told = environment_of(delivery_settings(plain, 2525), {**os.environ})
    assert "secret" not in str(told)
    for name in theirs:
        monkeypatch.delenv(name)
    for name, value in told.items():
        if name.startswith("MUSTER_"):
            monkeypatch.setenv(name, value)
    worker = Settings.load()
    assert worker.smtp_url is not None
    assert worker.smtp_url.get_secret_value() == "smtp://127.0.0.1:2525"
    policy = DeliveryPolicy.of(worker)
    assert policy.approval_role("email") == "approver"
    policy.approvers.check("anybody", "approver")
    ours, other = (
        Effect(channel="email", recipients=[to], content="{}")
        for to in ("ada@example.org", "ada@example.com")
    )
    assert policy.missing(ours, allow_delivery=True, now=0.0) == []
    assert [each.rule for each in policy.missing(other, allow_delivery=True, now=0.0)] == [
        "allow_list"
    ]


def _mail() -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Message-ID"] = "a@example.org", "b@example.org", "<1@x>"
    mail["Subject"] = "Grüße [bold]x[/]"
    mail.set_content("Dear Bee,\n.\n[red]fine[/] ü\x1b[2J\n")
    return mail


def test_the_sink_takes_a_mail_as_any_server_does_and_finds_it_again() -> None:
    async def scenario() -> MailSink:
        async with MailSink() as sink:

            def send() -> None:
                with smtplib.SMTP("127.0.0.1", sink.port) as client:
                    client.send_message(_mail())

            await asyncio.to_thread(send)
            return sink

    sink = asyncio.run(scenario())
    mail = sink.received("<1@x>")
    assert mail is not None
    assert (mail.sender, mail.recipients) == ("a@example.org", ("b@example.org",))
    assert mail.text.splitlines()[:2] == ["Dear Bee,", "."]
    assert "\r" not in mail.text
    assert sink.received("<2@x>") is None
    assert sink.received(None) is None


def test_a_received_mail_is_shown_as_it_is_and_commands_nothing() -> None:
    out = io.StringIO()
    mail = ReceivedMail(sender="a@x", recipients=("b@x",), content=_mail().as_bytes())
    print_received(Console(file=out, width=100, force_terminal=False), mail)
    shown = out.getvalue()
    assert "Subject: Grüße [bold]x[/]" in shown
    assert "[red]fine[/] ü\\x1b[2J" in shown
    assert "RCPT TO: b@x" in shown


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The other end of this process's standard input."""
    master, slave = pty.openpty()
    with os.fdopen(slave, "r") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield master
    os.close(master)


Answered = Callable[[asyncio.Task[bool | None]], Awaitable[bool | None]]


def asked(capsys: Any, body: Answered, *, default: bool = False) -> bool | None:
    async def scenario() -> bool | None:
        task = asyncio.create_task(ask("Send?", default))
        async with asyncio.timeout(10):
            while "Send?" not in capsys.readouterr().out:
                await asyncio.sleep(0.01)
        return await body(task)

    return asyncio.run(scenario())


@pytest.mark.parametrize(
    ("typed", "default", "answer"),
    [
        (b"y\n", False, True),
        (b"No\n", True, False),
        (b"\n", True, True),
        (b"\n", False, False),
        (b"what?\nYES\n", False, True),
        (b"\x04", False, None),
    ],
)
def test_a_question_is_answered_by_a_line(
    terminal: int, capsys: Any, typed: bytes, default: bool, answer: bool | None
) -> None:
    async def body(task: asyncio.Task[bool | None]) -> bool | None:
        os.write(terminal, typed)
        async with asyncio.timeout(10):
            return await task

    assert asked(capsys, body, default=default) is answer


def test_what_was_typed_before_the_question_is_no_answer(terminal: int, capsys: Any) -> None:
    os.write(terminal, b"y\n")

    async def body(task: asyncio.Task[bool | None]) -> bool | None:
        os.write(terminal, b"n\n")
        async with asyncio.timeout(10):
            return await task

    assert asked(capsys, body) is False


def test_a_question_ends_when_it_is_cancelled(terminal: int, capsys: Any) -> None:
    async def body(task: asyncio.Task[bool | None]) -> bool | None:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return None

    assert asked(capsys, body) is None
