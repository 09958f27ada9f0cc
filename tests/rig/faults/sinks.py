"""Where effects land: a webhook's receiver and a mail server that record everything."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from tests.rig.faults.history import History
from tests.rig.faults.http import Request, head, read_request
from tests.rig.faults.loop import LoopThread


class WebhookSink:
    """Answers every request with `status` after `seconds`, and keeps it."""

    def __init__(self, thread: LoopThread, history: History) -> None:
        self.status = 200
        self.seconds = 0.0
        self.requests: list[Request] = []
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
            request = await read_request(reader)
            if request is None:
                return
            self.requests.append(request)
            key = request.headers.get("webhook-id") or request.headers.get("idempotency-key")
            self._history.write("webhook", path=request.path, key=key, size=len(request.body))
            await asyncio.sleep(self.seconds)
            writer.write(head(self.status, 2, {}) + b"{}")
            await writer.drain()
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
    """Speaks as much SMTP (RFC 5321) as a client needs to hand over a mail, and keeps it."""

    def __init__(self, thread: LoopThread, history: History) -> None:
        self.mails: list[Mail] = []
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
            match said.split(" ")[0].split(":")[0].upper():
                case "MAIL":
                    sender, recipients = _address(said), []
                case "RCPT":
                    recipients.append(_address(said))
                case "DATA":
                    writer.write(b"354 go on\r\n")
                    data = await reader.readuntil(b"\r\n.\r\n")
                    self._keep(Mail(sender, tuple(recipients), data.removesuffix(b".\r\n")))
                case "QUIT":
                    writer.write(b"221 bye\r\n")
                    return
            writer.write(b"250 fine\r\n")
            await writer.drain()

    def _keep(self, mail: Mail) -> None:
        self.mails.append(mail)
        self._history.write("mail", sender=mail.sender, recipients=mail.recipients)


def _address(said: str) -> str:
    return said.partition("<")[2].partition(">")[0]


async def _close(server: asyncio.Server) -> None:
    server.close()
