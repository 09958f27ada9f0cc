"""E-mail to real servers: one that is polite, and ones that fail at each point of the dialogue."""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import UTC, datetime
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest

from agents.email import Mailer
from agents.email.message import OutgoingMail, outgoing_mail
from agents.email.request import EmailRequest
from agents.email.smtp_mailer import SmtpMailer
from envelope.canonical import canonical_json
from envelope.effect import Receipt
from envelope.errors import EffectUnknown, NotSent, Refused
from envelope.resources import Resources
from tests.services.certificates import Certificate
from tests.services.delivering_step import DeliveringStep
from tests.services.ports import free_port
from tests.services.recording_effects import RecordingEffects
from tests.services.smtp_sink import (
    MailServer,
    Say,
    ScriptedServer,
    cut,
    drip,
    drip_lines,
    saying,
    silence,
)

PASSWORD = "p:ss/wörd hunter22"
QUOTED = "p%3Ass%2Fw%C3%B6rd%20hunter22"


REQUEST: dict[str, Any] = {
    "to": "ada@example.com",
    "sender": "Firm <sales@firm.example>",
    "subject": "Grüße",
    "text": "Hello\n.\n..dots\n.QUIT\nDATA\n",
    "key": "k",
}


def _mail(**change: Any) -> OutgoingMail:
    request = EmailRequest(**{**REQUEST, **change})
    return outgoing_mail(request, tenant="t1", key="k", at=datetime.now(UTC))


def _deliver(
    answers: dict[str, Say], seconds: float = 30.0, user: str = ""
) -> tuple[Receipt | Exception, ScriptedServer, float]:
    async def scenario() -> tuple[Receipt | Exception, ScriptedServer, float]:
        begun = time.monotonic()
        async with ScriptedServer(answers) as server:
            mailer = SmtpMailer(f"smtp://{user}127.0.0.1:{server.port}", seconds=seconds)
            try:
                outcome: Receipt | Exception = await mailer.deliver(_mail(), "k")
            except Exception as error:
                outcome = error
        return outcome, server, time.monotonic() - begun

    return asyncio.run(scenario())


def test_a_real_server_takes_what_was_written() -> None:
    async def scenario() -> tuple[MailServer, Receipt]:
        async with MailServer() as server:
            mailer = SmtpMailer(f"smtp://127.0.0.1:{server.port}")
            return server, await mailer.deliver(mail, "k")

    mail = _mail()
    server, receipt = asyncio.run(scenario())
    assert receipt == {"message_id": mail.message_id, "answer": "250 2.0.0 taken as 4711"}
    (taken,) = server.taken
    assert (taken.sender, taken.recipients) == ("sales@firm.example", ("ada@example.com",))
    message = message_from_bytes(taken.content, policy=policy.default)
    text = message.get_content().replace("\r\n", "\n")
    assert text == "Hello\n.\n..dots\n.QUIT\nDATA\n"
    assert taken.content == mail.content


@pytest.mark.parametrize("scheme", ["smtps", "smtp+starttls"])
def test_over_tls_with_a_login(tmp_path: Path, scheme: str) -> None:
    certificate = Certificate(tmp_path, "127.0.0.1")
    place = "tls" if scheme == "smtps" else "starttls"

    async def scenario() -> MailServer:
        login = ("sales@firm", PASSWORD)
        async with MailServer(login=login, **{place: certificate.server()}) as server:  # type: ignore[arg-type] # one of two contexts
            url = f"{scheme}://sales%40firm:{QUOTED}@127.0.0.1:{server.port}"
            await SmtpMailer(url, tls=certificate.trusting()).deliver(_mail(), "k")
            return server

    (taken,) = asyncio.run(scenario()).taken
    assert (taken.over_tls, taken.logged_in) == (True, True)


@pytest.mark.parametrize("scheme", ["smtps", "smtp+starttls"])
@pytest.mark.parametrize("name", ["127.0.0.1", "another.example"])
def test_a_wrong_certificate_is_refused(tmp_path: Path, scheme: str, name: str) -> None:
    """Trusted by nobody, or made out to another name."""
    certificate = Certificate(tmp_path, name)
    tls = None if name == "127.0.0.1" else certificate.trusting()
    place = "tls" if scheme == "smtps" else "starttls"

    async def scenario() -> MailServer:
        async with MailServer(**{place: certificate.server()}) as server:  # type: ignore[arg-type] # as above
            mailer = SmtpMailer(f"{scheme}://127.0.0.1:{server.port}", tls=tls)
            with pytest.raises(Refused, match="certificate of the mail server"):
                await mailer.deliver(_mail(), "k")
            return server

    assert asyncio.run(scenario()).taken == []


def test_without_starttls_nothing_is_said_in_the_clear() -> None:
    async def scenario() -> list[str]:
        async with ScriptedServer({}) as server:
            url = f"smtp+starttls://u:{QUOTED}@127.0.0.1:{server.port}"
            with pytest.raises(Refused, match="STARTTLS"):
                await SmtpMailer(url).deliver(_mail(), "k")
            return server.verbs

    assert asyncio.run(scenario()) == ["EHLO"]


def test_a_wrong_password_is_refused_and_not_told() -> None:
    async def scenario() -> str:
        async with MailServer(login=("u", "another")) as server:
            url = f"smtp://u:{QUOTED}@127.0.0.1:{server.port}"
            with pytest.raises(Refused, match="535") as refused:
                await SmtpMailer(url).deliver(_mail(), "k")
            return str(refused.value)

    assert "hunter22" not in asyncio.run(scenario())


@pytest.mark.parametrize("verb", ["AUTH", "MAIL", "RCPT", "DATA", "."])
def test_a_password_that_the_server_repeats_is_masked(
    verb: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    echo = saying(f"550 you said secret-{'x' * 12} or AHUAc2VjcmV0LXh4eHh4eHh4eHh4eA==")
    outcome, _, _ = _deliver({verb: echo}, user=f"u:secret-{'x' * 12}@")
    assert isinstance(outcome, Refused)
    assert "550 you said ***" in str(outcome)
    for secret in ("secret-x", "AHUAc2Vjcm"):
        assert secret not in str(outcome) + caplog.text


@pytest.mark.parametrize("utf8", [True, False])
def test_letters_of_other_alphabets_need_a_server_that_knows_them(utf8: bool) -> None:
    async def scenario() -> MailServer:
        async with MailServer(utf8=utf8) as server:
            mailer = SmtpMailer(f"smtp://127.0.0.1:{server.port}")
            mail = _mail(to="jörg@bücher.example", to_name="Jörg")
            if utf8:
                await mailer.deliver(mail, "k")
            else:
                with pytest.raises(Refused, match="SMTPUTF8"):
                    await mailer.deliver(mail, "k")
            return server

    taken = asyncio.run(scenario()).taken
    expected = [("jörg@xn--bcher-kva.example",)] if utf8 else []
    assert [each.recipients for each in taken] == expected


BEFORE_DATA = ["connect", "EHLO", "AUTH", "MAIL", "RCPT"]


@pytest.mark.parametrize("verb", ["connect", "AUTH", "MAIL", "RCPT"])
def test_not_now_before_data_is_tried_again(verb: str) -> None:
    """Greylisting answers RCPT so."""
    outcome, server, _ = _deliver({verb: saying("451 4.7.1 greylisted, come back")}, user="u:p@")
    assert isinstance(outcome, NotSent)
    assert "451 4.7.1 greylisted" in str(outcome)
    assert "DATA" not in server.verbs


@pytest.mark.parametrize("verb", ["connect", "AUTH", "MAIL", "RCPT"])
def test_no_before_data_is_final(verb: str) -> None:
    outcome, server, _ = _deliver({verb: saying("550 5.1.1 no such user\xff\x07")}, user="u:p@")
    assert isinstance(outcome, Refused)
    assert "550 5.1.1 no such user" in str(outcome)
    assert "DATA" not in server.verbs


@pytest.mark.parametrize("verb", BEFORE_DATA)
@pytest.mark.parametrize(
    "how", [cut, silence, drip, drip_lines, saying("banana"), saying("150 hm")]
)
def test_whatever_breaks_before_data_was_not_sent(verb: str, how: Say) -> None:
    outcome, server, seconds = _deliver({verb: how}, seconds=0.5, user="u:p@")
    assert isinstance(outcome, NotSent), outcome
    assert "DATA" not in server.verbs
    assert seconds < 8.0


@pytest.mark.parametrize("verb", ["DATA", "."])
@pytest.mark.parametrize("code", ["421", "450", "451", "452", "500", "552", "554"])
def test_a_clear_no_after_data_is_final(verb: str, code: str) -> None:
    outcome, server, _ = _deliver({verb: saying(f"{code} not this one")})
    assert isinstance(outcome, Refused), outcome
    assert f"{code} not this one" in str(outcome)
    assert server.verbs.count("DATA") == 1


@pytest.mark.parametrize("verb", ["DATA", "."])
@pytest.mark.parametrize(
    "how", [cut, silence, drip, drip_lines, saying("banana"), saying("150 hm")]
)
def test_whatever_breaks_after_data_is_not_known(verb: str, how: Say) -> None:
    outcome, server, seconds = _deliver({verb: how}, seconds=1.0)
    assert isinstance(outcome, EffectUnknown), outcome
    assert server.verbs.count("DATA") == 1
    assert seconds < 8.0


def test_a_yes_to_data_itself_took_nothing() -> None:
    outcome, server, _ = _deliver({"DATA": saying("250 thanks")})
    assert isinstance(outcome, EffectUnknown)
    assert (server.verbs[-1], server.messages) == ("DATA", [])


@pytest.mark.parametrize("code", ["250", "251", "252"])
@pytest.mark.parametrize("goodbye", [silence, cut, saying("500 no")])
def test_every_yes_after_the_dot_is_a_yes_whatever_follows(code: str, goodbye: Say) -> None:
    outcome, server, seconds = _deliver(
        {".": saying(f"{code} 2.0.0 fine\x07{'x' * 500}"), "QUIT": goodbye}
    )
    assert isinstance(outcome, dict)
    assert str(outcome["answer"]).startswith(f"{code} 2.0.0 fine x")
    assert len(str(outcome["answer"])) == 200
    canonical_json(outcome)
    assert server.commands[:3] == [
        "EHLO firm.example",
        "MAIL FROM:<sales@firm.example>",
        "RCPT TO:<ada@example.com>",
    ]
    assert len(server.messages) == 1
    assert seconds < 8.0


def test_what_was_greylisted_goes_out_once() -> None:
    async def scenario() -> tuple[ScriptedServer, list[float]]:
        calls: list[str] = []

        async def at_first_no(writer: asyncio.StreamWriter) -> None:
            calls.append("RCPT")
            writer.write(b"451 4.7.1 later\r\n" if len(calls) < 3 else b"250 fine\r\n")

        async with ScriptedServer({"RCPT": at_first_no}) as server:
            resources = Resources()
            mailer = SmtpMailer(f"smtp://127.0.0.1:{server.port}")
            resources.provide(Mailer, lambda: mailer)  # type: ignore[type-abstract] # a port
            step = DeliveringStep(resources, RecordingEffects())
            await step.run("email", REQUEST)
            await step.run("email", REQUEST)
            return server, step.waits

    server, waits = asyncio.run(scenario())
    assert server.verbs.count("RCPT") == 3
    assert (server.verbs.count("DATA"), len(server.messages)) == (1, 1)
    assert len(waits) == 2


def test_who_does_not_listen_is_tried_again() -> None:
    with pytest.raises(NotSent, match="cannot be reached"):
        asyncio.run(SmtpMailer(f"smtp://127.0.0.1:{free_port()}").deliver(_mail(), "k"))


def test_a_cancelled_delivery_hangs_up() -> None:
    async def scenario() -> list[str]:
        async with ScriptedServer({"RCPT": silence}) as server:
            mailer = SmtpMailer(f"smtp://127.0.0.1:{server.port}")
            sending = asyncio.create_task(mailer.deliver(_mail(), "k"))
            async with asyncio.timeout(5):
                while "RCPT" not in server.verbs:
                    await asyncio.sleep(0.01)
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            return server.verbs

    assert "DATA" not in asyncio.run(scenario())
