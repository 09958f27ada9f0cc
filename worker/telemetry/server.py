"""Serves `/metrics` and `/healthz`, in threads of its own: it answers while the loop is busy."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

_PORTS = 32
_SILENCE_SECONDS = 5.0

log = structlog.get_logger("muster")


class NoPortFree(OSError):
    """Neither the port that was asked for nor one of the next ones can be had."""


class MetricsServer:
    """The server of one worker.

    Args:
        registry: What it tells.
        healthy: Says what is wrong with the worker; None where nothing is.
        host: The address to listen on.
        port: The first port to try; where others have it, one of the next 31 is taken.

    Raises:
        NoPortFree: None of them can be had.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        healthy: Callable[[], str | None],
        host: str,
        port: int,
    ) -> None:
        handler = type(
            "Handler", (_Handler,), {"registry": registry, "healthy": staticmethod(healthy)}
        )
        self._server = _bound(handler, host, port)
        thread = Thread(target=self._server.serve_forever, name="muster-metrics", daemon=True)
        thread.start()

    @property
    def url(self) -> str:
        """Where the metrics are."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}/metrics"

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # Two workers must not share a port: the one that came first would hide the other.
    allow_reuse_address = False

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the base's
        """A client that went away is no news."""
        error = sys.exception()
        if not isinstance(error, ConnectionError | TimeoutError):
            log.error("metrics.not_answered", exc_info=error)


class _Handler(BaseHTTPRequestHandler):
    registry: CollectorRegistry
    healthy: Callable[[], str | None]
    timeout = _SILENCE_SECONDS
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer one of the two paths."""
        path = self.path.partition("?")[0]
        if path == "/metrics":
            encode, content_type = choose_encoder(self.headers.get("Accept", ""))
            self._answer(HTTPStatus.OK, content_type, encode(self.registry))
        elif path == "/healthz":
            trouble = self.healthy()
            status = HTTPStatus.SERVICE_UNAVAILABLE if trouble else HTTPStatus.OK
            self._answer(status, "text/plain; charset=utf-8", f"{trouble or 'ok'}\n".encode())
        else:
            text = b"There are /metrics and /healthz.\n"
            self._answer(HTTPStatus.NOT_FOUND, "text/plain; charset=utf-8", text)

    def _answer(self, status: HTTPStatus, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def version_string(self) -> str:
        """Tell nobody which Python this is."""
        return "muster"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """A scrape is no news."""


def _bound(handler: type[_Handler], host: str, port: int) -> _Server:
    for candidate in range(port, min(port + _PORTS, 65_536)):
        try:
            return _Server((host, candidate), handler)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise NoPortFree(
                    f"Cannot listen on {host}:{candidate}: {error.strerror}"
                ) from error
    raise NoPortFree(f"Ports {port} to {candidate} of {host} are taken.")
