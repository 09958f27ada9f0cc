"""Reads PDF and HTML in a process of their own, which a hostile document may exhaust."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from dataclasses import asdict
from types import TracebackType
from typing import IO, Any, Final, Self

from agents.ingest import errors
from agents.ingest.errors import DocumentTooCostly, UnreadableDocument
from agents.ingest.extracted import Extracted
from agents.ingest.formats import ApartFormat
from agents.ingest.limits import ReadLimits
from agents.ingest.wire import receive, send
from agents.knowledge.document import Block

_START: Final = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]); "
    "from agents.ingest.child import main; main()"
)
_STARTING_SECONDS: Final = 30.0
# The parser needs no secret of ours.
_KEPT_VARIABLES: Final = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LANG", "TMPDIR")
_ERRORS: Final = {
    kind.code: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, UnreadableDocument)
}


class ApartReader:
    """One process that reads documents, one after the other. Use it in a `with` block.

    It starts with the first document. One that takes too long or too much memory costs the
    process, never ours; the next document gets a new one.

    Args:
        limits: What a document may cost.
    """

    def __init__(self, limits: ReadLimits) -> None:
        self._limits = limits
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def read(self, kind: ApartFormat, data: bytes) -> Extracted:
        """Return the text of a document.

        Raises:
            UnreadableDocument: As the format's reader; DocumentTooCostly for time and memory.
        """
        process = self._process
        if process is None or process.poll() is not None:
            process = self._started()
        watchdog = threading.Timer(self._limits.seconds, process.kill)
        watchdog.start()
        try:
            reply = _exchange(process, {"kind": kind, "size": len(data)}, data)
        finally:
            watchdog.cancel()
        if reply is None:
            self._end()
            raise DocumentTooCostly(
                f"took more than {self._limits.seconds:g} s or "
                f"{self._limits.memory_bytes >> 20:,} MB to read"
            )
        return _result(reply)

    def _started(self) -> subprocess.Popen[bytes]:
        """Start a process and wait for its imports, which are no document's time."""
        kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
        command = [sys.executable, "-I", "-c", _START, json.dumps(sys.path)]
        self._process = process = subprocess.Popen(  # noqa: S603 - our own interpreter
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=kept,
        )
        watchdog = threading.Timer(_STARTING_SECONDS, process.kill)
        watchdog.start()
        try:
            ready = _exchange(process, asdict(self._limits), b"")
        finally:
            watchdog.cancel()
        if ready is None:
            self._end()
            raise DocumentTooCostly("the process that reads such documents does not start")
        return process

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()


def _exchange(
    process: subprocess.Popen[bytes], head: dict[str, Any], body: bytes
) -> dict[str, Any] | None:
    """Send one message and return the reply; None where the process has ended."""
    to, back = _pipes(process)
    try:
        send(to, head, body)
        return receive(back)
    except (OSError, EOFError):
        return None


def _pipes(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    if process.stdin is None or process.stdout is None:
        raise OSError("the process has no pipes")
    return process.stdin, process.stdout


def _result(reply: dict[str, Any]) -> Extracted:
    if "code" in reply:
        raise _ERRORS[reply["code"]](reply["message"])
    blocks = tuple(
        Block(start=start, end=end, heading=heading, page=page, row=row)
        for start, end, heading, page, row in reply["blocks"]
    )
    return Extracted(reply["text"], blocks)
