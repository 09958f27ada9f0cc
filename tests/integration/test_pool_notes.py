"""What a channel notes about messages, over a real Redis and without a worker."""

import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
import redis as redis_py
from kombu import Consumer, Exchange, Queue

from tests.conformance import permits_redis
from tests.services.redis_server import PrivateRedis
from worker.quarantine.quarantine import Quarantine
from worker.quarantine.sinks import MemorySink
from worker.quarantine.transport import InspectedConnection

redis = permits_redis.emptied


class Rig:
    """A connection that consumes one queue, one message at a time."""

    def __init__(self, url: str, **options: Any) -> None:
        self.sink = MemorySink()
        options = {"quarantine": Quarantine(self.sink), **options}
        self.connection = InspectedConnection(url, transport_options=options)
        self.queue = Queue(f"notes-{uuid4()}", Exchange(""), no_declare=True)
        self.channel: Any = self.connection.channel()
        self.taken: list[Any] = []
        self.consumer = Consumer(self.channel, [self.queue], on_message=self.taken.append)
        self.consumer.consume()

    def send(self, *bodies: str) -> None:
        with InspectedConnection(self.connection.as_uri(include_password=True)) as connection:
            producer = connection.Producer()
            for body in bodies:
                headers = {"task": "probe", "id": body}
                producer.publish([[body], {}, {}], routing_key=self.queue.name, headers=headers)

    def take(self) -> Any:
        before = len(self.taken)
        while len(self.taken) == before:
            self.connection.drain_events(timeout=5)
        return self.taken[-1]

    def turn(self) -> None:
        """A turn of the consumer, as its hub begins it."""
        self.channel.connection.cycle.on_poll_start()


@pytest.fixture
def rig(redis_url: str, redis: Any) -> Iterator[Rig]:
    rig = Rig(redis_url)
    yield rig
    rig.connection.close()


def noted(redis: Any) -> tuple[set[str], set[str]]:
    return set(redis.hkeys("unacked")), set(redis.zrange("unacked_index", 0, -1))


def test_a_message_is_noted_with_the_next_question_and_forgotten_when_done(
    rig: Rig, redis: Any
) -> None:
    rig.send("a")
    message = rig.take()
    rig.turn()
    tags = {message.delivery_tag}
    assert noted(redis) == (tags, tags)
    said = json.loads(redis.hget("unacked", message.delivery_tag))
    assert said[1:] == ["", rig.queue.name]
    assert said[0]["headers"]["id"] == "a"
    message.ack()
    rig.turn()
    assert noted(redis) == (set(), set())


def test_notes_travel_in_front_of_the_question_that_brings_the_next_message(
    rig: Rig, redis: Any
) -> None:
    rig.send("a", "b", "c")
    first = rig.take()
    first.ack()
    second, third = rig.take(), rig.take()
    assert [message.headers["id"] for message in rig.taken] == ["a", "b", "c"]
    assert noted(redis) == ({second.delivery_tag}, {second.delivery_tag})
    third.ack()
    second.ack()
    rig.turn()
    assert noted(redis) == (set(), set())


def test_what_is_not_acknowledged_returns_to_the_queue_at_the_end(rig: Rig, redis: Any) -> None:
    rig.send("a", "b")
    rig.take().ack()
    rig.take()
    rig.channel.close()
    assert noted(redis) == (set(), set())
    (raw,) = redis.lrange(rig.queue.name, 0, -1)
    assert json.loads(raw)["headers"]["id"] == "b"


def test_a_message_is_put_back_before_it_was_noted(rig: Rig, redis: Any) -> None:
    rig.send("a")
    rig.take().requeue()
    assert rig.take().headers["id"] == "a"
    rig.taken[-1].reject()
    rig.turn()
    assert noted(redis) == (set(), set())
    assert redis.llen(rig.queue.name) == 0


def test_notes_outlive_the_connection_that_took_them_along(rig: Rig, redis: Any) -> None:
    rig.send("a")
    message = rig.take()
    rig.channel.qos.depart()  # as if their connection had been cut before they were sent
    rig.turn()
    assert noted(redis)[0] == {message.delivery_tag}


def test_notes_that_went_with_a_lost_connection_count_at_the_end(rig: Rig, redis: Any) -> None:
    rig.send("a")
    rig.take()
    rig.channel.qos.depart()
    rig.channel.close()
    assert redis.llen(rig.queue.name) == 1
    assert noted(redis) == (set(), set())


def test_notes_that_redis_refuses_are_kept(rig: Rig, redis: Any) -> None:
    rig.send("a")
    message = rig.take()
    redis.set("unacked", "no hash")
    with pytest.raises(redis_py.ResponseError):
        rig.channel.send_notes()
    redis.delete("unacked")
    rig.turn()
    assert noted(redis) == ({message.delivery_tag}, {message.delivery_tag})


def test_a_question_that_waits_does_not_hold_up_the_consumer(rig: Rig, redis: Any) -> None:
    rig.send("a")
    message = rig.take()
    with pytest.raises(TimeoutError):
        rig.connection.drain_events(timeout=0.1)  # the notes are answered, no message comes
    assert rig.channel._in_poll
    assert noted(redis)[0] == {message.delivery_tag}
    rig.send("b")
    assert rig.take().headers["id"] == "b"


def test_a_malformed_message_is_never_noted(rig: Rig, redis: Any) -> None:
    redis.lpush(rig.queue.name, "no message")
    rig.send("a")
    assert rig.take().headers["id"] == "a"
    assert [record.reason for record in rig.sink.records] == ["envelope_not_json"]
    rig.turn()
    assert len(noted(redis)[0]) == 1


def test_a_prefix_of_all_keys_is_obeyed(redis_url: str, redis: Any) -> None:
    rig = Rig(redis_url, global_keyprefix="pre:", quarantine=None)
    other = InspectedConnection(redis_url, transport_options={"global_keyprefix": "pre:"})
    with other as connection:
        headers = {"task": "probe", "id": "a"}
        connection.Producer().publish([], routing_key=rig.queue.name, headers=headers)
    message = rig.take()
    rig.turn()
    assert redis.hkeys("pre:unacked") == [message.delivery_tag]
    message.ack()
    rig.turn()
    assert not redis.exists("pre:unacked", "pre:unacked_index", "unacked", "unacked_index")
    rig.connection.close()


def test_a_channel_that_could_not_close_is_closed_again_without_its_transport() -> None:
    """As kombu does when Redis is away: a worker that stumbles here consumes no more."""
    server = PrivateRedis().start()
    try:
        rig = Rig(server.url)
        rig.send("a", "b")
        rig.take().ack()
        rig.take()  # noted: one acknowledgement, one message
        rig.turn()
        rig.send("c")
        rig.take().ack()
        rig.turn()  # a question is under way, its notes too
        server.kill()
        with pytest.raises((OSError, redis_py.ConnectionError)):
            rig.channel.close()
        rig.channel.connection.client = None
        rig.channel.close()
        assert rig.channel.closed
    finally:
        server.close()
