"""A proxy in front of Postgres that cuts the connection in the middle of a COMMIT."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

_COMMIT = b"COMMIT\x00"


class CommitCutter:
    """Forwards everything; once armed, cuts the next COMMIT, which the server sees or does not."""

    def __init__(self, port: int) -> None:
        self._upstream = port
        self._armed: bool | None = None
        self._before: Callable[[], None] | None = None
        self._door = threading.Lock()
        self.cuts = 0
        self._sockets = [socket.create_server(("127.0.0.1", 0))]
        self.port: int = self._sockets[0].getsockname()[1]
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def arm(self, *, delivered: bool, before: Callable[[], None] | None = None) -> None:
        """Cut the next COMMIT, having called `before`: nobody connects anew while that lasts."""
        self._armed, self._before = delivered, before

    def close(self) -> None:
        for end in self._sockets:
            _shut(end)
        for thread in self._threads:
            thread.join()
        for end in self._sockets:
            end.close()

    def _start(self, target: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._sockets[0].accept()
                with self._door:
                    server = socket.create_connection(("127.0.0.1", self._upstream))
                self._sockets += [client, server]
                self._start(self._from_client, client, server)
                self._start(self._from_server, server, client)

    def _from_client(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(65536):
                if self._armed is not None and _COMMIT in data:
                    self._cut(data, client, server)
                    return
                server.sendall(data)
        _shut(server)

    def _from_server(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(65536):
                client.sendall(data)
        _shut(client)

    def _cut(self, data: bytes, client: socket.socket, server: socket.socket) -> None:
        delivered, self._armed = self._armed, None
        self.cuts += 1
        if self._before is not None:
            with self._door:
                self._before()
        _shut(client)
        if delivered:
            server.sendall(data)
            server.shutdown(socket.SHUT_WR)  # the server answers the COMMIT before it notices
        else:
            _shut(server)


def _shut(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
