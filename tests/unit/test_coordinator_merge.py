"""Merging: who is believed, what is a conflict, what stays alone."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from agents.coordinator.merge import CONFLICTS, Found, merged
from envelope import Record


def found(source: str, rank: int, **data: Any) -> Found:
    return Found(Record.of(data, source=source), source, rank)


def one(*given_: Found, **more: Any) -> dict[str, Any]:
    made = merged(given_, ["symbol"], more.pop("precedence", {}), **more)
    assert len(made) == 1
    return dict(made[0].data)


def test_the_first_source_is_believed_and_the_others_fill_the_gaps() -> None:
    crm = found("crm", 0, symbol="ACM", name="Acme", city=None, note="  ")
    web = found("web", 1, symbol="acm ", name="Acme Inc", city="Bonn", note="hi", staff=3)
    data = one(web, crm)
    conflicts = data.pop(CONFLICTS)
    assert data == {"symbol": "ACM", "name": "Acme", "city": "Bonn", "note": "hi", "staff": 3}
    assert conflicts == [
        {
            "field": "name",
            "kept": {"value": "Acme", "source": "crm", "record": crm.record.id},
            "others": [{"value": "Acme Inc", "source": "web", "record": web.record.id}],
        }
    ]


def test_a_field_may_have_an_order_of_its_own() -> None:
    sources = [found(name, rank, symbol="A", v=name) for rank, name in enumerate("abc")]
    assert one(*sources, precedence={"v": ["c"]})["v"] == "c"
    kept = one(*sources, precedence={"v": ["c"]})[CONFLICTS][0]
    assert [other["source"] for other in kept["others"]] == ["a", "b"]


def test_within_a_source_the_newest_is_believed() -> None:
    old, new = found("crm", 0, symbol="A", v=1), found("crm", 0, symbol="A", v=2)
    assert old.record.provenance.retrieved_at < new.record.provenance.retrieved_at
    assert one(old, new)["v"] == one(new, old)["v"] == 2


def test_case_blanks_and_number_forms_are_no_conflict_unless_exact() -> None:
    pair = [found("a", 0, symbol="A", v="Acme  Inc", n=1), found("b", 1, symbol="A", v="ACME inc")]
    assert one(*pair)[CONFLICTS] == []
    assert [each["field"] for each in one(*pair, exact=True)[CONFLICTS]] == ["v"]
    numbers = [found("a", 0, symbol="A", n=1), found("b", 1, symbol="A", n=1.0)]
    assert one(*numbers, exact=True)[CONFLICTS] == []
    truths = [found("a", 0, symbol="A", n=1), found("b", 1, symbol="A", n=True)]
    assert len(one(*truths)[CONFLICTS]) == 1


def test_the_same_record_from_two_sources_is_one_and_unchanged() -> None:
    record = Record.of({"symbol": "A"}, source="crm")
    made = merged([Found(record, "b", 1), Found(record, "a", 0)], ["symbol"], {})
    assert [(each.only, each.parents) for each in made] == [(record, (record.id,))]


def test_records_without_a_whole_key_stay_alone() -> None:
    lone = [found("a", 0, text="x"), found("b", 1, text="x"), found("b", 1, symbol=" ", text="x")]
    made = merged(lone, ["symbol"], {})
    assert [each.only for each in made] == sorted(
        (each.record for each in lone), key=lambda record: record.id
    )


def test_a_report_of_an_earlier_merge_is_no_fact() -> None:
    first = found("a", 0, symbol="A", v=1, **{CONFLICTS: [{"field": "old"}]})
    assert one(first, found("b", 1, symbol="A", v=1))[CONFLICTS] == []


_VALUES = st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["", "x", "X ", "y"])
_ROWS = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.fixed_dictionaries({"symbol": st.sampled_from(["A", "a ", "B", None])}).flatmap(
            lambda key: st.dictionaries(st.sampled_from("pqr"), _VALUES).map(lambda d: {**key, **d})
        ),
    ),
    max_size=12,
)


@given(_ROWS, st.randoms(use_true_random=False))
def test_order_makes_no_difference_and_nothing_is_invented_or_lost(
    rows: list[tuple[str, dict[str, Any]]], chance: random.Random
) -> None:
    given_ = [found(name, "abc".index(name), **data) for name, data in rows]
    shuffled = list(given_)
    chance.shuffle(shuffled)
    made = merged(given_, ["symbol"], {"p": ["c", "a"]})
    assert merged(shuffled, ["symbol"], {"p": ["c", "a"]}) == made
    assert [each.place for each in made] == sorted({each.place for each in made})
    ids = {each.record.id for each in given_}
    assert {parent for each in made for parent in each.parents} == ids
    by_id = {each.record.id: each.record for each in given_}
    for thing in made:
        parents = [by_id[parent] for parent in thing.parents]
        for field, value in thing.data.items():
            if field != CONFLICTS:
                assert any(value == parent.data.get(field) for parent in parents)
