"""Malformed messages of every kind on a real queue: the worker lives and goes on."""

import base64
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.integration.celery_probe.process import Broker, WorkerProcess, until
from worker.quarantine.reason import Reason
from worker.quarantine.sinks import RedisListSink


def b64(body: str | bytes) -> str:
    raw = body.encode() if isinstance(body, str) else body
    return base64.b64encode(raw).decode()


def message(**changes: Any) -> dict[str, Any]:
    """A good message for `probe.add`, with changes at the top level."""
    good: dict[str, Any] = {
        "body": b64(json.dumps([[1, 2], {}, {"callbacks": None, "chain": None}])),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"lang": "py", "task": "probe.add", "id": "id-1", "retries": 0},
        "properties": {
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": "muster"},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": "tag-1",
        },
    }
    return {**good, **changes}


def changed(part: str, **changes: Any) -> dict[str, Any]:
    """A good message with changes in its headers or properties; None removes a key."""
    merged = {**message()[part], **changes}
    return message(**{part: {k: v for k, v in merged.items() if v is not None}})


DEEP = "[" * 100_000 + "]" * 100_000

MALFORMED: dict[str, tuple[Reason, str | bytes | dict[str, Any] | list[Any]]] = {
    "not json": (Reason.ENVELOPE_NOT_JSON, "{nonsense"),
    "empty": (Reason.ENVELOPE_NOT_JSON, ""),
    "not utf-8": (Reason.ENVELOPE_NOT_JSON, b"\xff\xfe\x00"),
    "unknown kombu type": (Reason.ENVELOPE_NOT_JSON, '{"__type__":"x","__value__":1}'),
    "a list": (Reason.ENVELOPE_SHAPE, [1, 2]),
    "a number": (Reason.ENVELOPE_SHAPE, "7"),
    "deep envelope": (Reason.TOO_DEEP, DEEP),
    "no properties": (Reason.PROPERTIES, message(properties=None)),
    "no delivery tag": (Reason.PROPERTIES, changed("properties", delivery_tag=None)),
    "delivery tag a list": (Reason.PROPERTIES, changed("properties", delivery_tag=[1])),
    "no delivery info": (Reason.PROPERTIES, changed("properties", delivery_info=None)),
    "no routing key": (Reason.PROPERTIES, changed("properties", delivery_info={"exchange": ""})),
    "strange body encoding": (Reason.PROPERTIES, changed("properties", body_encoding="rot13")),
    "lone surrogate": (Reason.NOT_TEXT, changed("properties", delivery_tag="\ud800")),
    "no headers": (Reason.HEADERS, message(headers=None)),
    "headers a list": (Reason.HEADERS, message(headers=[1])),
    "no task": (Reason.HEADERS, changed("headers", task=None)),
    "task an object": (Reason.HEADERS, changed("headers", task={})),
    "no id": (Reason.HEADERS, changed("headers", id=None)),
    "time limits of text": (Reason.HEADERS, changed("headers", timelimit=["a", "b"])),
    "shadow a list": (Reason.HEADERS, changed("headers", shadow=[1])),
    "compressed": (Reason.COMPRESSED, changed("headers", compression="application/x-gzip")),
    "bad eta": (Reason.REFUSED, changed("headers", eta="yesterday-ish")),
    "foreign task": (Reason.UNKNOWN_TASK, changed("headers", task="someone.elses.task")),
    "pickle": (Reason.CONTENT_TYPE, message(**{"content-type": "application/x-python-serialize"})),
    "yaml": (Reason.CONTENT_TYPE, message(**{"content-type": "application/x-yaml"})),
    "binary encoding": (Reason.CONTENT_TYPE, message(**{"content-encoding": "binary"})),
    "no body": (Reason.BODY_NOT_BASE64, message(body=None)),
    "not base64": (Reason.BODY_NOT_BASE64, message(body="***")),
    "body not json": (Reason.BODY_NOT_JSON, message(body=b64("{nonsense"))),
    "body not utf-8": (Reason.BODY_NOT_JSON, message(body=b64(b"\xff\xfe"))),
    "NaN": (Reason.BODY_NOT_JSON, message(body=b64("[[NaN], {}, {}]"))),
    "deep body": (Reason.TOO_DEEP, message(body=b64(DEEP))),
    "not a triple": (Reason.BODY_NOT_CALL, message(body=b64("[1]"))),
    "an object": (Reason.BODY_NOT_CALL, message(body=b64('{"args": []}'))),
    "kwargs a list": (Reason.BODY_NOT_CALL, message(body=b64("[[], [], {}]"))),
    "embed a list": (Reason.BODY_NOT_CALL, message(body=b64("[[], {}, []]"))),
    "callbacks a number": (Reason.BODY_NOT_CALL, message(body=b64('[[], {}, {"callbacks": 5}]'))),
    "10 MB": (Reason.TOO_LARGE, message(body="A" * 10_000_000)),
}


@pytest.fixture(scope="module")
def pool(
    new_broker: Callable[[], Broker], start_worker: Callable[..., WorkerProcess]
) -> Iterator[tuple[Broker, WorkerProcess]]:
    broker = new_broker()
    worker = start_worker(broker, "-c", "20").ready()
    yield broker, worker
    worker.kill()


@pytest.fixture
def worker(pool: tuple[Broker, WorkerProcess]) -> WorkerProcess:
    assert not pool[1].ended, pool[1].log.read_text()
    return pool[1]


@pytest.fixture
def broker(pool: tuple[Broker, WorkerProcess]) -> Broker:
    pool[0].forget()
    pool[0].redis.delete("muster:quarantine")
    return pool[0]


def push(broker: Broker, raw: str | bytes | dict[str, Any] | list[Any]) -> None:
    text = raw if isinstance(raw, str | bytes) else json.dumps(raw)
    broker.redis.lpush("muster", text)


def quarantined(broker: Broker) -> list[str]:
    sink = RedisListSink(broker.url)
    try:
        return [record.reason for record in reversed(sink.records())]
    finally:
        sink.close()


@pytest.mark.parametrize("kind", MALFORMED)
def test_a_malformed_message_is_quarantined_and_a_good_one_processed(
    broker: Broker, worker: WorkerProcess, kind: str
) -> None:
    reason, raw = MALFORMED[kind]
    push(broker, raw)
    broker.send("probe.add", 1, 2)
    until(lambda: broker.traces("added"), what="the good message is processed")
    assert quarantined(broker) == [reason.value]
    until(broker.settled, what="nothing is left, in the queue or unacknowledged")
    assert not worker.ended


def test_the_message_built_here_is_good(broker: Broker, worker: WorkerProcess) -> None:
    push(broker, message())
    until(lambda: broker.traces("added"), what="it is processed")
    assert quarantined(broker) == []


def test_all_kinds_at_once_are_counted(broker: Broker, worker: WorkerProcess) -> None:
    for _, raw in MALFORMED.values():
        push(broker, raw)
    broker.send("probe.add", 1, 2)
    until(lambda: broker.traces("added"), what="the good message is processed")
    assert sorted(quarantined(broker)) == sorted(reason.value for reason, _ in MALFORMED.values())
    until(broker.settled, what="nothing is left")


def test_a_broken_broadcast_does_not_stop_the_worker(broker: Broker, worker: WorkerProcess) -> None:
    database = re.search(r"/(\d+)$", broker.url)
    assert database is not None
    for channel in ("celery.pidbox", "celeryev/worker.heartbeat"):
        for raw in ("{nonsense", DEEP, "[]", json.dumps(message(body=None)), json.dumps(message())):
            broker.redis.publish(f"/{database[1]}.{channel}", raw)
    broker.send("probe.add", 1, 2)
    until(lambda: broker.traces("added"), what="the good message is processed")
    assert broker.app.control.inspect(timeout=5, limit=1).ping()


def test_a_malformed_message_does_not_come_back_after_a_restart(
    new_broker: Callable[[], Broker], start_worker: Callable[..., WorkerProcess]
) -> None:
    broker = new_broker()
    for _, raw in MALFORMED.values():
        push(broker, raw)
    first = start_worker(broker).ready()
    until(lambda: len(quarantined(broker)) == len(MALFORMED), what="all are quarantined")
    first.kill()
    second = start_worker(broker, PROBE_VISIBILITY="1").ready()
    broker.send("probe.add", 1, 2)
    until(lambda: broker.traces("added"), what="the good message is processed")
    assert len(quarantined(broker)) == len(MALFORMED)
    second.kill()


def test_prefork_is_protected_too(
    new_broker: Callable[[], Broker], start_worker: Callable[..., WorkerProcess]
) -> None:
    broker = new_broker()
    for _, raw in MALFORMED.values():
        push(broker, raw)
    broker.send("probe.add", 1, 2)
    worker = start_worker(broker, "-P", "prefork", "-c", "1").ready()
    until(lambda: broker.traces("added"), what="the good message is processed")
    assert len(quarantined(broker)) == len(MALFORMED)
    worker.kill()
