from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from envelope import Envelope, Failure, Metadata, Record, Status
from envelope.envelope import explain
from envelope.errors import InvalidEnvelope, MusterError, TooLarge
from envelope.json_schema import SCHEMA_FILE, schema_text
from envelope.running import RUNNING, Running
from envelope.usage import Usage

FAILURE = Failure(code="X", message="why")

json_values: Any = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc"), inner, max_size=3),
    max_leaves=8,
).filter(lambda value: "Infinity" not in json.dumps(value))  # fmt: skip


@given(
    st.lists(st.dictionaries(st.text("abcdef", min_size=1), json_values, max_size=4), max_size=4)
)
def test_an_envelope_survives_json_and_dict_unchanged(rows: list[dict[str, Any]]) -> None:
    made = Envelope.from_records(rows, source="crm", filters={"a": 1}, task_id="t")
    assert Envelope.from_json(made.to_json()) == made
    assert Envelope.from_dict(made.to_dict()) == made
    assert made.status is (Status.SUCCESS if rows else Status.NO_RESULTS)


@given(st.text() | st.binary() | json_values.map(json.dumps))
def test_garbage_is_a_typed_error(garbage: str | bytes) -> None:
    with pytest.raises(MusterError):
        Envelope.from_json(garbage)


def test_the_same_content_has_the_same_record_id_whenever_it_is_made() -> None:
    first, second = (Record.of({"b": 1, "a": [2]}, source="crm", row_id="7") for _ in range(2))
    assert first.id == second.id
    assert first.provenance.retrieved_at <= second.provenance.retrieved_at
    assert Record.of({"b": 1, "a": [2]}, source="erp", row_id="7").id != first.id
    child = Record.of({"b": 1, "a": [2]}, source="crm", row_id="7", derived_from=(first.id,))
    assert child.id != first.id


def test_every_record_is_checked_and_not_only_the_first() -> None:
    made = Envelope.from_records([{"n": number} for number in range(3)], source="crm")
    text = made.to_json().replace('"n":2', '"n":3')
    with pytest.raises(InvalidEnvelope, match=r"records\.2.*sha256 is not the hash of data"):
        Envelope.from_json(text)


def test_a_record_without_provenance_is_refused_with_its_place() -> None:
    value = Envelope.from_records([{"n": 1}, {"n": 2}], source="crm").to_dict()
    del value["records"][1]["provenance"]
    with pytest.raises(InvalidEnvelope, match=r"records\.1\.provenance: Field required"):
        Envelope.from_dict(value)


@pytest.mark.parametrize(
    ("status", "rows", "error", "says"),
    [
        ("success", [], None, "needs a record"),
        ("partial", [], FAILURE, "needs a record"),
        ("no_results", [{"n": 1}], None, "carries no records"),
        ("error", [], None, "says why"),
        ("error", [{"n": 1}], FAILURE, "carries no records"),
        ("gated", [], None, "says why"),
        ("success", [{"n": 1}], FAILURE, "has no error"),
    ],
)
def test_status_and_content_must_fit(
    status: str, rows: list[dict[str, Any]], error: Failure | None, says: str
) -> None:
    with pytest.raises(InvalidEnvelope, match=says):
        Envelope.from_records(rows, source="crm", status=Status(status), error=error)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"x": float("nan")}, "not JSON"),
        ({"x": "a\x00b"}, "NUL"),
        ({"x": "\ud800"}, "surrogate"),
        ({"x": object()}, "not JSON"),
        ({"x": b"raw"}, "not JSON"),
    ],
)
def test_data_that_is_not_json_is_refused(row: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidEnvelope, match=says):
        Envelope.from_records([row], source="crm")


def test_a_backslash_before_u0000_is_no_nul() -> None:
    row = {"x": r"\u0000"}
    made = Envelope.from_records([row], source="crm")
    assert Envelope.from_json(made.to_json()).records[0].data == row


def test_deep_nesting_is_refused() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(InvalidEnvelope, match="nested too deeply"):
        Envelope.from_records([{"deep": deep}], source="crm")


def test_the_size_cap_says_what_to_do() -> None:
    made = Envelope.from_records([{"text": "x" * 2_000}], source="crm")
    with pytest.raises(TooLarge, match="the cap is 1,000.*reference"):
        made.to_json(max_bytes=1_000)
    with pytest.raises(TooLarge):
        Envelope.from_json(made.to_json(), max_bytes=1_000)


def test_envelopes_are_frozen_strict_and_closed() -> None:
    made = Envelope.from_records([{"n": 1}], source="crm")
    with pytest.raises(ValidationError):
        made.status = Status.ERROR  # type: ignore[misc]  # the point
    with pytest.raises(InvalidEnvelope, match="extra"):
        Envelope.from_dict({**made.to_dict(), "extra": 1})
    with pytest.raises(ValidationError):
        Metadata(source="x", retrieved_at=datetime.now(UTC), attempt="1")  # type: ignore[arg-type]
    with pytest.raises(InvalidEnvelope, match="metadata"):
        Envelope.from_dict({**made.to_dict(), "metadata": {"source": "x", "retrieved_at": "now"}})


def test_the_running_step_signs_what_it_makes() -> None:
    running = Running("run", "step", "writer", 2, "trace", datetime.now(UTC), Usage(requests=1))
    token = RUNNING.set(running)
    try:
        made = Envelope.from_records([{"n": 1}], source="crm")
    finally:
        RUNNING.reset(token)
    assert made.records[0].provenance.agent == "writer"
    assert (made.metadata.run_id, made.metadata.attempt) == ("run", 2)
    assert made.metadata.usage.requests == 1


def test_errors_name_the_place_but_not_the_value() -> None:
    with pytest.raises(ValidationError) as caught:
        Usage(requests=-1, input_tokens="secret-token")  # type: ignore[arg-type]  # the point
    text = explain(caught.value)
    assert text.startswith("requests:")
    assert "1 more" in text
    assert "secret-token" not in text


def test_the_committed_schema_is_that_of_the_models() -> None:
    assert SCHEMA_FILE.read_text() == schema_text(), "run: python -m envelope.json_schema"
