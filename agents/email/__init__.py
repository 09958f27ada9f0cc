"""The `email` agents: one e-mail to one person, sent at most once."""

from agents.email.agent import email, email_prepare
from agents.email.errors import MailerNotConfigured
from agents.email.port import Mailer
from agents.email.request import Draft, EmailPrepareRequest, EmailRequest

__all__ = [
    "Draft",
    "EmailPrepareRequest",
    "EmailRequest",
    "Mailer",
    "MailerNotConfigured",
    "email",
    "email_prepare",
]
