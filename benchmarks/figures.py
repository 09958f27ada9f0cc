"""What was measured: samples over rounds, ratios of two of them, targets."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Sample:
    """One figure of one contender, a value for each round.

    Attributes:
        contender: Whose it is.
        figure: What was measured, with its unit, such as `steps/s`.
        values: In the order of rounds.
    """

    contender: str
    figure: str
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle value; of two middle ones their mean."""
        return statistics.median(self.values)

    @property
    def spread(self) -> float:
        """Half of the range between the extremes, as a share of the median; 0 for one round."""
        middle = self.median
        return (max(self.values) - min(self.values)) / 2 / middle if middle else 0.0


@dataclass(frozen=True, slots=True)
class Target:
    """What a ratio should be.

    Attributes:
        sense: Whether more or less is better.
        value: The bound; reaching it is enough.
    """

    sense: Literal["at least", "at most"]
    value: float

    def met_by(self, ratio: float) -> bool:
        """Return whether the ratio is good enough."""
        return ratio >= self.value if self.sense == "at least" else ratio <= self.value

    def __str__(self) -> str:
        return f"{'≥' if self.sense == 'at least' else '≤'} {self.value:g}"


@dataclass(frozen=True, slots=True)
class Ratio:
    """A sample over another one of the same rounds.

    Each round gives a ratio of its own and the median of those counts: what slows a whole round
    down, slows both.
    """

    over: Sample
    under: Sample
    target: Target | None = None

    @property
    def each(self) -> tuple[float, ...]:
        """The ratio of each round."""
        pairs = zip(self.over.values, self.under.values, strict=True)
        return tuple(over / under if under else float("inf") for over, under in pairs)

    @property
    def value(self) -> float:
        """The median ratio."""
        return statistics.median(self.each)

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None where there is none."""
        return None if self.target is None else self.target.met_by(self.value)


@dataclass(slots=True)
class Section:
    """One experiment: contenders that did the same work in alternating rounds."""

    title: str
    samples: list[Sample] = field(default_factory=list)
    ratios: list[Ratio] = field(default_factory=list)

    def sample(self, contender: str, figure: str) -> Sample | None:
        """Return a sample; None where that contender did not take part."""
        wanted = (s for s in self.samples if (s.contender, s.figure) == (contender, figure))
        return next(wanted, None)

    def compare(
        self, over: tuple[str, str], under: tuple[str, str], target: Target | None = None
    ) -> None:
        """Add the ratio of two samples, each named by contender and figure.

        One that is missing, because its contender is not installed here, leaves the ratio out.
        """
        first, second = self.sample(*over), self.sample(*under)
        if first is not None and second is not None:
            self.ratios.append(Ratio(first, second, target))


@dataclass(slots=True)
class Report:
    """What one benchmark found.

    Attributes:
        notes: What the figures do not say: what a peer does not do, what was left out and why.
    """

    benchmark: str
    title: str
    sections: list[Section] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Add a note, once."""
        if text not in self.notes:
            self.notes.append(text)


def at_least(value: float) -> Target:
    """Return the target of a ratio that should be high."""
    return Target("at least", value)


def at_most(value: float) -> Target:
    """Return the target of a ratio that should be low."""
    return Target("at most", value)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that `share` of all do not exceed (nearest rank).

    Raises:
        ValueError: There are no values, or the share is not within (0, 1].
    """
    if not values or not 0 < share <= 1:
        raise ValueError("percentile needs values and a share within (0, 1]")
    ordered = sorted(values)
    rank = -int(-share * len(ordered) // 1)
    return ordered[max(rank, 1) - 1]


def jain(shares: Mapping[str, float]) -> float:
    """Return Jain's fairness index: 1 where all have the same, 1/n where one has everything.

    Source: Jain, Chiu, Hawe, "A Quantitative Measure of Fairness", DEC-TR-301, 1984.
    """
    values = list(shares.values())
    squares = sum(value * value for value in values)
    return sum(values) ** 2 / (len(values) * squares) if squares else 1.0
