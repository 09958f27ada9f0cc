"""One process's use of the embedded Redis under a home."""

from __future__ import annotations

import atexit
import os
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import TracebackType
from typing import Self

from worker.embedded.errors import EmbeddedRedisFailed, HomeNotWritable
from worker.embedded.file_lock import FileLock, exclusive
from worker.embedded.redis_folder import RedisFolder
from worker.embedded.server_process import LiveServer, running_server

# A first start, a long load and a slow stop of others all fit into it.
_LOCK_SECONDS = 60.0


class EmbeddedRedis:
    """Starts or adopts the Redis of a home; the last process that closes it stops it.

    The server is a process of its own, so it outlives whoever started it as long as others use it.
    After all users were killed it stays until the next one adopts it and closes it. A process that
    ends normally closes by itself. A forked child shares its parent's use and closes nothing.

    Args:
        home: The home folder; data is kept in `home/redis`.

    Raises:
        RedisBinaryMissing: No server program was found.
        EmbeddedRedisFailed: The server does not start or does not answer.
        HomeNotWritable: The folder cannot be written.

    Example:
        with EmbeddedRedis(Path(".muster")) as redis:
            client = Redis.from_url(redis.url)
    """

    def __init__(self, home: Path) -> None:
        self._folder = RedisFolder(home.absolute())
        self._server: LiveServer | None = None
        self._use: FileLock | None = None
        self._owner = os.getpid()

    @property
    def url(self) -> str:
        """The URL for clients. It stays the same when a dead server is replaced."""
        if self._server is None:
            raise EmbeddedRedisFailed("The embedded Redis is not started. Call start() first.")
        return self._server.address.url

    def start(self) -> Self:
        """Starts the server or joins the live one. A second call replaces a server that died."""
        self._folder.create()
        try:
            with exclusive(self._folder.start_lock, seconds=_LOCK_SECONDS):
                self._join()
        except TimeoutError as error:
            raise EmbeddedRedisFailed(
                f"Another process is starting the embedded Redis and does not end ({error})."
            ) from error
        except OSError as error:
            raise HomeNotWritable(self._folder.home, str(error.strerror or error)) from error
        return self

    def close(self) -> None:
        """Ends this process's use; the last one shuts the server down. May be called twice."""
        use, self._use = self._use, None
        server, self._server = self._server, None
        if use is None or server is None:
            return
        if os.getpid() != self._owner:
            use.forget()
        else:
            atexit.unregister(self.close)
            self._leave(use, server)
        server.forget()

    def _join(self) -> None:
        before, self._server = self._server, running_server(self._folder)
        if before is not None:
            before.forget()
        if self._use is not None:
            return
        use = FileLock(self._folder.users_lock)
        # Only a closer takes it alone, and only while it holds the lock that we hold now.
        if not use.try_shared():
            use.forget()
            raise TimeoutError(f"{self._folder.users_lock} is locked")
        self._use, self._owner = use, os.getpid()
        atexit.register(self.close)

    def _leave(self, use: FileLock, server: LiveServer) -> None:
        with self._guard():
            if use.try_exclusive():
                server.stop()
            use.release()

    def _guard(self) -> AbstractContextManager[None]:
        """Nobody may join while the last one stops. Without the folder nobody can."""
        if not self._folder.path.is_dir():
            return nullcontext()
        return exclusive(self._folder.start_lock, seconds=_LOCK_SECONDS)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
