"""A TCP proxy that breaks the network between a worker and a server as it is told to."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

from tests.rig.faults.loop import LoopThread
from tests.services.ports import free_port

_CHUNK = 65_536
_LINGER_AWAY = struct.pack("ii", 1, 0)  # close() then sends a reset instead of an orderly end


class Mode(StrEnum):
    """What the proxy does with connections and their bytes."""

    PASS = "pass"
    DELAY = "delay"  # every chunk is late
    CUT = "cut"  # reset all, refuse new ones
    HALF_OPEN = "half-open"  # accept, swallow everything, say nothing
    FREEZE = "freeze"  # stop reading: buffers fill, nothing is lost
    DEAF = "deaf"  # one way: what the server answers is swallowed
    MUTE = "mute"  # one way: what the worker says is swallowed


_SWALLOWED = {
    Mode.HALF_OPEN: frozenset({"up", "down"}),
    Mode.DEAF: frozenset({"down"}),
    Mode.MUTE: frozenset({"up"}),
}


class _Link:
    """One connection, both its ends; `torn` once it lost bytes and cannot be made whole again."""

    def __init__(self) -> None:
        self.writers: list[asyncio.StreamWriter] = []
        self.torn = False

    def reset(self) -> None:
        for writer in self.writers:
            raw = writer.get_extra_info("socket")
            if raw is not None and not writer.is_closing():
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_AWAY)
            writer.transport.abort()


class FaultProxy:
    """Forwards a local port to another one; `mode` decides how well.

    Healing resets the connections that lost bytes, as the server would that knows nothing of them.

    Attributes:
        port: Where to connect instead of the server.
        hits: By mode, how many connections and chunks felt it.
    """

    def __init__(self, thread: LoopThread, target_port: int, seed: int = 0) -> None:
        self.port = free_port()
        self.hits: Counter[Mode] = Counter()
        self._thread = thread
        self._target = target_port
        self._chance = random.Random(seed)
        self._mode = Mode.PASS
        self._delay = (0.2, 0.1)
        self._links: set[_Link] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._server = thread.call(self._listen())

    @property
    def links(self) -> int:
        """Connections that are open now."""
        return len(self._links)

    @contextmanager
    def broken(self, mode: Mode, delay: tuple[float, float] = (0.2, 0.1)) -> Iterator[None]:
        """Misbehave for the time of a `with` block. `delay` is mean and spread in seconds."""
        self._delay = delay
        self._thread.call(self._switch(mode))
        try:
            yield
        finally:
            self._thread.call(self._switch(Mode.PASS))

    def close(self) -> None:
        self._thread.call(self._close())

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def _close(self) -> None:
        self._server.close()
        for link in list(self._links):
            link.reset()

    async def _switch(self, mode: Mode) -> None:
        self._mode = mode
        self._flowing.clear() if mode is Mode.FREEZE else self._flowing.set()
        for link in list(self._links):
            if mode is Mode.CUT:
                self.hits[mode] += 1
                link.reset()
            elif mode is Mode.PASS and link.torn:
                link.reset()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = _Link()
        link.writers.append(writer)
        self._links.add(link)
        try:
            await self._carry(link, reader, writer)
        except OSError:
            return  # one end is gone, and so is the other
        finally:
            link.reset()
            self._links.discard(link)

    async def _carry(
        self, link: _Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if self._mode is Mode.CUT:
            self.hits[Mode.CUT] += 1
            return
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._target)
        link.writers.append(server_writer)
        ways = [
            asyncio.ensure_future(self._pump(link, "up", reader, server_writer)),
            asyncio.ensure_future(self._pump(link, "down", server_reader, writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _pump(
        self, link: _Link, way: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while data := await reader.read(_CHUNK):
            if not self._flowing.is_set():
                self.hits[Mode.FREEZE] += 1
                await self._flowing.wait()
            if way in _SWALLOWED.get(self._mode, ()) or link.torn:
                self.hits[self._mode] += 1
                link.torn = True
                continue
            if self._mode is Mode.DELAY:
                self.hits[Mode.DELAY] += 1
                mean, spread = self._delay
                await asyncio.sleep(max(0.0, self._chance.uniform(mean - spread, mean + spread)))
            writer.write(data)
            await writer.drain()
