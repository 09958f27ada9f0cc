"""Requests of one loop turn travel in one call; those that come meanwhile, in the next."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Request = TypeVar("Request")
Reply = TypeVar("Reply")

_SIZE = 200


class Batch(Generic[Request, Reply]):
    """Gathers requests. At most one call is under way.

    Args:
        send: Makes the call and returns one reply for each request, in order.
    """

    def __init__(self, send: Callable[[Sequence[Request]], Awaitable[Sequence[Reply]]]) -> None:
        self._send = send
        self._waiting: list[tuple[Request, asyncio.Future[Reply]]] = []
        self._sending: asyncio.Task[None] | None = None

    def put(self, request: Request) -> asyncio.Future[Reply]:
        """Send a request with the next call; the future has its reply or the call's error."""
        reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        reply.add_done_callback(_notice)
        self._waiting.append((request, reply))
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send_all())
        return reply

    async def close(self) -> None:
        """Wait until everything is sent."""
        if self._sending is not None:
            await self._sending

    async def _send_all(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:_SIZE], self._waiting[_SIZE:]
            try:
                replies = await self._send([request for request, _ in batch])
            except Exception as error:  # noqa: BLE001 - handed to those who wait for it
                _fail([reply for _, reply in batch], error)
            else:
                _answer([reply for _, reply in batch], replies)


def _notice(reply: asyncio.Future[Reply]) -> None:
    """Whoever asked may be gone: an error that nobody takes is no news to the event loop."""
    if not reply.cancelled():
        reply.exception()


def _fail(waiting: Sequence[asyncio.Future[Reply]], error: Exception) -> None:
    for reply in waiting:
        if not reply.done():
            reply.set_exception(error)


def _answer(waiting: Sequence[asyncio.Future[Reply]], replies: Sequence[Reply]) -> None:
    for reply, value in zip(waiting, replies, strict=True):
        if not reply.done():
            reply.set_result(value)
