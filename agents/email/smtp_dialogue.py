"""One SMTP dialogue: connect, log in, name sender and recipient, hand over the message."""

from __future__ import annotations

import asyncio
import re
from typing import Final

from aiosmtplib import SMTP, SMTPException, SMTPResponse

from agents.email.answers import Answers
from agents.email.message import OutgoingMail
from envelope.errors import NotSent, Refused

_GO_ON: Final = 354
_DOT_AT_THE_START: Final = re.compile(rb"^\.", re.MULTILINE)


class Dialogue:
    """Hands over one message, with at most one DATA.

    Args:
        client: Not yet connected, without a time limit of its own.
        answers: Judges what the server says.
        deadline: When all of it must be over, by the loop's clock.
    """

    def __init__(self, client: SMTP, answers: Answers, deadline: float) -> None:
        self._client = client
        self._answers = answers
        self._deadline = deadline

    async def hand_over(self, mail: OutgoingMail, key: str) -> SMTPResponse:
        """Return the server's yes; errors as `Mailer.deliver`."""
        try:
            await self._up_to_data(mail)
            answer = await self._data(mail, key)
        except BaseException:
            self._hang_up()
            raise
        self._say_goodbye()
        return answer

    async def _up_to_data(self, mail: OutgoingMail) -> None:
        """Whatever fails in here, nothing was sent."""
        try:
            async with asyncio.timeout_at(self._deadline):
                await self._client.connect()
                await self._envelope(mail)
        except (SMTPException, OSError) as problem:
            raise self._answers.failed_before_data(problem) from None

    async def _envelope(self, mail: OutgoingMail) -> None:
        if self._client.is_ehlo_or_helo_needed:
            await self._client.ehlo()
        options = self._options(mail)
        await self._say(f"MAIL FROM:<{mail.sender}>{options}", f"the sender {mail.sender}")
        await self._say(f"RCPT TO:<{mail.recipient}>", f"the recipient {mail.recipient}")

    def _options(self, mail: OutgoingMail) -> str:
        if not mail.needs_utf8:
            return ""
        if not self._client.supports_extension("smtputf8"):
            raise Refused(
                "An address of this e-mail has letters that the mail server cannot take: it does "
                "not support SMTPUTF8."
            )
        return " SMTPUTF8 BODY=8BITMIME"

    async def _say(self, command: str, what: str) -> None:
        answer = await self._client.execute_command(command.encode())
        if not self._answers.is_yes(answer):
            raise self._answers.no_before_data(answer, what)

    async def _data(self, mail: OutgoingMail, key: str) -> SMTPResponse:
        protocol = self._client.protocol
        if protocol is None or not self._client.is_connected:
            raise NotSent("The mail server hung up before DATA.")
        try:
            async with asyncio.timeout_at(self._deadline):
                answer = await self._client.execute_command(b"DATA")
                if answer.code != _GO_ON:
                    raise self._answers.no_after_data(answer, key)
                protocol.write(_dot_stuffed(mail.content) + b".\r\n")
                answer = await protocol.read_response()
        except TimeoutError:
            raise self._answers.unknown(key, "fell silent") from None
        except (SMTPException, OSError) as problem:
            name = type(problem).__name__
            raise self._answers.unknown(key, f"broke off ({name})") from None
        if not self._answers.is_yes(answer):
            raise self._answers.no_after_data(answer, key)
        return answer

    def _say_goodbye(self) -> None:
        """The message is taken: nothing that the server says to QUIT is worth waiting for."""
        if self._client.protocol is not None and self._client.is_connected:
            self._client.protocol.write(b"QUIT\r\n")
        self._client.close()

    def _hang_up(self) -> None:
        transport = self._client.transport
        if isinstance(transport, asyncio.WriteTransport):
            transport.abort()
        self._client.close()


def _dot_stuffed(content: bytes) -> bytes:
    """Double each dot that begins a line (RFC 5321, 4.5.2), or it could end the message."""
    return _DOT_AT_THE_START.sub(b"..", content)
