"""E-mails as bytes: read back by a parser, they say what was asked and nothing else."""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.headerregistry import Address
from email.message import EmailMessage
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from agents.email.attachment import Attachment
from agents.email.message import OutgoingMail, outgoing_mail
from agents.email.request import EmailRequest
from envelope.errors import InvalidInput
from envelope.signature import from_canonical, to_canonical

AT = datetime(2026, 7, 1, 9, 30, tzinfo=UTC)
PDF = {"name": "Über uns.pdf", "media_type": "application/pdf", "content": "JVBERg=="}
REQUEST: dict[str, Any] = {
    "to": "ada@example.com",
    "to_name": "Lovelace, Ada",
    "sender": "Zoë König <sales@firm.example>",
    "subject": "Grüße für Ada",
    "text": "Hello Ada,\n\n.a dot\nFrom us\n",
}


def _request(**change: Any) -> EmailRequest:
    model = from_canonical(to_canonical({**REQUEST, **change}, EmailRequest), EmailRequest)
    assert isinstance(model, EmailRequest)
    return model


def _mail(key: str = "k-1", tenant: str = "t1", **change: Any) -> OutgoingMail:
    return outgoing_mail(_request(**change), tenant=tenant, key=key, at=AT)


def _read(mail: OutgoingMail) -> EmailMessage:
    read = message_from_bytes(mail.content, policy=policy.default)
    assert isinstance(read, EmailMessage)
    return read


def _text(part: Any) -> str:
    return str(part.get_content()).replace("\r\n", "\n")


def _headers_of(mail: OutgoingMail) -> list[str]:
    head = mail.content.partition(b"\r\n\r\n")[0]
    return [line.split(b":")[0].decode() for line in head.split(b"\r\n") if line[:1] not in b" \t"]


def test_a_parser_reads_what_was_asked() -> None:
    message = _read(
        _mail(reply_to="answers@firm.example", list_unsubscribe=["https://firm.example/u"])
    )
    assert message["From"].addresses == (Address("Zoë König", "sales", "firm.example"),)
    assert message["To"].addresses == (Address("Lovelace, Ada", "ada", "example.com"),)
    assert message["Reply-To"] == "answers@firm.example"
    assert message["Subject"] == "Grüße für Ada"
    assert message["Date"].datetime == AT
    assert message["List-Unsubscribe"] == "<https://firm.example/u>"
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert _text(message) == REQUEST["text"]


def test_text_html_and_files_go_together() -> None:
    message = _read(_mail(html="<p>Grüße</p>", attachments=[PDF]))
    assert message.get_content_type() == "multipart/mixed"
    text, html = message.get_body(["plain"]), message.get_body(["html"])
    assert text is not None
    assert html is not None
    assert _text(text) == REQUEST["text"]
    assert _text(html) == "<p>Grüße</p>\n"
    (file,) = message.iter_attachments()
    assert (file.get_filename(), file.get_content_type()) == ("Über uns.pdf", "application/pdf")
    assert file.get_content() == b"%PDF"


def test_every_line_is_short_ascii_and_ends_with_cr_lf() -> None:
    mail = _mail(text="ü" * 3_000 + "\n" + "x" * 3_000, html="<p>" + "y" * 3_000, attachments=[PDF])
    assert mail.content.isascii()
    assert not mail.needs_utf8
    lines = mail.content.split(b"\r\n")
    assert max(map(len, lines)) <= 998
    assert not any(b"\r" in line or b"\n" in line for line in lines)


def test_one_key_one_message_id() -> None:
    ids = {_mail(key="a").message_id, _mail(key="a", subject="Other").message_id}
    assert len(ids) == 1
    (message_id,) = ids
    assert re.fullmatch(r"<[0-9a-f]{32}@firm\.example>", message_id)
    assert _read(_mail(key="a"))["Message-ID"] == message_id
    assert _mail(key="b").message_id not in ids
    assert _mail(key="a", tenant="t2").message_id not in ids


def test_letters_of_other_alphabets_need_smtputf8() -> None:
    mail = _mail(to="jörg@bücher.example")
    assert mail.needs_utf8
    assert mail.recipient == "jörg@xn--bcher-kva.example"
    read = message_from_bytes(mail.content, policy=policy.SMTPUTF8)
    assert "jörg@xn--bcher-kva.example" in str(read["To"])
    assert not _mail(to="ada@bücher.example").needs_utf8


_LINE = st.text(st.characters(exclude_categories=["Cs"]), max_size=120)


@given(_LINE, _LINE, _LINE)
def test_no_name_or_subject_makes_a_header_or_an_address(
    subject: str, name: str, sender_name: str
) -> None:
    try:
        mail = _mail(subject=subject, to_name=name, sender=f"{sender_name} <sales@firm.example>")
    except InvalidInput:
        return
    asked = _request(subject=subject, to_name=name, sender=f"{sender_name} <sales@firm.example>")
    assert _headers_of(mail) == [
        "Date", "From", "To", "Subject", "Message-ID",
        "Content-Type", "Content-Transfer-Encoding", "MIME-Version",
    ]  # fmt: skip
    read = _read(mail)
    assert [each.addr_spec for each in read["To"].addresses] == ["ada@example.com"]
    assert [each.addr_spec for each in read["From"].addresses] == ["sales@firm.example"]
    assert _squeezed(read["Subject"]) == _squeezed(asked.subject)
    assert _squeezed(read["To"].addresses[0].display_name) == _squeezed(asked.to_name)


def _squeezed(text: str) -> str:
    """What a fold may not change: everything but the number of blanks."""
    return "".join(str(text).split())


@given(_LINE, _LINE, st.text(max_size=200), st.booleans())
def test_reading_a_request_back_changes_nothing(
    subject: str, name: str, text: str, html: bool
) -> None:
    """Or the hash that was approved would not be that of what is sent."""
    try:
        asked = _request(
            subject=subject,
            to_name=name,
            reply_to=f"{name} <a@b.example>",
            text=text,
            html=text if html else None,
        )
    except InvalidInput:
        return
    again = from_canonical(asked.effect.content, EmailRequest)
    assert isinstance(again, EmailRequest)
    assert again.effect.sha256 == asked.effect.sha256
    assert to_canonical(again, EmailRequest) == asked.effect.content


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=2_000))
def test_any_text_arrives_as_it_is(text: str) -> None:
    assume(text and "\x00" not in text)
    mail = _mail(text=text)
    sent = text.replace("\r\n", "\n").replace("\r", "\n")
    assert _text(_read(mail)).removesuffix("\n") == sent.removesuffix("\n")


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=160))
def test_any_file_name_arrives_or_is_refused(name: str) -> None:
    try:
        mail = _mail(attachments=[{**PDF, "name": name}])
        asked = Attachment.model_validate({**PDF, "name": name}).name
    except InvalidInput:
        return
    (file,) = _read(mail).iter_attachments()
    assert _squeezed(str(file.get_filename())) == _squeezed(asked)
    assert file.get_content() == b"%PDF"


BREAKS = ["\r\n", "\n", "\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029", "\x00", "\x7f"]
FIELDS = ["to", "to_name", "sender", "reply_to", "subject", "key"]


@pytest.mark.parametrize("broken", BREAKS)
@pytest.mark.parametrize("field", FIELDS)
def test_a_break_in_any_header_is_refused(field: str, broken: str) -> None:
    value = f"{REQUEST.get(field) or 'a@example.com'}{broken}Bcc: eve@example.com"
    with pytest.raises(InvalidInput):
        _request(**{field: value})


@pytest.mark.parametrize(
    "change",
    [
        {"to": ["ada@example.com", "eve@example.com"]},
        {"to": "ada@example.com, eve@example.com"},
        {"to": ""},
        {"sender": ""},
        {"subject": ""},
        {"subject": "   "},
        {"subject": "a" * 256},
        {"subject": "=?utf-8?q?a=0D=0ABcc:_eve@example.com?="},
        {"to_name": "=?utf-8?b?YQ0KQmNjOiBldmU=?="},
        {"text": ""},
        {"text": "a\x00"},
        {"text": "\ud800"},
        {"text": "a" * 100_001},
        {"html": ""},
        {"cc": "eve@example.com"},
        {"bcc": "eve@example.com"},
        {"headers": {"Bcc": "eve@example.com"}},
        {"list_unsubscribe": ["http://firm.example/u"]},
        {
            "list_unsubscribe": [
                "https://firm.example/1",
                "https://firm.example/2",
                "mailto:a@b.example",
            ]
        },
        {"attachments": [{**PDF, "content": "not base64!"}]},
        {"attachments": [{**PDF, "media_type": "multipart/mixed"}]},
        {"attachments": [{**PDF, "media_type": "message/rfc822"}]},
        {"attachments": [{**PDF, "media_type": "text/html\r\nX-Evil: 1"}]},
        {"attachments": [{**PDF, "media_type": 'text/html; charset="x"'}]},
        {"attachments": [{**PDF, "name": "a\r\nb.pdf"}]},
        {"attachments": [{**PDF, "name": "a\u2028b.pdf"}]},
        {"attachments": [{**PDF, "name": "../etc/passwd"}]},
        {"attachments": [{**PDF, "name": "C:\\a.pdf"}]},
        {"attachments": [{**PDF, "name": 'a".pdf'}]},
        {"attachments": [{**PDF, "name": "fdp.\u202eexe"}]},
        {"attachments": [{**PDF, "name": ".."}]},
        {"attachments": [{**PDF, "name": ""}]},
        {"attachments": [PDF] * 11},
        {"attachments": [{**PDF, "content": base64.b64encode(b"x" * 300_000).decode()}] * 2},
        {"key": ""},
    ],
)
def test_attacks_get_a_typed_error(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        _request(**change)
