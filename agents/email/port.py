"""The port: hands an e-mail over to the mail system."""

from __future__ import annotations

from typing import Protocol

from agents.email.message import OutgoingMail
from envelope.effect import Receipt


class Mailer(Protocol):
    """Hands over e-mails. Safe to use from every event loop of the process."""

    @property
    def default_sender(self) -> str | None:
        """The sender of e-mails that name none, as `address` or `Name <address>`."""

    def ready(self) -> None:
        """Say whether anything can be sent at all.

        Raises:
            MailerNotConfigured: There is no mail server.
        """

    async def deliver(self, mail: OutgoingMail, key: str) -> Receipt:
        """Hand the e-mail over, with at most one DATA.

        Args:
            mail: What to hand over.
            key: The effect's key, for servers that deduplicate and for messages.

        Returns:
            `message_id` and `answer`, the server's last words, cut.

        Raises:
            MailerNotConfigured: There is no mail server.
            NotSent: Nothing was sent; another attempt is worth it.
            Refused: The server said no for good.
            EffectUnknown: After DATA the server fell silent or the connection ended: nobody knows
                whether it took the e-mail.
        """
