from __future__ import annotations

import select
from collections.abc import Callable
from typing import Any

import pytest

from worker.pool.inbox import Inbox


class _Receiver:
    """The inbox's socket, which lets another thread's notice come in around its read."""

    def __init__(self, inner: Any, before: Callable[[], None], after: Callable[[], None]) -> None:
        self._inner, self._before, self._after = inner, before, after

    def recv(self, size: int) -> bytes:
        self._before()
        taken: bytes = self._inner.recv(size)
        self._after()
        return taken


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_notice_put_while_the_inbox_falls_asleep_is_not_lost(when: str) -> None:
    inbox, ran = Inbox(has_hub=True), []
    inner = inbox._receiver

    def late() -> None:
        inbox.put(lambda: ran.append("late"))

    def nothing() -> None:
        pass

    inbox._receiver = _Receiver(  # type: ignore[assignment]  # a socket with a race built in
        inner, late if when == "before" else nothing, late if when == "after" else nothing
    )
    inbox.put(lambda: ran.append("first"))
    inbox.drain()
    assert ran == ["first", "late"]
    inbox._receiver = inner
    if select.select([inner], [], [], 0)[0]:
        inbox.drain()
    inbox.put(lambda: ran.append("next"))
    assert select.select([inner], [], [], 0)[0], "the hub is woken for the next notice"
    inbox.drain()
    assert ran[-1] == "next"
    inbox._sender.close()
    inner.close()
