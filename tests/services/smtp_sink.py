"""Mail servers on the test's own loop: a real one (aiosmtpd), and one that does as it is told."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session


@dataclass(frozen=True)
class Taken:
    """A mail as the server took it."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes
    over_tls: bool
    logged_in: bool


class MailServer:
    """aiosmtpd within `async with`; `taken` is its inbox."""

    def __init__(
        self,
        *,
        tls: ssl.SSLContext | None = None,
        starttls: ssl.SSLContext | None = None,
        login: tuple[str, str] | None = None,
        utf8: bool = False,
    ) -> None:
        self.taken: list[Taken] = []
        self.port = 0
        self._tls, self._starttls, self._login, self._utf8 = tls, starttls, login, utf8

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._protocol, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def handle_DATA(  # noqa: N802 - aiosmtpd calls it so
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        content = envelope.original_content or b""
        over_tls = session.ssl is not None or self._tls is not None
        recipients = tuple(envelope.rcpt_tos)
        logged_in = bool(session.authenticated)
        self.taken.append(Taken(str(envelope.mail_from), recipients, content, over_tls, logged_in))
        return "250 2.0.0 taken as 4711"

    def _protocol(self) -> SMTP:
        return SMTP(
            self,
            hostname="sink.example",
            tls_context=self._starttls,
            require_starttls=self._starttls is not None,
            auth_require_tls=False,
            authenticator=self._authenticated,
            enable_SMTPUTF8=self._utf8,
        )

    def _authenticated(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        assert isinstance(data, LoginPassword)
        given = (data.login.decode(), data.password.decode())
        return AuthResult(success=given == self._login, handled=False)


Say = Callable[[asyncio.StreamWriter], Awaitable[None]]


def saying(text: str) -> Say:
    async def say(writer: asyncio.StreamWriter) -> None:
        writer.write(text.encode("latin-1") + b"\r\n")

    return say


async def cut(writer: asyncio.StreamWriter) -> None:
    """Hang up instead of an answer."""
    writer.transport.abort()


async def silence(writer: asyncio.StreamWriter) -> None:
    """Say nothing until the other side hangs up."""
    await asyncio.get_running_loop().create_future()


async def drip(writer: asyncio.StreamWriter) -> None:
    """One byte of an endless answer at a time."""
    while True:
        writer.write(b"2")
        await writer.drain()
        await asyncio.sleep(0.01)


async def drip_lines(writer: asyncio.StreamWriter) -> None:
    """One line of an endless answer at a time."""
    while True:
        writer.write(b"250-more\r\n")
        await writer.drain()
        await asyncio.sleep(0.01)


_POLITE: Mapping[str, Say] = {
    "connect": saying("220 ready"),
    "EHLO": saying("250-sink\r\n250 AUTH PLAIN LOGIN"),
    "AUTH": saying("235 2.7.0 welcome"),
    "MAIL": saying("250 fine"),
    "RCPT": saying("250 fine"),
    "DATA": saying("354 go on"),
    ".": saying("250 2.0.0 taken"),
    "QUIT": saying("221 bye"),
}


class ScriptedServer:
    """Answers each command as `answers` says, politely where it says nothing.

    `commands` are the commands as they came, `messages` the contents that ended with a dot.
    """

    def __init__(self, answers: Mapping[str, Say]) -> None:
        self.commands: list[str] = []
        self.messages: list[bytes] = []
        self.port = 0
        self._answers = {**_POLITE, **answers}
        self._open: set[asyncio.Task[Any]] = set()

    @property
    def verbs(self) -> list[str]:
        return [command.partition(" ")[0] for command in self.commands]

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await self._answers["connect"](writer)
            while line := await reader.readline():
                await self._answer(line.decode().strip(), reader, writer)
        self._open.discard(task)
        writer.close()

    async def _answer(
        self, command: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.commands.append(command)
        verb = command.partition(" ")[0]
        await self._answers[verb](writer)
        if verb == "DATA" and self._answers["DATA"] is _POLITE["DATA"]:
            await writer.drain()
            self.messages.append(await reader.readuntil(b"\r\n.\r\n"))
            await self._answers["."](writer)
