"""A receiver of webhooks on the test's own loop, which records and misbehaves as told."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, Self

from tests.rig.faults.http import Request, head, read_request

Behaviour = Callable[[Request, asyncio.StreamWriter], Awaitable[None]]


def answering(
    status: int = 200, headers: Mapping[str, str] | None = None, body: bytes = b"{}"
) -> Behaviour:
    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(head(status, len(body), headers or {}) + body)

    return answer


async def cutting(request: Request, writer: asyncio.StreamWriter) -> None:
    """Take the request and hang up."""
    writer.transport.abort()


async def silent(request: Request, writer: asyncio.StreamWriter) -> None:
    """Take the request and say nothing until the other side hangs up."""
    await asyncio.get_running_loop().create_future()


async def dripping_head(request: Request, writer: asyncio.StreamWriter) -> None:
    """One byte of the headers at a time, for ever."""
    writer.write(b"HTTP/1.1 200 Fine\r\nx-drip: ")
    await _drip(writer)


async def dripping_body(request: Request, writer: asyncio.StreamWriter) -> None:
    """Whole headers, then one byte of an endless body at a time."""
    writer.write(head(200, 1_000_000, {}))
    await _drip(writer)


async def flooding_body(request: Request, writer: asyncio.StreamWriter) -> None:
    """A body without end, as fast as it is taken."""
    writer.write(head(200, 10**12, {}))
    while True:
        writer.write(b"x" * 65_536)
        await writer.drain()


async def _drip(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.01)


class HttpSink:
    """Serves within `async with`; `requests` are those that arrived whole."""

    def __init__(
        self,
        behaviour: Behaviour | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.behaviour = behaviour or answering()
        self.requests: list[Request] = []
        self.names: list[str | None] = []
        self._tls, self._host, self.port = tls, host, port
        self._open: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> Self:
        if self._tls is not None:
            self._tls.sni_callback = lambda _, name, __: self.names.append(name)
        self._server = await asyncio.start_server(self._serve, self._host, self.port, ssl=self._tls)
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
        with suppress(ConnectionError, asyncio.CancelledError):
            request = await read_request(reader)
            if request is not None:
                self.requests.append(request)
                await self.behaviour(request, writer)
        self._open.discard(task)
        writer.close()
