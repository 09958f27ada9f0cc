"""Alternating rounds: A B A B A B, so that a slow minute of the machine meets everybody."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from benchmarks.figures import Sample, Section

Measured = dict[str, float]
"""The figures of one round, by name."""


@dataclass(frozen=True, slots=True)
class Contender:
    """Who does the work.

    Attributes:
        name: As it stands in the table.
        measure: Does the work once and returns its figures.
    """

    name: str
    measure: Callable[[], Awaitable[Measured]]


async def alternate(
    title: str, contenders: Sequence[Contender], rounds: int, *, warm_up: bool = True
) -> Section:
    """Measure every contender once per round, in turns.

    Args:
        title: What they do.
        contenders: Who does it.
        rounds: How often; at least 1.
        warm_up: Whether a round that does not count comes first: connections, caches, imports.

    Raises:
        ValueError: `rounds` is below 1.
    """
    if rounds < 1:
        raise ValueError(f"rounds must be at least 1, not {rounds}")
    values: dict[tuple[str, str], list[float]] = {}
    for number in range(-1 if warm_up else 0, rounds):
        for contender in contenders:
            measured = await contender.measure()
            for figure, value in measured.items() if number >= 0 else ():
                values.setdefault((contender.name, figure), []).append(value)
    samples = [Sample(name, figure, tuple(each)) for (name, figure), each in values.items()]
    return Section(title, samples)
