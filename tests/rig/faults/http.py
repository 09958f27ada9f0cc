"""Just enough HTTP/1.1 for servers that record and misbehave: one request per connection."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Request:
    """A request as it arrived."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    at: float = field(default_factory=time.time)

    def json(self) -> Any:
        return json.loads(self.body or b"{}")


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    """Read one; None where the connection ends before it is whole."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *rest = head.split("\r\n")
        method, path, _ = first.split(" ", 2)
        headers = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(":") for line in rest if line)
        }
        body = await reader.readexactly(int(headers.get("content-length", 0)))
    except (asyncio.IncompleteReadError, OSError):
        return None
    return Request(method, path, headers, body)


def head(status: int, length: int, headers: Mapping[str, str]) -> bytes:
    """The status line and headers of an answer after which the connection closes."""
    lines = {"content-type": "application/json", **headers, "content-length": str(length)}
    text = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} Said\r\nconnection: close\r\n{text}\r\n".encode()


async def post(
    host: str, port: int, path: str, body: bytes, headers: Mapping[str, str]
) -> tuple[int, dict[str, str], bytes]:
    """Send a request and return status, headers and body; the connection ends with the caller.

    Raises:
        ConnectionError: The answer was cut off.
    """
    reader, writer = await asyncio.open_connection(host, port)
    try:
        text = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        start = f"POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-length: {len(body)}\r\n{text}\r\n"
        writer.write(start.encode() + body)
        await writer.drain()
        return await _answer(reader)
    finally:
        writer.transport.abort()


async def _answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    try:
        top = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *rest = top.split("\r\n")
        pairs = (line.partition(":") for line in rest if line)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        body = await reader.readexactly(int(headers["content-length"]))
    except asyncio.IncompleteReadError as error:
        raise ConnectionError("The answer was cut off.") from error
    return int(first.split(" ")[1]), headers, body
