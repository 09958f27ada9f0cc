"""What the checker reports."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Violation:
    """A rule that did not hold, of which run, and how that is known.

    `rule` is the number among DESIGN's rules that must always hold.
    """

    rule: int
    name: str
    run: str
    evidence: str

    def __str__(self) -> str:
        return f"rule {self.rule}, {self.name}: run {self.run}: {self.evidence}"
