"""A mail server that keeps what it is handed: the demo's whole outside world."""

from __future__ import annotations

import asyncio
import importlib
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any, Self

_HOST = "127.0.0.1"
_TAKEN = "250 2.0.0 taken by the demo's own mail server"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedMail:
    """An e-mail as the server took it.

    Attributes:
        sender: The return path.
        recipients: Whom it was handed over for.
        content: Headers and body, byte by byte.
    """

    sender: str
    recipients: tuple[str, ...]
    content: bytes = field(repr=False)

    @property
    def message(self) -> EmailMessage:
        """The content, read."""
        made = message_from_bytes(self.content, policy=default)
        assert isinstance(made, EmailMessage)  # noqa: S101 - for the type checker
        return made

    @property
    def headers(self) -> list[tuple[str, str]]:
        """The headers in their order."""
        return [(name, str(value)) for name, value in self.message.items()]

    @property
    def text(self) -> str:
        """The plain text with simple line ends; empty where there is none."""
        part = self.message.get_body(("plain",))
        return str(part.get_content()).replace("\r\n", "\n") if part is not None else ""


class MailSink:
    """An SMTP server (aiosmtpd) on a free port of this machine, for as long as `async with` lasts.

    Attributes:
        taken: The e-mails, oldest first.
        port: Where it listens.
    """

    def __init__(self) -> None:
        self.taken: list[ReceivedMail] = []
        self.port = 0
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        # Imported only here: a demo without delivery does not wait for it.
        smtp = importlib.import_module("aiosmtpd.smtp")
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: smtp.SMTP(self, hostname="demo.example.org"), _HOST, 0
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None  # noqa: S101 - it was entered
        self._server.close()

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd calls it so
        """Keep an e-mail."""
        self.taken.append(
            ReceivedMail(
                sender=str(envelope.mail_from),
                recipients=tuple(map(str, envelope.rcpt_tos)),
                content=bytes(envelope.original_content or b""),
            )
        )
        return _TAKEN

    def received(self, message_id: object) -> ReceivedMail | None:
        """Return the e-mail of that Message-ID."""
        named = (mail for mail in self.taken if mail.message["Message-ID"] == message_id)
        return next(named, None)
