"""A channel whose messages may outlive it: tasks run on while Redis is lost and found again."""

from typing import Any


class OutlivingChannel:
    """Mixed into a kombu Redis channel.

    With late acknowledgement a task may end after the connection that brought its message. Two
    things then break a stock worker, both with an AttributeError that it does not survive: a
    channel that could not close because Redis was away is closed again without its transport, and
    a message is acknowledged on a channel that has none.
    """

    unacked_key: str
    unacked_index_key: str
    do_restore: bool

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._ended = False
        # Opens no socket until a message is settled late.
        self._late_pool = self._get_pool()  # type: ignore[attr-defined]  # a mixin of Channel

    def close(self) -> None:
        """As kombu's, which puts back what is not acknowledged, if Redis can be reached."""
        self._ended = True
        try:
            super().close()  # type: ignore[misc]  # a mixin of Channel
        except Exception:
            self.do_restore = False
            raise

    def basic_ack(self, delivery_tag: str, multiple: bool = False) -> None:
        """Acknowledges, over a connection of its own if this channel has ended."""
        if self._ended:
            self._settle_late(delivery_tag)
        else:
            super().basic_ack(delivery_tag, multiple)  # type: ignore[misc]  # a mixin of Channel

    def basic_reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Rejects. After the end of this channel a message to requeue stays unacknowledged."""
        if not self._ended:
            super().basic_reject(delivery_tag, requeue)  # type: ignore[misc]  # a mixin of Channel
        elif not requeue:
            self._settle_late(delivery_tag)

    def _settle_late(self, delivery_tag: str) -> None:
        client = self.Client(connection_pool=self._late_pool)  # type: ignore[attr-defined]  # as above
        with client.pipeline() as pipe:
            pipe.zrem(self.unacked_index_key, delivery_tag)
            pipe.hdel(self.unacked_key, delivery_tag)
            pipe.execute()
        self._late_pool.disconnect()
