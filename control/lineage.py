"""Walks from a record to those it was made from, through earlier runs, down to the sources."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Self

from pydantic import JsonValue

from envelope.envelope import Envelope
from envelope.errors import InvalidInput
from envelope.ports.journal import Journal
from envelope.ports.journal_rows import Run, Step
from envelope.record import Record

_READER = "drafts"  # the agent that hands a run the records of an earlier one
_MOST_RUNS = 500
_PREFIX = "rec_"
_SHORTEST = 4
_MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class Known:
    """A record and where it was made.

    Attributes:
        record: The record.
        step: The step whose result holds it; None for the run's own envelope.
        run_id: The run of that step.
    """

    record: Record
    step: str | None
    run_id: str | None = None


@dataclass(frozen=True, slots=True)
class Ancestry:
    """A record with those it was made from.

    Attributes:
        record_id: The record.
        known: The record itself; None where no run that was looked at holds it.
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
            "run": self.known.run_id,
            "step": self.known.step,
            "data": record.data,
            "provenance": record.provenance.model_dump(mode="json"),
            "repeated": self.repeated,
            "derived_from": [parent.to_json() for parent in self.parents],
        }


class Lineage:
    """The records of a run, or of several, by id.

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
        return cls(_known(run, _made(run, steps)))

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


async def read_lineage(journal: Journal, run: Run) -> Lineage:
    """Read the records of a run and of the earlier runs whose drafts it took.

    What was copied from an earlier run is known as what it was there, in the step that made it.
    """
    found: list[list[Known]] = []
    named, waiting = {run.run_id}, deque([run])
    while waiting and len(found) < _MOST_RUNS:
        reached = waiting.popleft()
        made = _made(reached, await journal.steps(reached.run_id))
        found.append(list(_known(reached, made)))
        fresh = [name for name in _read_runs(made) if name not in named]
        named.update(fresh)
        earlier = [await journal.run(name) for name in fresh]
        waiting += [row for row in earlier if row is not None and row.tenant == run.tenant]
    return Lineage(chain.from_iterable(reversed(found)))


def summary(data: Mapping[str, JsonValue], width: int) -> str:
    """Return the beginning of a record's data as one line of at most `width` characters."""
    parts = (f"{name}: {_flat(value)}" for name, value in data.items() if value not in (None, ""))
    line = " ".join(" · ".join(parts).split())
    return line if len(line) <= width else f"{line[: width - 1]}…"


def _flat(value: JsonValue) -> str:
    return value if isinstance(value, str) else str(value)


def _made(run: Run, steps: Iterable[Step]) -> Sequence[tuple[Step | None, Envelope]]:
    """Return the envelopes of a run's agents, then its own."""
    texts = [(step, step.result) for step in steps if step.kind == "agent"]
    return [
        (step, Envelope.from_json(text, max_bytes=None))
        for step, text in [*texts, (None, run.envelope)]
        if text is not None
    ]


def _known(run: Run, made: Iterable[tuple[Step | None, Envelope]]) -> Iterator[Known]:
    for step, envelope in made:
        for record in envelope.records:
            yield Known(record, step.step if step else None, run.run_id)


def _read_runs(made: Iterable[tuple[Step | None, Envelope]]) -> Iterator[str]:
    """Yield the earlier runs, each once, in the order in which they were read."""
    names = (
        envelope.metadata.filters.get("run_id")
        for step, envelope in made
        if step is not None and step.agent == _READER
    )
    yield from dict.fromkeys(name for name in names if isinstance(name, str))
