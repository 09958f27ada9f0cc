"""What kombu notes in Redis about messages, said along with its next question.

kombu notes each message that it takes, and each acknowledgement, in a transaction of its own whose
answer it waits for. Here the notes of one turn of the consumer travel in front of the next BRPOP,
over its connection; where that one is not due, together by themselves.

The order keeps what a death in between leaves behind harmless: an entry of the index without its
message is removed by whoever looks for messages of the dead, and one that is acknowledged but not
noted so comes again. A message that is taken and not yet noted is lost with the process, as it is
with kombu between BRPOP and the note.
"""

from collections import deque
from queue import Empty
from time import monotonic, time
from typing import Any

from kombu.transport import redis as kombu_redis
from kombu.transport import virtual
from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import dumps, loads

Note = tuple[Any, ...]
"""A command to Redis, with its arguments."""

_MOST_ORDERS = 64


class NotingQoS(kombu_redis.QoS):
    """Keeps the notes until they are sent; acknowledgements may come from any thread."""

    channel: Any

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._notes: deque[Note] = deque()
        self._departed: list[Note] = []

    def append(self, message: Any, delivery_tag: str) -> None:
        """Notes a message as taken and not acknowledged."""
        info = message.delivery_info
        said = dumps([message._raw, info["exchange"], info["routing_key"]])  # noqa: SLF001  # as kombu
        self._notes.append(("ZADD", self.unacked_index_key, time(), delivery_tag))
        self._notes.append(("HSET", self.unacked_key, delivery_tag, said))
        virtual.QoS.append(self, message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        """Notes a message as done."""
        self._notes.append(("HDEL", self.unacked_key, delivery_tag))
        self._notes.append(("ZREM", self.unacked_index_key, delivery_tag))
        virtual.QoS.ack(self, delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Notes a message as done, or puts it back."""
        if requeue:
            super().reject(delivery_tag, requeue=True)
        else:
            self.ack(delivery_tag)

    def restore_by_tag(self, tag: str, client: Any = None, leftmost: bool = False) -> None:
        """Puts a message back, which has to be noted for that."""
        self.send()
        super().restore_by_tag(tag, client, leftmost)

    def restore_unacked_once(self, stderr: Any = None) -> None:
        """At the end: puts back what is not acknowledged, as far as Redis knows of it.

        A channel that could not close because Redis was away is closed again, without a connection.
        """
        if self.channel.do_restore:
            self._recall()
            self.send()
        super().restore_unacked_once(stderr)

    def depart(self) -> list[Note]:
        """Hands over all notes, to be sent in front of a BRPOP; see `arrived`.

        Those that went with an earlier one whose answers never came are repeated.
        """
        self._recall()
        self._departed = self._taken()
        return self._departed

    def arrived(self) -> None:
        """Forgets the notes that were handed over: Redis has answered them."""
        self._departed = []

    def send(self) -> None:
        """Sends the notes, if there are any, and waits for the answers."""
        notes = self._taken()
        if not notes:
            return
        try:
            with (
                self.channel.conn_or_acquire() as client,
                client.pipeline(transaction=False) as pipe,
            ):
                for note in notes:
                    pipe.execute_command(*note)
                pipe.execute()
        except BaseException:
            self._notes.extendleft(reversed(notes))
            raise

    def _taken(self) -> list[Note]:
        return [self._notes.popleft() for _ in range(len(self._notes))]

    def _recall(self) -> None:
        self._notes.extendleft(reversed(self._departed))
        self._departed = []


class NotingPoller(kombu_redis.MultiChannelPoller):
    """Sends what no BRPOP took along."""

    _channels: Any

    def on_poll_start(self) -> None:
        """A turn of the consumer begins."""
        super().on_poll_start()
        for channel in self._channels:
            channel.send_notes()


class NotingTransport:
    """Mixed into a kombu Redis transport whose channels are `NotingChannel`s."""

    cycle: Any

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.cycle = NotingPoller()


class NotingChannel:
    """Mixed into a kombu Redis channel."""

    QoS: Any = NotingQoS
    client: Any
    connection: Any
    qos: Any
    _in_poll: Any
    _closing: bool
    _queue_cycle: Any

    def __init__(self, *args: Any, **options: Any) -> None:
        self._answers_due = 0
        self._packed: dict[tuple[str, ...], bytes] = {}
        self._consumed: list[str] = []
        super().__init__(*args, **options)

    @property
    def active_queues(self) -> list[str]:
        """The queues that are consumed, which kombu gathers anew for each question."""
        return self._consumed

    def _update_queue_cycle(self) -> None:
        """Queues were added or removed."""
        self._consumed = super().active_queues  # type: ignore[misc]  # a mixin of Channel
        super()._update_queue_cycle()  # type: ignore[misc]  # as above

    def send_notes(self) -> None:
        """Sends what waits to be noted."""
        if isinstance(self.qos, NotingQoS):
            self.qos.send()

    def _brpop_start(self, timeout: float | None = None) -> None:
        """Sends BRPOP, behind the notes."""
        queues = tuple(self._queue_cycle.consume(len(self._consumed)))
        if not queues:
            return
        notes = self.qos.depart() if isinstance(self.qos, NotingQoS) else []
        connection = self.client.connection
        said = [_packed(self._prefixed(note)) for note in notes]
        self._answers_due = len(notes)
        self._in_poll = connection
        self._brpop_sent_at = monotonic()
        connection.send_packed_command([b"".join([*said, self._brpop(queues, timeout)])])

    def _brpop_read(self, **options: Any) -> bool:
        """Reads the answers to the notes, then the one to BRPOP if it has come.

        Raises:
            Empty: There is no message, or none yet.
        """
        connection = self.client.connection
        try:
            reply = self._answer(connection, **options)
        except Empty:
            raise
        except Exception:
            self._in_poll = None
            connection.disconnect()
            raise
        self._in_poll = None
        try:
            return self._hand_over(reply)
        finally:
            self._flush_brpop_reauth()  # type: ignore[attr-defined]  # as above

    def _answer(self, connection: Any, **options: Any) -> Any:
        """The answer to BRPOP, behind those to the notes, which come before a message does."""
        if self._answers_due:
            while self._answers_due:
                connection.read_response()
                self._answers_due -= 1
            self.qos.arrived()
            if not (self._closing or connection.can_read()):
                raise Empty
        return self.client.parse_response(connection, "BRPOP", **options)

    def _hand_over(self, reply: Any) -> bool:
        if not reply:
            raise Empty
        key, raw = reply
        queue = bytes_to_str(key).rsplit(self.sep, 1)[0]  # type: ignore[attr-defined]  # as above
        message = self._parsed(queue, raw)
        if message is None:
            raise Empty
        self._queue_cycle.rotate(queue)
        self.connection._deliver(message, queue)  # noqa: SLF001  # as kombu does
        return True

    def _parsed(self, queue: str, raw: Any) -> Any:  # noqa: ARG002  # overridden
        """The message in what was popped; None to drop it."""
        return loads(bytes_to_str(raw))

    def _brpop(self, queues: tuple[str, ...], timeout: float | None) -> bytes:
        """The command, which is packed once for each order of the queues."""
        if timeout is not None:
            return self._pack_brpop(queues, timeout)
        packed = self._packed.get(queues)
        if packed is None:
            if len(self._packed) >= _MOST_ORDERS:
                self._packed.clear()
            packed = self._packed[queues] = self._pack_brpop(queues, self.brpop_timeout)  # type: ignore[attr-defined]  # as above
        return packed

    def _pack_brpop(self, queues: tuple[str, ...], timeout: float | None) -> bytes:
        keys = [self._q_for_pri(queue, step) for step in self.priority_steps for queue in queues]  # type: ignore[attr-defined]  # as above
        return _packed(self._prefixed(("BRPOP", *keys, timeout or 0)))

    def _prefixed(self, command: Note) -> Note:
        if self.global_keyprefix:  # type: ignore[attr-defined]  # as above
            return tuple(self.client._prefix_args(list(command)))  # noqa: SLF001  # as kombu does
        return command


def _packed(command: Note) -> bytes:
    """A command as Redis reads it; redis-py, which takes any type, needs several times as long."""
    words = [word if isinstance(word, bytes) else str(word).encode() for word in command]
    said = [b"$%d\r\n%b\r\n" % (len(word), word) for word in words]
    return b"*%d\r\n%b" % (len(words), b"".join(said))
