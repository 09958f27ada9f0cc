"""Messages between us and the process that reads documents: a line of JSON, then bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import IO, Any


def send(to: IO[bytes], head: Mapping[str, Any], body: bytes = b"") -> None:
    """Send a message; `head` says what the body is and how long."""
    to.write(json.dumps(head).encode() + b"\n")
    to.write(body)
    to.flush()


def receive(back: IO[bytes]) -> dict[str, Any]:
    """Wait for a message and return its head.

    Raises:
        EOFError: The other side has ended.
    """
    line = back.readline()
    if not line.endswith(b"\n"):
        raise EOFError
    head: dict[str, Any] = json.loads(line)
    return head
