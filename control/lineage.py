"""Walks from a record to the records it was made from, down to the sources."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from pydantic import JsonValue

from envelope.envelope import Envelope
from envelope.errors import InvalidInput
from envelope.ports.journal_rows import Run, Step
from envelope.record import Record

_PREFIX = "rec_"
_SHORTEST = 4
_MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class Known:
    """A record and the step whose result holds it; None for the run's own envelope."""

    record: Record
    step: str | None


@dataclass(frozen=True, slots=True)
class Ancestry:
    """A record with those it was made from.

    Attributes:
        record_id: The record.
        known: The record itself; None where no step of the run holds it.
        repeated: It stands further up in the tree, with its parents.
        parents: What it was made from, in the order it was used.
    """

    record_id: str
    known: Known | None
    repeated: bool
    parents: tuple[Ancestry, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the tree as nested objects."""
        if self.known is None:
            return {"record": self.record_id, "known": False, "derived_from": []}
        record = self.known.record
        return {
            "record": self.record_id,
            "known": True,
            "step": self.known.step,
            "data": record.data,
            "provenance": record.provenance.model_dump(mode="json"),
            "repeated": self.repeated,
            "derived_from": [parent.to_json() for parent in self.parents],
        }


class Lineage:
    """The records of a run by id.

    Args:
        known: The records; the first of an id counts.
    """

    def __init__(self, known: Iterable[Known]) -> None:
        self._known: dict[str, Known] = {}
        for item in known:
            self._known.setdefault(item.record.id, item)

    @classmethod
    def of(cls, run: Run, steps: Iterable[Step]) -> Self:
        """Gather the records of a run: those of its steps' results, then those of its envelope."""
        texts = [(step.step, step.result) for step in steps if step.kind == "agent"]
        return cls(
            Known(record, step)
            for step, text in [*texts, (None, run.envelope)]
            if text is not None
            for record in Envelope.from_json(text, max_bytes=None).records
        )

    @property
    def records(self) -> Mapping[str, Known]:
        """All records by id."""
        return self._known

    def find(self, name: str) -> str:
        """Return the id of the record that `name` is, or that begins with it.

        Raises:
            InvalidInput: There is none, or there are several; the message lists some.
        """
        begin = name if name.startswith(_PREFIX) else _PREFIX + name
        found = [record_id for record_id in self._known if record_id.startswith(begin)]
        if len(found) == 1 and len(begin) >= len(_PREFIX) + _SHORTEST:
            return found[0]
        some = ", ".join((found or list(self._known))[:_MOST_NAMED]) or "none"
        if not found:
            raise InvalidInput(f"This run has no record {name!r}. It has: {some}.")
        raise InvalidInput(f"{name!r} is not enough to name a record. Begin like that: {some}.")

    def ancestry(self, record_id: str) -> Ancestry:
        """Return the tree from a record to its sources."""
        return self._walk(record_id, set())

    def _walk(self, record_id: str, seen: set[str]) -> Ancestry:
        known = self._known.get(record_id)
        repeated = record_id in seen
        seen.add(record_id)
        if known is None or repeated:
            return Ancestry(record_id, known, repeated, ())
        parents = tuple(self._walk(parent, seen) for parent in known.record.provenance.derived_from)
        return Ancestry(record_id, known, repeated, parents)


def summary(data: Mapping[str, JsonValue], width: int) -> str:
    """Return the beginning of a record's data as one line of at most `width` characters."""
    parts = (f"{name}: {_flat(value)}" for name, value in data.items() if value not in (None, ""))
    line = " ".join(" · ".join(parts).split())
    return line if len(line) <= width else f"{line[: width - 1]}…"


def _flat(value: JsonValue) -> str:
    return value if isinstance(value, str) else str(value)
