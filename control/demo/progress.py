"""How far a campaign is, and how that looks: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

_LINE_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stand:
    """How far a campaign is.

    Attributes:
        total: Runs of the campaign.
        ended: Those that have ended.
        failed: Of these, those that did not succeed.
        steps: For each step of the flow in order, how many runs have it behind them.
    """

    total: int
    ended: int = 0
    failed: int = 0
    steps: dict[str, int] = field(default_factory=dict)

    def line(self) -> str:
        """Return it as one line."""
        steps = "".join(f"  {name} {done}" for name, done in self.steps.items())
        failed = f"  failed {self.failed}" if self.failed else ""
        return f"runs {self.ended}/{self.total}{failed}{steps}"


class ProgressView:
    """Shows stands as they come.

    Args:
        console: Where to.
        steps: The flow's steps, in order.
        total: Runs of the campaign.
    """

    def __init__(self, console: Console, steps: Sequence[str], total: int) -> None:
        self._console = console
        self._steps = steps
        self._total = total
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._line = ""
        self._line_at = 0.0

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Keep the bars on the terminal for as long as the block lasts."""
        if not self._console.is_terminal:
            yield
            return
        with self._new_bars() as self._bars:
            for name in (*self._steps, "runs"):
                self._tasks[name] = self._bars.add_task(name, total=self._total)
            yield

    def update(self, stand: Stand) -> None:
        """Show a stand."""
        if self._bars is None:
            self._print(stand)
            return
        for name, done in {**stand.steps, "runs": stand.ended}.items():
            self._bars.update(self._tasks[name], completed=done)

    def _print(self, stand: Stand) -> None:
        """At most one line in two seconds, only where something changed, and always the last."""
        line, now = stand.line(), time.monotonic()
        due = now - self._line_at >= _LINE_SECONDS or stand.ended == stand.total
        if due and line != self._line:
            self._console.print(line)
            self._line, self._line_at = line, now

    def _new_bars(self) -> Progress:
        return Progress(
            TextColumn("  {task.description:<10}"),
            BarColumn(bar_width=40),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
        )
