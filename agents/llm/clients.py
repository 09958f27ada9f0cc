"""One SDK client per event loop: its connections belong to the loop that opened them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from weakref import WeakKeyDictionary

import httpx2
from openai import AsyncOpenAI

_CONNECT_SECONDS = 10.0
_MOST_CONNECTIONS = 10_000
_MOST_IDLE = 1_000


class AnswerTooLong(Exception):
    """The server sends more than any honest answer holds."""


class LoopClients:
    """Makes an SDK client for each event loop that asks, and closes them.

    Args:
        make: Makes one client.
    """

    def __init__(self, make: Callable[[], AsyncOpenAI]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._clients: WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncOpenAI] = (
            WeakKeyDictionary()
        )

    def current(self) -> AsyncOpenAI:
        """Return the client of the running loop."""
        loop = asyncio.get_running_loop()
        with self._lock:
            client = self._clients.get(loop)
            if client is None:
                client = self._clients[loop] = self._make()
            return client

    async def aclose(self) -> None:
        """Close the client of the running loop."""
        with self._lock:
            client = self._clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.close()

    def close(self) -> None:
        """Ask every loop that still runs to close its client; connections of others are gone."""
        with self._lock:
            clients = list(self._clients.items())
            self._clients.clear()
        for loop, client in clients:
            if loop.is_running():
                asyncio.run_coroutine_threadsafe(client.close(), loop)


def new_client(
    *, api_key: str, base_url: str, timeout_seconds: float, max_answer_bytes: int
) -> AsyncOpenAI:
    """Make a client that never retries, holds many connections and caps what it reads.

    The proxy settings of the environment stay in force.
    """

    async def cap(response: httpx2.Response) -> None:
        stream = response.stream
        if isinstance(stream, httpx2.AsyncByteStream):
            response.stream = _CappedStream(stream, max_answer_bytes)

    http = httpx2.AsyncClient(
        timeout=httpx2.Timeout(timeout_seconds, connect=min(_CONNECT_SECONDS, timeout_seconds)),
        limits=httpx2.Limits(
            max_connections=_MOST_CONNECTIONS, max_keepalive_connections=_MOST_IDLE
        ),
        event_hooks={"response": [cap]},
    )
    return AsyncOpenAI(api_key=api_key, base_url=base_url, max_retries=0, http_client=http)


class _CappedStream(httpx2.AsyncByteStream):
    """Breaks off a body that passes the cap, before it fills the memory."""

    def __init__(self, inner: httpx2.AsyncByteStream, limit: int) -> None:
        self._inner = inner
        self._left = limit

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._inner:
            self._left -= len(chunk)
            if self._left < 0:
                raise AnswerTooLong
            yield chunk

    async def aclose(self) -> None:
        """Close the connection's stream."""
        await self._inner.aclose()
