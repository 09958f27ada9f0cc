"""Lineage: from a record to the passages that it was made from."""

from __future__ import annotations

import dataclasses

import pytest

from control.lineage import Known, Lineage, summary
from envelope.errors import InvalidInput
from envelope.record import Record

PASSAGE = Record.of({"text": "a fact"}, source="docs/a.md", row_id="docs/a.md#0")
OTHER = Record.of({"text": "another fact"}, source="docs/b.md", row_id="docs/b.md#7")
DRAFT = Record.of(
    {"subject": "s", "body": "b"},
    source="copywriter",
    model="offline-1",
    derived_from=(PASSAGE.id, OTHER.id),
)
REVIEW = Record.of({"fine": True}, source="review", derived_from=(DRAFT.id, PASSAGE.id))
LOST = Record.of({"x": 1}, source="x", derived_from=("rec_" + "0" * 32,))


def lineage(*records: Record) -> Lineage:
    return Lineage(Known(record, f"step {number}") for number, record in enumerate(records))


def test_the_tree_leads_from_a_record_to_its_sources_in_the_order_of_use() -> None:
    tree = lineage(PASSAGE, OTHER, DRAFT).ancestry(DRAFT.id)
    assert tree.record_id == DRAFT.id
    assert [parent.record_id for parent in tree.parents] == [PASSAGE.id, OTHER.id]
    assert [parent.parents for parent in tree.parents] == [(), ()]
    shown = tree.to_json()
    assert shown["step"] == "step 2"
    assert shown["provenance"]["model"] == "offline-1"
    assert shown["derived_from"][1]["data"] == {"text": "another fact"}
    assert shown["derived_from"][1]["provenance"]["row_id"] == "docs/b.md#7"


def test_an_ancestor_met_twice_is_told_once() -> None:
    tree = lineage(PASSAGE, OTHER, DRAFT, REVIEW).ancestry(REVIEW.id)
    draft, passage = tree.parents
    assert not draft.repeated
    assert passage.record_id == PASSAGE.id
    assert passage.repeated
    assert passage.parents == ()


def test_a_parent_outside_of_the_run_is_named_as_unknown() -> None:
    [parent] = lineage(LOST).ancestry(LOST.id).parents
    assert parent.known is None
    assert parent.to_json() == {"record": "rec_" + "0" * 32, "known": False, "derived_from": []}


def test_records_are_found_by_a_unique_beginning_with_or_without_the_prefix() -> None:
    found = lineage(PASSAGE, OTHER, DRAFT)
    assert found.find(DRAFT.id) == DRAFT.id
    assert found.find(DRAFT.id[:12]) == DRAFT.id
    assert found.find(DRAFT.id.removeprefix("rec_")[:8]) == DRAFT.id


def test_a_record_that_is_not_there_or_not_named_well_enough_is_refused() -> None:
    found = lineage(PASSAGE, OTHER, DRAFT)
    with pytest.raises(InvalidInput, match=r"has no record 'rec_zz'. It has: rec_"):
        found.find("rec_zz")
    with pytest.raises(InvalidInput, match="not enough"):
        found.find("rec_")
    with pytest.raises(InvalidInput, match="It has: none"):
        lineage().find("rec_abcdef")


def test_the_first_record_of_an_id_says_in_which_step_it_was_made() -> None:
    known = Lineage([Known(DRAFT, "draft"), Known(DRAFT, None)]).records[DRAFT.id]
    assert known.step == "draft"
    assert dataclasses.asdict(known)["step"] == "draft"


def test_a_summary_is_one_line_of_bounded_length() -> None:
    assert summary({"a": "x\n y", "b": None, "c": 3}, 40) == "a: x y · c: 3"
    long = summary({"a": "x" * 100}, 20)
    assert len(long) == 20
    assert long.endswith("…")
