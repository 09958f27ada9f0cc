"""The process that reads PDF and HTML. Started by `apart`, one document after the other."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Callable, Mapping
from typing import IO, Any, Final

from agents.ingest.errors import DocumentBroken, DocumentTooCostly, UnreadableDocument
from agents.ingest.extracted import Extracted
from agents.ingest.html_text import html_text
from agents.ingest.limits import ReadLimits
from agents.ingest.pdf_text import pdf_text
from agents.ingest.wire import receive, send

_READERS: Final[Mapping[str, Callable[[bytes, ReadLimits], Extracted]]] = {
    "html": html_text,
    "pdf": pdf_text,
}


def main() -> None:
    """Take the limits, then read until the other side ends."""
    asks, replies = sys.stdin.buffer, os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints is no reply
    limits = ReadLimits(**receive(asks))
    _take_limits(limits)
    send(replies, {"ready": True})
    while True:
        try:
            head = receive(asks)
        except EOFError:
            return
        send(replies, _read(head, asks, limits))


def _take_limits(limits: ReadLimits) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = limits.memory_bytes if hard == resource.RLIM_INFINITY else min(limits.memory_bytes, hard)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _read(head: dict[str, Any], asks: IO[bytes], limits: ReadLimits) -> dict[str, Any]:
    try:
        extracted = _READERS[head["kind"]](asks.read(head["size"]), limits)
    except UnreadableDocument as error:
        return {"code": error.code, "message": str(error)}
    except MemoryError:
        return _refusal(DocumentTooCostly("takes more memory than a document may"))
    except Exception as error:  # noqa: BLE001 - whatever a parser trips over, the next one is read
        return _refusal(DocumentBroken(f"cannot be read ({type(error).__name__})"))
    blocks = [[b.start, b.end, b.heading, b.page, b.row] for b in extracted.blocks or ()]
    return {"text": extracted.text, "blocks": blocks}


def _refusal(error: UnreadableDocument) -> dict[str, Any]:
    return {"code": error.code, "message": str(error)}
