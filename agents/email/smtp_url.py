"""The mail server as MUSTER_SMTP_URL names it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final
from urllib.parse import unquote, urlsplit

from agents.email.errors import MailerNotConfigured
from agents.webhook.host_name import host_name

_HOW: Final = (
    "Set MUSTER_SMTP_URL to smtp+starttls://USER:PASSWORD@HOST, to smtps:// with the same or, on a "
    "trusted network, to smtp://HOST. Add :PORT where it is not 587, 465 or 25, and percent-encode "
    "special characters of the password."
)


class Security(StrEnum):
    """How the connection is protected; certificates are always verified."""

    NONE = "smtp"
    STARTTLS = "smtp+starttls"
    TLS = "smtps"


_PORTS: Final = {Security.NONE: 25, Security.STARTTLS: 587, Security.TLS: 465}


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """A mail server.

    Attributes:
        security: How the connection is protected.
        host: Its name or IPv4 address.
        port: Its port; by default 25, 587 with STARTTLS, 465 with TLS.
        user: Whom to log in as; None: nobody.
        password: Their password.
    """

    security: Security
    host: str
    port: int
    user: str | None = None
    password: str = field(default="", repr=False)

    @classmethod
    def parse(cls, url: str) -> SmtpServer:
        """Read a URL.

        Raises:
            MailerNotConfigured: It is malformed. The message does not repeat it.
        """
        try:
            parts = urlsplit(url)
            security = Security(parts.scheme)
            host, port = host_name(parts.hostname or ""), parts.port or _PORTS[security]
        except ValueError:
            raise MailerNotConfigured(f"MUSTER_SMTP_URL is malformed. {_HOW}") from None
        if parts.path.strip("/") or parts.query or parts.fragment:
            raise MailerNotConfigured(f"MUSTER_SMTP_URL must end after the port. {_HOW}")
        user = unquote(parts.username) if parts.username else None
        return cls(security, host, port, user, unquote(parts.password or ""))


def not_configured() -> MailerNotConfigured:
    """Make the error of a process that knows no mail server."""
    return MailerNotConfigured(f"There is no mail server to send with. {_HOW}")
