"""Kombu's Redis transport with an inspection of every message before kombu parses it.

A message is popped from Redis before anyone has looked at it; a malformed one then raises inside
kombu or Celery, and once noted as unacknowledged it returns at every restart. Here it is inspected
as the bytes that Redis answers, and one that fails is taken into quarantine: kombu finds its queue
empty. What passes is parsed, and kombu need not do it again.
"""

from typing import Any

import kombu
import redis
from celery.app.amqp import AMQP
from kombu.transport import redis as kombu_redis
from kombu.utils.encoding import bytes_to_str
from redis.client import PubSub

from worker.pool.notes import NotingChannel, NotingTransport
from worker.pool.outliving import OutlivingChannel
from worker.pool.prompt import PromptChannel
from worker.quarantine.inspection import broadcast_message, task_message
from worker.quarantine.quarantine import Quarantine
from worker.quarantine.reason import Fault

_REPLY_QUEUE = ".pidbox"


class Inspector:
    """Judges what Redis answers to a consuming connection."""

    def __init__(self, quarantine: Quarantine) -> None:
        self._quarantine = quarantine

    def popped(self, queue: str, answer: Any) -> dict[str, Any] | None:
        """The message that was popped, parsed; None where it is malformed."""
        read = broadcast_message if queue.endswith(_REPLY_QUEUE) else task_message
        raw = _bytes(answer)
        message = read(raw, self._quarantine.max_bytes)
        if not isinstance(message, Fault):
            return message
        self._quarantine.take(queue, message, raw)
        return None

    def published(self, reply: Any) -> Any:
        """What came by subscription; None in place of a malformed message."""
        if not isinstance(reply, list | tuple) or not _text(reply[0]).endswith("message"):
            return reply
        channel, raw = reply[-2], _bytes(reply[-1])
        message = broadcast_message(raw, self._quarantine.max_bytes)
        if not isinstance(message, Fault):
            return reply
        self._quarantine.take(_text(channel), message, raw)
        return None


class InspectedPubSub(PubSub):
    """A subscription whose messages are inspected."""

    def __init__(self, *args: Any, inspector: Inspector, **options: Any) -> None:
        self._inspector = inspector
        super().__init__(*args, **options)

    def parse_response(self, *args: Any, **options: Any) -> Any:
        """As PubSub's; None for a malformed message, as if none had come."""
        return self._inspector.published(super().parse_response(*args, **options))  # type: ignore[no-untyped-call]  # redis-py has no types here


class InspectedRedis(redis.Redis):
    """A client whose subscriptions are inspected."""

    def __init__(self, *args: Any, inspector: Inspector, **options: Any) -> None:
        self._inspector = inspector
        super().__init__(*args, **options)

    def pubsub(self, **options: Any) -> InspectedPubSub:
        """A subscription whose messages are inspected."""
        return InspectedPubSub(self.connection_pool, inspector=self._inspector, **options)


class _Inspected:
    """Mixed into a kombu Redis channel. `quarantine` comes from the transport options."""

    quarantine: Quarantine | None = None
    pool: Any
    _shared_client: Any = None
    from_transport_options = (*kombu_redis.SentinelChannel.from_transport_options, "quarantine")

    def _get_client(self) -> Any:
        plain = super()._get_client()  # type: ignore[misc]  # a mixin of Channel
        if self.quarantine is None or plain is not redis.Redis:
            return plain
        inspector = Inspector(self.quarantine)
        return lambda **options: InspectedRedis(inspector=inspector, **options)

    def _parsed(self, queue: str, answer: Any) -> Any:
        if self.quarantine is None:
            return super()._parsed(queue, answer)  # type: ignore[misc]  # as above
        return Inspector(self.quarantine).popped(queue, answer)

    def _create_client(self, asynchronous: bool = False) -> Any:
        """One client for all commands of the channel: kombu makes one for each of them, which costs
        more than the command. The client that waits for messages stays its own.
        """
        if asynchronous:
            return super()._create_client(asynchronous=True)  # type: ignore[misc]  # as above
        if self._shared_client is None or self._shared_client.connection_pool is not self.pool:
            self._shared_client = super()._create_client()  # type: ignore[misc]  # as above
        return self._shared_client


class InspectedChannel(  # type: ignore[misc]  # the stubs know a plain attribute `active_queues`
    _Inspected, NotingChannel, OutlivingChannel, PromptChannel, kombu_redis.Channel
):
    """A Redis channel that inspects."""


class InspectedSentinelChannel(  # type: ignore[misc]  # as above
    _Inspected, NotingChannel, OutlivingChannel, PromptChannel, kombu_redis.SentinelChannel
):
    """A Sentinel channel that inspects."""


class InspectedTransport(NotingTransport, kombu_redis.Transport):
    """The transport behind `redis://` and `rediss://`."""

    Channel = InspectedChannel


class InspectedSentinelTransport(NotingTransport, kombu_redis.SentinelTransport):
    """The transport behind `sentinel://`."""

    Channel = InspectedSentinelChannel


_INSPECTED: dict[Any, Any] = {
    kombu_redis.Transport: InspectedTransport,
    kombu_redis.SentinelTransport: InspectedSentinelTransport,
}


class InspectedConnection(kombu.Connection):
    """A broker connection. Its URL stays `redis://…`, which Flower and others depend on."""

    def get_transport_cls(self) -> Any:
        """Our transport wherever kombu would take its own for Redis."""
        plain = super().get_transport_cls()
        return _INSPECTED.get(plain, plain)


class InspectedAMQP(AMQP):
    """Celery's messaging layer, with our connections."""

    Connection = InspectedConnection
    BrokerConnection = InspectedConnection


def _bytes(raw: Any) -> bytes:
    return raw.encode("utf-8", "surrogatepass") if isinstance(raw, str) else bytes(raw or b"")


def _text(raw: Any) -> str:
    return str(bytes_to_str(raw))
