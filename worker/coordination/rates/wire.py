"""A turn as `turn.lua` takes it, and its answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from urllib.parse import quote

from envelope.ports.rates import Rate, RateWant
from worker.coordination.rates.turn import Mark, Ticket, Turn, seconds_of

INDEX = "muster:rates"
_UNKNOWN = ("", "", "")

Word = str | float | int
Memory = tuple[str, ...]
"""What a process remembers of a bucket, as Redis wrote it: see `_REMEMBERED`."""

_REMEMBERED = ("born", "paid", "paused", "shift", "moved")
NO_MEMORY: Memory = ("",) * len(_REMEMBERED)


def bucket_key(name: str) -> str:
    """Return the Redis key of a bucket."""
    return f"muster:rate:{quote(name, safe='')}"


def turn_key(process: str) -> str:
    """Return the Redis key of a process's last turn."""
    return f"{INDEX}:turn:{process}"


class TurnWire:
    """Packs one turn and unpacks its answer.

    Args:
        turn: The turn.
        number: Its number; the same turn is sent again under the same one.
        memories: What this process remembers, by key.
    """

    def __init__(self, turn: Turn, number: int, memories: Mapping[str, Memory]) -> None:
        self._turn = turn
        self._number = number
        self._memories = memories
        self._rates = turn.rates()
        self._places = {key: place for place, key in enumerate(self._rates, 1)}

    def keys(self, process: str) -> list[str]:
        """Return KEYS."""
        return [INDEX, turn_key(process), *map(bucket_key, self._rates)]

    def arguments(self) -> list[Word]:
        """Return ARGV."""
        turn = self._turn
        return [
            self._number,
            *_listed(self._bucket(key, rate) for key, rate in self._rates.items()),
            *_listed(map(self._share, turn.corrections.values())),
            *_listed(self._returned(turn.returned)),
            *_listed([self._places[key], seconds] for key, seconds in turn.pauses.items()),
            *_listed(map(self._confirmed, turn.confirmed)),
            *_listed(_listed(map(self._share, ticket.wants)) for ticket in turn.asked),
        ]

    def unpack(self, answer: str) -> tuple[float, dict[str, Memory]]:
        """Fill in the turn's tickets; return the time and what to remember from now on."""
        words = iter(answer.split(" "))
        now = float(next(words))
        memories = {key: tuple(next(words) for _ in NO_MEMORY) for key in self._rates}
        for ticket in self._turn.confirmed:
            ticket.due = float(next(words))
        for ticket in self._turn.asked:
            _take(ticket, words, memories)
        return now, memories

    def _bucket(self, key: str, rate: Rate | None) -> Iterable[Word]:
        known = (rate.amount, rate.seconds, rate.burst) if rate else _UNKNOWN
        return [quote(key, safe=""), *known, *self._memories.get(key, NO_MEMORY)]

    def _share(self, want: RateWant) -> list[Word]:
        return [self._places[want.key], seconds_of(want.rate, want.amount)]

    def _returned(self, tickets: Sequence[Ticket]) -> Iterator[list[Word]]:
        for ticket in tickets:
            for want in ticket.wants:
                mark = ticket.marks[want.key]
                yield [*self._share(want), mark.end, mark.lift]

    def _confirmed(self, ticket: Ticket) -> list[Word]:
        marks = ticket.marks.items()
        return [ticket.go, *_listed([self._places[key], mark.shift] for key, mark in marks)]


def _take(ticket: Ticket, words: Iterator[str], memories: Mapping[str, Memory]) -> None:
    ticket.go = ticket.due = float(next(words))
    for want in ticket.wants:
        shift = float(memories[want.key][_REMEMBERED.index("shift")])
        ticket.marks[want.key] = Mark(float(next(words)), float(next(words)), shift)


def _listed(items: Iterable[Iterable[Word]]) -> list[Word]:
    """Put the number of items before them."""
    made = [list(item) for item in items]
    return [len(made), *(word for item in made for word in item)]
