"""A provider on a real socket: answers as scripted and keeps what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Asked:
    """A request as it arrived."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass
class Reply:
    """What to send back.

    Attributes:
        body: JSON, or text for what is no JSON.
        drip_seconds: Pause after each byte of the body; a body that drips never ends.
        endless: Send bytes as fast as they are taken, for ever.
        reset: Close the connection in the middle of the body, or after the events.
        events: Server-sent events in place of a body; dicts as JSON, texts as they are.
    """

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    drip_seconds: float = 0.0
    endless: bool = False
    reset: bool = False
    events: Sequence[dict[str, Any] | str] | None = None


Script = Callable[[Asked], Reply]


class Provider:
    """Answers with the scripted replies in turn, the last one again and again."""

    def __init__(self, *script: Reply | Script) -> None:
        self._script = list(script)
        self._lock = threading.Lock()
        self.asked: list[Asked] = []
        self.stopping = threading.Event()
        self.url = ""

    def answer(self, asked: Asked) -> Reply:
        with self._lock:
            self.asked.append(asked)
            step = self._script.pop(0) if len(self._script) > 1 else self._script[0]
        return step if isinstance(step, Reply) else step(asked)


@contextmanager
def serving(*script: Reply | Script) -> Iterator[Provider]:
    """Serve on a free port for the time of a `with` block."""
    provider = Provider(*script)
    server = _Server(("127.0.0.1", 0), _Handler)
    server.provider = provider
    provider.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield provider
    finally:
        provider.stopping.set()
        server.shutdown()
        server.server_close()
        thread.join()


def responses_body(text: str, **more: Any) -> dict[str, Any]:
    """An answer of the Responses API."""
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "status": "completed",
        "model": "gpt-5.4-mini",
        "output": [
            {"type": "reasoning", "id": "rs_1", "summary": []},
            {
                "type": "message",
                "id": "msg_1",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "output_text", "text": text, "annotations": []}],
            },
        ],
        "usage": {
            "input_tokens": 1_000,
            "input_tokens_details": {"cached_tokens": 400},
            "output_tokens": 200,
            "output_tokens_details": {"reasoning_tokens": 10},
            "total_tokens": 1_200,
        },
        **more,
    }


def chat_body(text: str, **choice: Any) -> dict[str, Any]:
    """An answer of Chat Completions."""
    return {
        "id": "chat_1",
        "object": "chat.completion",
        "created": 1,
        "model": "local-llama",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text},
                "finish_reason": "stop",
                **choice,
            }
        ],
        "usage": {"prompt_tokens": 50, "completion_tokens": 20, "total_tokens": 70},
    }


def error_body(message: str, code: str | None = None) -> dict[str, Any]:
    """An error as OpenAI words it."""
    return {"error": {"message": message, "type": "some_error", "code": code, "param": None}}


def _lower(headers: Message) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512
    provider: Provider


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        length = int(self.headers.get("content-length", 0))
        body = json.loads(self.rfile.read(length) or b"{}")
        reply = self.server.provider.answer(Asked(self.path, _lower(self.headers), body))
        try:
            if reply.events is None:
                self._send(reply)
            else:
                self._send_events(reply)
        except OSError:
            self.close_connection = True

    def _send(self, reply: Reply) -> None:
        is_text = isinstance(reply.body, str)
        content = reply.body.encode() if is_text else json.dumps(reply.body).encode()
        headers = {"content-type": "text/html" if is_text else "application/json"}
        size = len(content) * 2 if reply.reset else len(content)
        if reply.endless or reply.drip_seconds:
            size = 10**12
        self._begin(reply, {**headers, **reply.headers, "content-length": str(size)})
        if reply.endless or reply.drip_seconds:
            self._send_without_end(reply)
        self.wfile.write(content)
        self.close_connection = reply.reset

    def _send_events(self, reply: Reply) -> None:
        """Chunks tell a connection that broke from one that ended."""
        self.close_connection = True
        framing = {"content-type": "text/event-stream", "transfer-encoding": "chunked"}
        self._begin(reply, {**framing, **reply.headers})
        for event in reply.events or ():
            text = event if isinstance(event, str) else json.dumps(event)
            self._send_chunk(f"data: {text}\n\n".encode())
        while reply.drip_seconds and not self.server.provider.stopping.wait(reply.drip_seconds):
            self._send_chunk(b":")
        while reply.endless:
            self._send_chunk(b"data: " + b" " * 65_536)
        if not reply.reset:
            self.wfile.write(b"0\r\n\r\n")

    def _send_chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def _begin(self, reply: Reply, headers: dict[str, str]) -> None:
        self.send_response(reply.status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _send_without_end(self, reply: Reply) -> None:
        while not self.server.provider.stopping.wait(reply.drip_seconds):
            self.wfile.write(b" " if reply.drip_seconds else b" " * 65_536)
            self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Say nothing."""
