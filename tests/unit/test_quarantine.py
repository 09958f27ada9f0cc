"""The inspection of messages, without a server."""

import base64
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kombu import Message
from kombu.utils.json import loads

from worker.app import MusterCelery
from worker.quarantine.inspection import broadcast_message, task_message
from worker.quarantine.quarantine import Quarantine, excerpt
from worker.quarantine.reason import Fault, Reason
from worker.quarantine.sinks import MemorySink, QuarantineSink
from worker.telemetry.meters import Meters

app = MusterCelery("unit", set_as_current=False)


def celerys_own_message(*args: Any, **kwargs: Any) -> dict[str, Any]:
    """A message as Celery and kombu put it into Redis."""
    made = app.amqp.as_task_v2("id-1", "agent.rag", args, kwargs, root_id="id-0")
    return {
        "body": base64.b64encode(json.dumps(made.body).encode()).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": made.headers,
        "properties": {
            **made.properties,
            "body_encoding": "base64",
            "delivery_tag": "tag-1",
            "delivery_info": {"exchange": "", "routing_key": "agent.rag"},
        },
    }


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda children: (
        st.lists(children, max_size=3)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), children, max_size=3)
    ),
    max_leaves=8,
)


@given(st.lists(JSON, max_size=3))
def test_celerys_own_messages_pass(args: list[Any]) -> None:
    raw = json.dumps(celerys_own_message(*args, run="id")).encode()
    assert task_message(raw) == loads(raw)
    assert broadcast_message(raw) == loads(raw)


@given(st.binary(max_size=300))
def test_no_bytes_make_the_inspection_raise(raw: bytes) -> None:
    assert isinstance(task_message(raw), Fault)


PATHS = [
    ("body",), ("content-type",), ("content-encoding",), ("headers",), ("properties",),
    ("headers", "task"), ("headers", "id"), ("headers", "timelimit"), ("headers", "retries"),
    ("headers", "eta"), ("headers", "stamped_headers"), ("headers", "compression"),
    ("properties", "delivery_tag"), ("properties", "delivery_info"),
    ("properties", "delivery_info", "exchange"), ("properties", "body_encoding"),
    ("properties", "priority"), ("properties", "reply_to"),
]  # fmt: skip


@given(path=st.sampled_from(PATHS), value=JSON | st.just("\ud800"))
@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
def test_what_passes_after_a_mutation_kombu_can_take(path: tuple[str, ...], value: Any) -> None:
    message = celerys_own_message("id")
    part = message
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    raw = json.dumps(message).encode()
    taken = task_message(raw)
    if not isinstance(taken, Fault):
        assert taken == {"headers": {}, **loads(raw)}
        body = taken["body"]
        if taken["properties"].get("body_encoding") == "base64":
            body = base64.b64decode(body)
        decoded = Message(
            body,
            content_type=taken["content-type"],
            content_encoding=taken["content-encoding"],
            headers=taken["headers"],
            accept={"application/json"},
        ).decode()
        args, kwargs, embed = decoded
        assert (type(args), type(kwargs), type(embed)) == (list, dict, dict)
        assert isinstance(hash(taken["headers"]["task"]), int)
        taken["properties"]["delivery_tag"].encode()


def test_depth_is_bounded_before_the_parser_is() -> None:
    def nested(depth: int) -> bytes:
        message = celerys_own_message(json.loads("[" * depth + "]" * depth))
        return json.dumps(message).encode()

    assert not isinstance(task_message(nested(50)), Fault)
    for depth in (110, 600):
        fault = task_message(nested(depth))
        assert isinstance(fault, Fault)
        assert fault.reason is Reason.TOO_DEEP


def test_size_is_bounded() -> None:
    raw = json.dumps(celerys_own_message("x" * 2000)).encode()
    assert not isinstance(task_message(raw, max_bytes=len(raw)), Fault)
    fault = task_message(raw, max_bytes=len(raw) - 1)
    assert isinstance(fault, Fault)
    assert fault.reason is Reason.TOO_LARGE


class Counting(Meters):
    def __init__(self) -> None:
        self.reasons: list[str] = []

    def quarantined(self, reason: str) -> None:
        self.reasons.append(reason)


def test_a_message_taken_is_counted_and_recorded() -> None:
    sink = MemorySink(clock=lambda: 12.5)
    quarantine = Quarantine(sink)
    quarantine.meters = meters = Counting()
    quarantine.take("runs.lead", Fault(Reason.NOT_TEXT, "detail"), b'{"a":"\xff\n"}')
    (record,) = sink.records
    assert (record.queue, record.reason, record.size, record.at) == (
        "runs.lead",
        "not_text",
        10,
        12.5,
    )
    assert len(record.sha256) == 64
    assert meters.reasons == ["not_text"]


def test_a_sink_that_fails_does_not_stop_the_quarantine(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def record(self, *_: Any) -> None:
            raise ConnectionError("sink away")

    sink: QuarantineSink = Broken()
    quarantine = Quarantine(sink)
    quarantine.meters = meters = Counting()
    quarantine.take("runs.lead", Fault(Reason.HEADERS, "detail"), b"secret-of-a-stranger")
    assert meters.reasons == ["headers"]
    assert "Could not record" in caplog.text
    assert "secret-of-a-stranger" not in caplog.text


@given(st.binary(max_size=2000))
def test_an_excerpt_is_short_and_printable(raw: bytes) -> None:
    text = excerpt(raw)
    assert text.isascii()
    assert text == "" or text.isprintable()
    assert len(text) <= 2000


def test_the_memory_sink_keeps_the_newest() -> None:
    sink = MemorySink(keep=2)
    for number in range(3):
        sink.record("q", "reason", str(number), 1, "")
    assert [record.sha256 for record in sink.records] == ["1", "2"]
