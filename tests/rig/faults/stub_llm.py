"""A model server that answers as OpenAI's do, misbehaves on demand, and counts who is inside."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.rig.faults.history import History
from tests.rig.faults.http import Request, head, read_request
from tests.rig.faults.loop import LoopThread

AGENT_HEADER = "x-test-agent"
RUN_HEADER = "x-test-run"
STEP_HEADER = "x-test-step"
PID_HEADER = "x-test-pid"

_BUSY = 429


@dataclass(frozen=True)
class Manner:
    """How the server behaves.

    Attributes:
        seconds: Time to an answer.
        status: 200, or 429 for a storm.
        retry_after: The header of that name, whatever it says.
        drip_seconds: Pause after each byte of the body; 0 sends it whole.
        reset: Break off in the middle of the body.
    """

    seconds: float = 0.05
    status: int = 200
    retry_after: str | None = None
    drip_seconds: float = 0.0
    reset: bool = False


@dataclass
class Call:
    """One request, from its arrival until its answer was sent or its caller vanished."""

    agent: str
    run: str | None
    step: str | None
    pid: int
    begun: float = field(default_factory=time.time)
    ended: float | None = None
    outcome: str = "gone"


class StubLLM:
    """Serves `/v1/chat/completions` and `/v1/responses` on a free port of this machine.

    Who calls is told by headers of the rig's own agents; other clients count under their model's
    name. Every call becomes a line `llm` of the history.
    """

    def __init__(
        self,
        thread: LoopThread,
        history: History,
        text: Callable[[Mapping[str, Any]], str] = lambda _: '{"text": "as you wish"}',
    ) -> None:
        self.manner = Manner()
        self.calls: list[Call] = []
        self._thread = thread
        self._history = history
        self._text = text
        self._server = thread.call(self._listen())
        self.port: int = self._server.sockets[0].getsockname()[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def inside(self) -> int:
        """Calls under way now."""
        return sum(call.ended is None for call in self.calls)

    @contextmanager
    def behaving(self, manner: Manner) -> Iterator[None]:
        """Change manners for the time of a `with` block; calls under way keep theirs."""
        before, self.manner = self.manner, manner
        try:
            yield
        finally:
            self.manner = before

    def close(self) -> None:
        self._thread.call(self._close())

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=512)

    async def _close(self) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await read_request(reader)
            if request is not None:
                await self._record(request, reader, writer)
        finally:
            writer.close()

    async def _record(
        self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        call = _call(request)
        self.calls.append(call)
        answering = asyncio.ensure_future(self._answer(request, writer, self.manner))
        vanishing = asyncio.ensure_future(reader.read(1))
        try:
            await asyncio.wait({answering, vanishing}, return_when=asyncio.FIRST_COMPLETED)
            if answering.done() and answering.exception() is None:
                call.outcome = answering.result()
        finally:
            answering.cancel()
            vanishing.cancel()
            await asyncio.gather(answering, vanishing, return_exceptions=True)
            call.ended = time.time()
            self._history.write("llm", **vars(call))

    async def _answer(self, request: Request, writer: asyncio.StreamWriter, manner: Manner) -> str:
        await asyncio.sleep(manner.seconds)
        if manner.status != 200:
            return await self._refuse(writer, manner)
        body = json.dumps(self._body(request)).encode()
        writer.write(head(200, len(body), {}))
        if manner.reset:
            writer.write(body[: len(body) // 2])
            await writer.drain()
            writer.transport.abort()
            return "reset"
        for byte in body if manner.drip_seconds else ():
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(manner.drip_seconds)
        writer.write(b"" if manner.drip_seconds else body)
        await writer.drain()
        return "answered"

    async def _refuse(self, writer: asyncio.StreamWriter, manner: Manner) -> str:
        body = json.dumps({"error": {"message": "slow down", "code": None}}).encode()
        asked = {} if manner.retry_after is None else {"retry-after": manner.retry_after}
        writer.write(head(manner.status, len(body), asked) + body)
        await writer.drain()
        return "busy" if manner.status == _BUSY else "refused"

    def _body(self, request: Request) -> dict[str, Any]:
        asked = request.json()
        text = self._text(asked)
        return chat(text, asked) if "chat" in request.path else response(text, asked)


def chat(text: str, asked: Mapping[str, Any]) -> dict[str, Any]:
    """An answer of Chat Completions."""
    said = {"role": "assistant", "content": text}
    return {
        "id": "chat-1",
        "object": "chat.completion",
        "created": 1,
        "model": asked.get("model", "stub"),
        "choices": [{"index": 0, "message": said, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 50, "completion_tokens": 20, "total_tokens": 70},
    }


def response(text: str, asked: Mapping[str, Any]) -> dict[str, Any]:
    """An answer of the Responses API."""
    part = {"type": "output_text", "text": text, "annotations": []}
    said = {"type": "message", "id": "m1", "role": "assistant", "status": "completed"}
    return {
        "id": "resp-1",
        "object": "response",
        "created_at": 1,
        "status": "completed",
        "model": asked.get("model", "stub"),
        "output": [{**said, "content": [part]}],
        "usage": {"input_tokens": 50, "output_tokens": 20, "total_tokens": 70},
    }


def _call(request: Request) -> Call:
    told = request.headers
    agent = told.get(AGENT_HEADER) or f"model:{request.json().get('model', '?')}"
    pid = int(told.get(PID_HEADER, 0))
    return Call(agent, told.get(RUN_HEADER), told.get(STEP_HEADER), pid)
