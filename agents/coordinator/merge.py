"""Makes one record of those that speak of the same thing, and says where they disagree."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import JsonValue

from envelope.canonical import canonical_json
from envelope.record import Record

CONFLICTS: Final = "merge_conflicts"
"""The field of a merged record that lists its conflicts; in a source's record it is no fact."""


@dataclass(frozen=True, slots=True)
class Found:
    """A record, the source that gave it, and that source's rank, 0 for the most believed."""

    record: Record
    source: str
    rank: int


@dataclass(frozen=True, slots=True)
class Merged:
    """One thing.

    Attributes:
        place: Its place in the order of all things; the cursor of a page.
        data: Its fields, and its conflicts.
        parents: Ids of the records it was made from, the most believed first.
        only: The record itself, where there was nothing to merge.
    """

    place: str
    data: dict[str, JsonValue]
    parents: tuple[str, ...]
    only: Record | None


def merged(
    found: Iterable[Found],
    key: Sequence[str],
    precedence: Mapping[str, Sequence[str]],
    *,
    exact: bool = False,
) -> list[Merged]:
    """Return the things that the records speak of, in the order of their keys.

    Of one field the value of the most believed source counts that has one; within a source that of
    the newest record. None and blank text are no values. Records without a whole key stay alone.

    Args:
        found: The records; their order makes no difference.
        key: The fields that name a thing.
        precedence: For single fields, sources in the order in which they are believed.
        exact: Whether case and blanks of a text make a difference.
    """
    things: defaultdict[str, dict[str, Found]] = defaultdict(dict)
    for each in found:
        # The same record may come twice; the more believed of the two counts.
        same = things[_place(each.record, key, exact=exact)]
        known = same.get(each.record.id)
        if known is None or _belief(each) < _belief(known):
            same[each.record.id] = each
    return [
        _one(place, sorted(same.values(), key=_belief), precedence, exact=exact)
        for place, same in sorted(things.items())
    ]


def _place(record: Record, key: Sequence[str], *, exact: bool) -> str:
    values = [record.data.get(field) for field in key]
    if any(_is_blank(value) for value in values):
        return f"~{record.id}"
    return canonical_json([_comparable(value, exact=exact) for value in values])


def _belief(found: Found) -> tuple[int, float, str]:
    return found.rank, -found.record.provenance.retrieved_at.timestamp(), found.record.id


def _one(
    place: str, same: Sequence[Found], precedence: Mapping[str, Sequence[str]], *, exact: bool
) -> Merged:
    parents = tuple(found.record.id for found in same)
    if len(same) == 1:
        return Merged(place, same[0].record.data, parents, same[0].record)
    fields = dict.fromkeys(field for found in same for field in found.record.data)
    data: dict[str, JsonValue] = {}
    conflicts: list[JsonValue] = []
    for field in fields:
        if field == CONFLICTS:
            continue
        believed = _believed(field, same, precedence.get(field, ()))
        data[field] = believed[0].record.data[field]
        others = _others(field, believed, exact=exact)
        if others:
            conflicts.append({"field": field, "kept": _said(field, believed[0]), "others": others})
    return Merged(place, {**data, CONFLICTS: conflicts}, parents, None)


def _believed(field: str, same: Sequence[Found], order: Sequence[str]) -> list[Found]:
    """Those that have the field, the most believed first; a value goes before none."""
    ranks = {name: rank for rank, name in enumerate(order)}
    having = [found for found in same if field in found.record.data]
    return sorted(
        having,
        key=lambda found: (
            _is_blank(found.record.data[field]),
            ranks.get(found.source, len(ranks)),
        ),
    )


def _others(field: str, believed: Sequence[Found], *, exact: bool) -> list[JsonValue]:
    """What other values there are, each once, as its most believed source has it."""
    seen = {canonical_json(_comparable(believed[0].record.data[field], exact=exact))}
    others: list[JsonValue] = []
    for found in believed[1:]:
        value = found.record.data[field]
        form = canonical_json(_comparable(value, exact=exact))
        if form not in seen and not _is_blank(value):
            seen.add(form)
            others.append(_said(field, found))
    return others


def _said(field: str, found: Found) -> dict[str, JsonValue]:
    return {
        "value": found.record.data[field],
        "source": found.source,
        "record": found.record.id,
    }


def _is_blank(value: JsonValue) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _comparable(value: Any, *, exact: bool) -> Any:
    if isinstance(value, str) and not exact:
        return " ".join(value.split()).casefold()
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
