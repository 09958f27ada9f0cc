"""What can be counted, a method for each fact. This one counts nothing."""

from __future__ import annotations

from collections.abc import Iterable

from agents.cache_watch import CacheKind
from envelope.usage import Usage


class Meters:
    """Counts nothing: for clients, tests and whoever exports no metrics.

    Methods may be called from any thread, cost microseconds and never raise. Seconds are floats.
    """

    def run_held(self, change: int) -> None:
        """This process took a run (1) or is done with it (-1)."""

    def run_waited(self, flow: str, seconds: float) -> None:
        """A run was claimed for the first time, so long after it might have started."""

    def run_ended(self, flow: str, state: str, seconds: float | None) -> None:
        """A run's end was committed, so long after it might have started; None: nobody knows."""

    def step_waited(self, agent: str, seconds: float) -> None:
        """A queued step was taken, so long after it was recorded."""

    def step_settled(self, agent: str, outcome: str, seconds: float, code: str | None) -> None:
        """A step's outcome was committed; `code` names its failure."""

    def step_retried(self, agent: str) -> None:
        """An attempt failed and another follows."""

    def permit_waited(self, agent: str, seconds: float) -> None:
        """A permit was granted."""

    def rate_waited(self, keys: Iterable[str], seconds: float) -> None:
        """These rate limits let something through."""

    def model_called(self, model: str, outcome: str, seconds: float, usage: Usage) -> None:
        """A request to a model ended."""

    def effect_ended(self, channel: str, outcome: str) -> None:
        """An effect was sent, kept back, refused, …"""

    def journal_written(self, seconds: float, operations: int, fenced: int) -> None:
        """A batch was committed; `fenced` of its operations were refused."""

    def rescued(self, kind: str, count: int) -> None:
        """The reconciler mended something."""

    def quarantined(self, reason: str) -> None:
        """A malformed message was taken from a queue."""

    def event_told(self, seconds: float) -> None:
        """The listeners of an event were told, so long after it was handed over."""

    def cache_asked(self, kind: CacheKind, name: str, *, hit: bool) -> None:
        """A cache of that agent's or model's answers was asked: a hit saved the work."""
