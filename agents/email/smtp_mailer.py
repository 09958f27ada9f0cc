"""E-mail over SMTP (RFC 5321): one connection and one dialogue for each message."""

from __future__ import annotations

import asyncio
import ssl
from functools import cached_property

from aiosmtplib import SMTP

from agents.email.answers import Answers
from agents.email.message import OutgoingMail
from agents.email.smtp_dialogue import Dialogue
from agents.email.smtp_url import Security, SmtpServer, not_configured
from envelope.effect import Receipt


class SmtpMailer:
    """A `Mailer` that hands e-mails to a mail server.

    Args:
        url: `smtp://`, `smtp+starttls://` or `smtps://USER:PASSWORD@HOST:PORT`; None: nothing is
            sent.
        default_sender: The sender of e-mails that name none.
        seconds: Absolute limit of the dialogue, however slowly the server speaks.
        tls: Verifies the server's certificate; None: by the system's authorities.

    Raises:
        MailerNotConfigured: The URL is malformed.
    """

    def __init__(
        self,
        url: str | None,
        default_sender: str | None = None,
        *,
        seconds: float = 120.0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._default_sender = default_sender
        self._server = SmtpServer.parse(url) if url else None
        self._seconds = seconds
        self._given_tls = tls

    @property
    def default_sender(self) -> str | None:
        """The sender of e-mails that name none."""
        return self._default_sender

    def ready(self) -> None:
        """Raise MailerNotConfigured where there is no mail server."""
        self._configured()

    async def deliver(self, mail: OutgoingMail, key: str) -> Receipt:
        """Hand the e-mail over; see `Mailer.deliver`."""
        server = self._configured()
        answers = Answers(server)
        deadline = asyncio.get_running_loop().time() + self._seconds
        answer = await Dialogue(self._client(server, mail), answers, deadline).hand_over(mail, key)
        return {"message_id": mail.message_id, "answer": answers.words(answer)}

    def _configured(self) -> SmtpServer:
        if self._server is None:
            raise not_configured()
        return self._server

    def _client(self, server: SmtpServer, mail: OutgoingMail) -> SMTP:
        # Said in EHLO: looking up this machine's own name can take seconds, every time.
        name = mail.sender.rpartition("@")[2]
        # TLS is what the URL says, never what the server happens to offer.
        return SMTP(
            hostname=server.host,
            port=server.port,
            local_hostname=name,
            username=server.user,
            password=server.password if server.user else None,
            use_tls=server.security is Security.TLS,
            start_tls=server.security is Security.STARTTLS,
            tls_context=None if server.security is Security.NONE else self._tls,
            timeout=None,  # the dialogue has one deadline
        )

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return self._given_tls or ssl.create_default_context()
