"""An e-mail as the bytes that a mail server takes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from email.charset import QP, Charset
from email.header import Header
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Final

from agents.email.address import Mailbox
from agents.email.request import EmailRequest
from agents.email.unsubscribe import unsubscribe_headers

# Seven bits: no server on the way needs to know 8BITMIME.
_POLICY: Final = SMTP.clone(cte_type="7bit")
_WIDTH: Final = 76
_ID_DIGITS: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingMail:
    """An e-mail ready to be handed over.

    Attributes:
        sender: The return path.
        recipient: Whom it goes to.
        message_id: With its angle brackets.
        content: Headers and body, every line ended by CR LF.
        needs_utf8: Whether the server must speak SMTPUTF8 (RFC 6531), for an address needs it.
    """

    sender: str
    recipient: str
    message_id: str
    content: bytes = field(repr=False)
    needs_utf8: bool


def outgoing_mail(request: EmailRequest, *, tenant: str, key: str, at: datetime) -> OutgoingMail:
    """Make an e-mail of a request.

    Args:
        request: What to send.
        tenant: Whose it is: keys of two tenants are two things.
        key: The effect's key; the Message-ID is made of it.
        at: The time of this attempt, for the Date.
    """
    sender = Mailbox.parse(request.sender)
    message_id = _message_id(tenant, key, sender.domain)
    lines = [f"{name}: {value}\r\n" for name, value in _headers(request, message_id, at)]
    headers = "".join(lines).encode()
    return OutgoingMail(
        sender=sender.address,
        recipient=request.to,
        message_id=message_id,
        content=headers + _body(request).as_bytes(),
        needs_utf8=not headers.isascii(),
    )


def _message_id(tenant: str, key: str, domain: str) -> str:
    digest = hashlib.sha256(f"{tenant}\0{key}".encode()).hexdigest()
    return f"<{digest[:_ID_DIGITS]}@{domain}>"


def _headers(request: EmailRequest, message_id: str, at: datetime) -> Iterator[tuple[str, str]]:
    """Yield the headers, encoded and folded.

    They are made without `EmailMessage`, which reads a header back and folds it anew: that has
    lost the quotes around names more than once (CVE-2023-27043, CPython gh-121284).
    """
    yield "Date", format_datetime(at)
    yield "From", _mailbox(Mailbox.parse(request.sender))
    yield "To", _mailbox(Mailbox(request.to_name, request.to))
    if request.reply_to is not None:
        yield "Reply-To", _mailbox(Mailbox.parse(request.reply_to))
    yield "Subject", _unstructured(request.subject)
    yield "Message-ID", message_id
    yield from unsubscribe_headers(request.list_unsubscribe).items()


def _mailbox(mailbox: Mailbox) -> str:
    if not mailbox.name:
        return mailbox.address
    # A display name holds neither quotes nor backslashes: quoting it needs no escapes.
    name = f'"{mailbox.name}"' if mailbox.name.isascii() else _unstructured(mailbox.name)
    return f"{name}\r\n <{mailbox.address}>"


def _unstructured(text: str) -> str:
    charset = Charset("utf-8")
    charset.header_encoding = QP
    header = Header(
        text, None if text.isascii() else charset, maxlinelen=_WIDTH, header_name="x" * 10
    )
    return header.encode(linesep="\r\n")


def _body(request: EmailRequest) -> EmailMessage:
    message = EmailMessage(policy=_POLICY)
    message.set_content(request.text)
    if request.html is not None:
        message.add_alternative(request.html, subtype="html")
    for attachment in request.attachments:
        kind, _, subtype = attachment.media_type.partition("/")
        message.add_attachment(
            attachment.data, maintype=kind, subtype=subtype, filename=attachment.name
        )
    return message
