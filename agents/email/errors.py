"""What can be wrong with the configuration of e-mail."""

from __future__ import annotations

from envelope.errors import Refused


class MailerNotConfigured(Refused):
    """There is no mail server to hand e-mails to, or its URL is malformed. Nothing was sent."""

    code = "MAILER_NOT_CONFIGURED"
