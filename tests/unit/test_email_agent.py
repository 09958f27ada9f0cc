"""The e-mail agents: what they prepare and what they send."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest

from agents.email import Mailer, MailerNotConfigured
from agents.email.message import OutgoingMail
from agents.email.smtp_mailer import SmtpMailer
from agents.registry import AGENTS
from envelope.approval import ApprovalRequest
from envelope.canonical import sha256_hex
from envelope.effect import Receipt
from envelope.envelope import Status
from envelope.errors import EffectUnknown, InvalidInput, NotSent, Refused
from envelope.resources import Resources
from tests.services.delivering_step import DeliveringStep
from tests.services.recording_effects import RecordingEffects

DRAFT = {"subject": "Hello", "body": "Hi <Ada>,\r\n\r\nbye", "language": "en"}
PREPARE: dict[str, Any] = {"to": "Ada@Example.com", "draft": DRAFT, "key": "k-1"}


class _Mailer:
    """A `Mailer` that keeps what it is given, and fails with the errors it is given first."""

    def __init__(self, *errors: Exception) -> None:
        self.mails: list[tuple[OutgoingMail, str]] = []
        self._errors = list(errors)

    @property
    def default_sender(self) -> str | None:
        return "Firm <sales@firm.example>"

    def ready(self) -> None:
        return

    async def deliver(self, mail: OutgoingMail, key: str) -> Receipt:
        self.mails.append((mail, key))
        if self._errors:
            raise self._errors.pop(0)
        return {"message_id": mail.message_id, "answer": "250 fine"}


def _step(mailer: Mailer, effects: RecordingEffects, **more: Any) -> DeliveringStep:
    resources = Resources()
    resources.provide(Mailer, lambda: mailer)  # type: ignore[type-abstract] # a port
    return DeliveringStep(resources, effects, **more)


def _prepared(mailer: Mailer, **change: Any) -> dict[str, Any]:
    made = asyncio.run(
        _step(mailer, RecordingEffects()).run("email_prepare", {**PREPARE, **change})
    )
    return dict(made.records[0].data)


def _request(**change: Any) -> Any:
    return json.loads(_prepared(_Mailer(), **change)["content"])


def test_what_is_prepared_is_what_is_sent() -> None:
    effects, mailer = RecordingEffects(), _Mailer()
    prepared = _prepared(mailer)
    assert mailer.mails == []
    sent = asyncio.run(_step(mailer, effects).run("email", json.loads(prepared["content"])))
    effect = effects.effects[0]
    assert prepared == {
        "agent": "email",
        "channel": "email",
        "recipients": ["ada@example.com"],
        "content": effect.content,
        "sha256": effect.sha256,
        "title": "E-mail to Ada@example.com: Hello",
    }
    assert sha256_hex(prepared["content"]) == effect.sha256
    assert (effect.key, effect.deduplicates) == ("k-1", False)
    ((mail, key),) = mailer.mails
    assert (mail.recipient, mail.sender, key) == ("Ada@example.com", "sales@firm.example", "k-1")
    assert sent.records[0].data["receipt"] == {
        "message_id": mail.message_id,
        "answer": "250 fine",
    }


def test_a_draft_becomes_a_full_request() -> None:
    assert _request(html=True, sender="Ann <ann@firm.example>") == {
        "to": "Ada@example.com",
        "to_name": "",
        "sender": "Ann <ann@firm.example>",
        "reply_to": None,
        "subject": "Hello",
        "text": "Hi <Ada>,\n\nbye",
        "html": '<!DOCTYPE html>\n<html><head><meta charset="utf-8"></head><body>\n'
        "<p>Hi &lt;Ada&gt;,</p>\n<p>bye</p>\n</body></html>\n",
        "attachments": [],
        "list_unsubscribe": [],
        "key": "k-1",
    }
    assert _request()["html"] is None
    assert _request()["sender"] == "Firm <sales@firm.example>"


def test_the_longest_title_fits_an_approval() -> None:
    draft = {**DRAFT, "subject": "s" * 255}
    prepared = _prepared(_Mailer(), draft=draft, to=f"{'a' * 64}@{'b.' * 90}example")
    asked = ApprovalRequest(
        channel="email", content=prepared["content"], title=str(prepared["title"])
    )
    assert asked.sha256 == prepared["sha256"]


def test_nobody_sends_without_a_sender() -> None:
    with pytest.raises(InvalidInput, match="MUSTER_MAIL_FROM"):
        _prepared(SmtpMailer(None))


@pytest.mark.parametrize("sender", ["Firm sales@firm.example", "a@b.example\r\nBcc: eve@c.example"])
def test_a_malformed_default_sender_is_refused(sender: str) -> None:
    with pytest.raises(InvalidInput, match="sender"):
        _prepared(SmtpMailer(None, sender))


@pytest.mark.parametrize(
    "change",
    [
        {"to": "ada@example.com\r\nBcc: eve@example.com"},
        {"draft": {"subject": "a\r\nBcc: eve@example.com", "body": "b"}},
        {"draft": {"subject": "a\u2028b", "body": "b"}},
        {"draft": {"subject": "a"}},
        {"draft": {"subject": "a", "body": ""}},
        {"recipients": ["eve@example.com"]},
    ],
)
def test_attacks_on_a_draft_get_a_typed_error(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        _prepared(_Mailer(), **change)


def test_a_draft_names_neither_recipient_nor_sender() -> None:
    draft = {
        **DRAFT,
        "to": "eve@example.com",
        "sender": "eve@example.com",
        "bcc": "eve@example.com",
    }
    assert "eve" not in json.dumps(_request(draft=draft))


def test_files_up_to_the_cap_fit_into_an_envelope() -> None:
    content = base64.b64encode(b"x" * 500_000).decode()
    file = {"name": "a.bin", "media_type": "application/octet-stream", "content": content}
    mailer = _Mailer()
    asyncio.run(_step(mailer, RecordingEffects()).run("email", _request(attachments=[file])))
    assert len(mailer.mails[0][0].content) > 666_000


def test_the_same_key_is_sent_once() -> None:
    effects, mailer = RecordingEffects(), _Mailer()

    async def twice() -> list[Any]:
        step = _step(mailer, effects)
        return [(await step.run("email", request)).records[0].data for _ in range(2)]

    request = _request()
    first, second = asyncio.run(twice())
    assert (first["sent_before"], second["sent_before"]) == (False, True)
    assert first["receipt"] == second["receipt"]
    assert len(mailer.mails) == 1


def test_what_was_not_sent_is_tried_again_under_the_same_message_id() -> None:
    mailer = _Mailer(NotSent("greylisted"), NotSent("greylisted"))
    step = _step(mailer, RecordingEffects())
    asyncio.run(step.run("email", _request()))
    assert len({mail.message_id for mail, _ in mailer.mails}) == 1
    assert len(mailer.mails) == 3
    assert step.waits[0] < step.waits[1]


def test_six_attempts_last_more_than_a_minute() -> None:
    mailer = _Mailer(*(NotSent("greylisted") for _ in range(9)))
    step = _step(mailer, RecordingEffects())
    with pytest.raises(NotSent):
        asyncio.run(step.run("email", _request()))
    assert len(mailer.mails) == 6
    assert 60 < sum(step.waits) <= 155


@pytest.mark.parametrize("error", [Refused("no"), EffectUnknown("silence")])
def test_what_is_final_is_not_tried_again(error: Exception) -> None:
    mailer = _Mailer(error)
    with pytest.raises(type(error)):
        asyncio.run(_step(mailer, RecordingEffects()).run("email", _request()))
    assert len(mailer.mails) == 1


def test_what_the_gate_keeps_back_is_not_sent_even_without_a_mail_server() -> None:
    effects = RecordingEffects(gated=True)
    step = _step(SmtpMailer(None), effects, allow_delivery=False)
    assert asyncio.run(step.run("email", _request())).status is Status.GATED
    assert len(effects.effects) == 1


def test_a_missing_mail_server_is_told_before_the_gate_is_asked() -> None:
    effects = RecordingEffects()
    with pytest.raises(MailerNotConfigured, match="MUSTER_SMTP_URL"):
        asyncio.run(_step(SmtpMailer(None), effects).run("email", _request()))
    assert effects.effects == []


def test_prepare_runs_inline_and_send_on_its_queue() -> None:
    assert AGENTS.get("email_prepare").inline
    assert (AGENTS.get("email").inline, AGENTS.get("email").concurrency) == (False, 4)
