"""What a budget is, in the simplest words: used, set aside, and who has told of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from envelope.ports.budgets import Amount, BudgetLimit

SETTLED_SECONDS = 900.0
LEAST_SECONDS = 1.0
"""For so long a call counts that a process tells of after its time: it may live after all."""


@dataclass
class Call:
    """A model call of a living process, until its step is committed."""

    name: str
    root: str
    where: int
    estimate: Amount
    until: float
    used: Amount | None = None
    settled_at: float = 0.0


@dataclass
class Book:
    """One budget, as whoever keeps it knows it; a flush tears it up."""

    used: Amount
    held: dict[str, tuple[Amount, float]] = field(default_factory=dict)
    settled: set[str] = field(default_factory=set)
    told: set[int] = field(default_factory=set)

    def set_aside(self, now: float) -> Amount:
        return added(*(amount for amount, until in self.held.values() if until > now))

    def hold(self, call: Call, until: float) -> None:
        if call.name not in self.held and call.name not in self.settled:
            self.held[call.name] = (call.estimate, until)

    def settle(self, call: Call) -> None:
        if call.used is not None and call.name not in self.settled:
            self.held.pop(call.name, None)
            self.settled.add(call.name)
            self.used = added(self.used, call.used)


@dataclass
class Model:
    """All budgets, the journal, and the calls that living processes remember."""

    now: float
    journal: dict[str, Amount] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    books: dict[str, Book] = field(default_factory=dict)

    def book(self, root: str, where: int) -> Book:
        """Return a budget after a process has spoken of it: it tells what it remembers."""
        if root not in self.books:
            self.books[root] = Book(self.journal.get(root, Amount()))
        book = self.books[root]
        if where not in book.told:
            book.told.add(where)
            for call in self._remembered(root, where):
                book.settle(call)
                book.hold(call, max(call.until, self.now + LEAST_SECONDS))
        return book

    def fits(self, limit: BudgetLimit, where: int, wanted: Amount, times: int = 1) -> bool:
        book = self.book(limit.root_id, where)
        total = added(book.used, book.set_aside(self.now), *[wanted] * times)
        return within(total, limit)

    def truth(self, root: str) -> Amount:
        """What living processes and the journal together know to be spent or under way."""
        return added(
            self.journal.get(root, Amount()),
            *(
                call.estimate if call.used is None else call.used
                for call in self.calls
                if call.root == root and (call.used is not None or call.until > self.now)
            ),
        )

    def commit(self, call: Call) -> None:
        """The journal counts it; its process forgets it."""
        assert call.used is not None
        self.calls.remove(call)
        self.journal[call.root] = added(self.journal.get(call.root, Amount()), call.used)

    def die(self, where: int) -> None:
        self.calls = [call for call in self.calls if call.where != where]
        for book in self.books.values():
            book.told.add(where)  # whoever comes in its place has nothing to tell

    def _remembered(self, root: str, where: int) -> list[Call]:
        return [call for call in self.calls if (call.root, call.where) == (root, where)]


def within(total: Amount, limit: BudgetLimit) -> bool:
    fits_tokens = limit.tokens is None or total.tokens <= limit.tokens
    return fits_tokens and (limit.usd is None or total.usd <= limit.usd)


def added(*amounts: Amount) -> Amount:
    return Amount(
        tokens=sum(amount.tokens for amount in amounts), usd=sum(amount.usd for amount in amounts)
    )
