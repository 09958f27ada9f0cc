"""Where effects land: a webhook's receiver and a mail server that record everything.

Each tells `on_stage` how far an exchange has come, and goes on only after that: a test can kill the
sender there.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

from tests.rig.faults.history import History
from tests.rig.faults.http import Request, head, read_request
from tests.rig.faults.loop import LoopThread

OnStage = Callable[[str], None]

WEBHOOK_STAGES = ("connected", "read", "answered")
SMTP_STAGES = ("connected", "mail", "rcpt", "data", "body", "answered")

_SIGNATURE = "whsec_" + "bXVzdGVyLXRlc3Qta2V5LW9mLXRoZS1yaWctMDAwMQ=="


def _nothing(_stage: str) -> None:
    """Nobody wants to know."""


class WebhookSink:
    """Answers every request with `status` after `seconds`, and keeps it.

    Stages: `connected`, `read` (the request is kept, nothing is answered yet), `answered`.
    """

    def __init__(self, thread: LoopThread, history: History) -> None:
        self.status = 200
        self.seconds = 0.0
        self.requests: list[Request] = []
        self.on_stage: OnStage = _nothing
        self._thread = thread
        self._history = history
        self._server = thread.call(self._listen())
        self.port: int = self._server.sockets[0].getsockname()[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def close(self) -> None:
        self._thread.call(_close(self._server))

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._serve, "127.0.0.1", 0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.on_stage("connected")
            request = await read_request(reader)
            if request is None:
                return
            self.requests.append(request)
            key = request.headers.get("webhook-id") or request.headers.get("idempotency-key")
            sha256 = hashlib.sha256(request.body).hexdigest()
            self._history.write("webhook", path=request.path, key=key, sha256=sha256)
            self.on_stage("read")
            await asyncio.sleep(self.seconds)
            writer.write(head(self.status, 2, {}) + b"{}")
            await writer.drain()
            self.on_stage("answered")
        except ConnectionError:
            return  # who sent it is gone; it was recorded
        finally:
            writer.close()


@dataclass(frozen=True)
class Mail:
    """A mail that the server took."""

    sender: str
    recipients: tuple[str, ...]
    data: bytes
    at: float = field(default_factory=time.time)


class SmtpSink:
    """Speaks as much SMTP (RFC 5321) as a client needs to hand over a mail, and keeps it.

    It says that it has taken a mail `seconds` after it has. A line `data` of the history tells of
    the command, a line `mail` of the mail.

    Stages: `connected`; `mail`, `rcpt`, `data` (the command came, nothing is answered yet); `body`
    (the mail is kept, nothing is answered yet); `answered`.
    """

    def __init__(self, thread: LoopThread, history: History) -> None:
        self.seconds = 0.0
        self.mails: list[Mail] = []
        self.data_commands = 0
        self.on_stage: OnStage = _nothing
        self._thread = thread
        self._history = history
        self._server = thread.call(self._listen())
        self.port: int = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        self._thread.call(_close(self._server))

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._serve, "127.0.0.1", 0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.on_stage("connected")
            writer.write(b"220 sink ready\r\n")
            await self._talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            return  # it hung up; what it had handed over is kept
        finally:
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sender, recipients = "", list[str]()
        while line := await reader.readline():
            said = line.decode("latin-1").strip()
            verb = said.split(" ")[0].split(":")[0].upper()
            match verb:
                case "MAIL":
                    self.on_stage("mail")
                    sender, recipients = _address(said), []
                case "RCPT":
                    self.on_stage("rcpt")
                    recipients.append(_address(said))
                case "DATA":
                    self.data_commands += 1
                    self._history.write("data", recipients=recipients)
                    self.on_stage("data")
                    writer.write(b"354 go on\r\n")
                    data = await reader.readuntil(b"\r\n.\r\n")
                    self._keep(Mail(sender, tuple(recipients), data.removesuffix(b".\r\n")))
                    await asyncio.sleep(self.seconds)
                case "QUIT":
                    writer.write(b"221 bye\r\n")
                    return
            writer.write(b"250 fine\r\n")
            await writer.drain()
            if verb == "DATA":
                self.on_stage("answered")

    def _keep(self, mail: Mail) -> None:
        self.mails.append(mail)
        self._history.write("mail", sender=mail.sender, recipients=mail.recipients)
        self.on_stage("body")


@dataclass(frozen=True)
class Sinks:
    """Both of them."""

    mail: SmtpSink
    hook: WebhookSink

    @classmethod
    def on(cls, thread: LoopThread, history: History) -> Self:
        return cls(SmtpSink(thread, history), WebhookSink(thread, history))

    def slow_down(self, seconds: float) -> None:
        """Take that long to answer."""
        self.mail.seconds = self.hook.seconds = seconds

    @property
    def settings(self) -> dict[str, Any]:
        """Settings of a process that may send to them without anybody's approval."""
        return {
            "allow_delivery": True,
            "approval_channels": ("none",),
            "smtp_url": f"smtp://127.0.0.1:{self.mail.port}",
            "mail_from": "Muster <muster@example.com>",
            "webhook_secret": _SIGNATURE,
            "webhook_private": True,
        }

    @property
    def environment(self) -> dict[str, str]:
        """The same for another process."""
        settings = {**self.settings, "allow_delivery": "true", "webhook_private": "true"}
        settings["approval_channels"] = ",".join(settings["approval_channels"])
        return {f"MUSTER_{name.upper()}": value for name, value in settings.items()}

    def close(self) -> None:
        self.mail.close()
        self.hook.close()


def _address(said: str) -> str:
    return said.partition("<")[2].partition(">")[0]


async def _close(server: asyncio.Server) -> None:
    server.close()
