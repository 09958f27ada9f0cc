"""What the e-mail agents are asked for. The flow names the recipient, never a model."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import AfterValidator, ConfigDict, Field

from agents.email.address import address, display_name, mailbox, recipient
from agents.email.attachment import MOST, Attachment, within_cap
from agents.email.line import one_line
from agents.email.unsubscribe import unsubscribe_target
from envelope.canonical import canonical_json
from envelope.effect import Effect
from envelope.model import AsTuple, Contract

CHANNEL: Final = "email"
_LONGEST_TITLE: Final = 500  # as an approval takes it


def _body(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


Address = Annotated[str, AfterValidator(address)]
Name = Annotated[str, AfterValidator(display_name)]
MailboxText = Annotated[str, AfterValidator(mailbox)]
Line = Annotated[str, Field(max_length=255), AfterValidator(one_line), Field(min_length=1)]
Text = Annotated[str, Field(min_length=1, max_length=100_000), AfterValidator(_body)]
Attachments = Annotated[
    tuple[Attachment, ...], AsTuple, Field(max_length=MOST), AfterValidator(within_cap)
]
Targets = Annotated[
    tuple[Annotated[str, AfterValidator(unsubscribe_target)], ...], AsTuple, Field(max_length=2)
]
Key = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(one_line)]


class EmailRequest(Contract):
    """An e-mail to one person, in full: what is not said here is not sent.

    Attributes:
        to: The recipient's address.
        to_name: Their name; may be empty.
        sender: `address` or `Name <address>`; also the return path.
        reply_to: As `sender`; where answers shall go instead.
        subject: One line.
        text: The plain text.
        html: The same as HTML, for programs that show it; it is sent as it stands.
        attachments: Files, 500,000 bytes together.
        list_unsubscribe: `mailto:` and `https:` targets; https is announced as one click.
        key: Names the effect across runs; None: the step's own. One key, one Message-ID.
    """

    to: Address
    to_name: Name = ""
    sender: MailboxText
    reply_to: MailboxText | None = None
    subject: Line
    text: Text
    html: Text | None = None
    attachments: Attachments = ()
    list_unsubscribe: Targets = ()
    key: Key | None = None

    @property
    def effect(self) -> Effect:
        """The act that the gate judges and a person approves.

        A mail server does not deduplicate, whatever the Message-ID.
        """
        return Effect(
            channel=CHANNEL,
            recipients=(recipient(self.to),),
            content=canonical_json(self.model_dump(mode="json")),
            title=f"E-mail to {self.to}: {self.subject}"[:_LONGEST_TITLE],
            deduplicates=False,
            key=self.key,
        )


class Draft(Contract):
    """What was written, as the record of a writer has it; further fields of it are ignored.

    Attributes:
        subject: One line.
        body: The plain text.
    """

    model_config = ConfigDict(extra="ignore")

    subject: Line
    body: Text


class EmailPrepareRequest(Contract):
    """A draft and where it shall go.

    Attributes:
        to, to_name, reply_to, attachments, list_unsubscribe, key: As in `EmailRequest`.
        draft: Subject and body.
        sender: As in `EmailRequest`; None: MUSTER_MAIL_FROM.
        html: Add the body as HTML as well, with everything in it escaped.
    """

    to: Address
    to_name: Name = ""
    draft: Draft
    sender: MailboxText | None = None
    reply_to: MailboxText | None = None
    html: bool = False
    attachments: Attachments = ()
    list_unsubscribe: Targets = ()
    key: Key | None = None
