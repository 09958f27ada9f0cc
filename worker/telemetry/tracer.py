"""What can be traced, a span for each. This one traces nothing."""
# ruff: noqa: ARG002 - whatever it is given, it looks at nothing

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from agents.context import StepContext
from agents.llm.watch import Operation
from envelope.effect import Effect
from envelope.ports.journal_rows import Claim, StepClaim
from envelope.ports.journal_writes import NewRun
from envelope.usage import Usage


class Span:
    """One piece of work while it goes on; without effect where nothing is traced."""

    def set(self, **attributes: str | float | bool) -> None:
        """Note facts about it: ids, names, counts; never what anybody wrote."""

    def failed(self, code: str) -> None:
        """It did not succeed; `code` says why."""

    def used(self, model: str, usage: Usage) -> None:
        """A model answered: this one, for so much."""


NO_SPAN = Span()
_NOTHING = nullcontext(NO_SPAN)


class Tracer:
    """Traces nothing: where no endpoint is set, and where OpenTelemetry is not installed.

    All spans of a run are of one trace, whichever process makes them: the run's row names the
    trace, and the ids of its trigger and of each claim follow from run id and epoch.
    """

    def trace_id(self) -> str | None:
        """Return the id of the trace that the calling code belongs to; None outside of any."""
        return None

    @contextmanager
    def triggered(self, new: NewRun) -> Iterator[Span]:
        """A run is accepted meanwhile."""
        yield NO_SPAN

    @contextmanager
    def run(self, claim: Claim) -> Iterator[Span]:
        """A claimed run is executed meanwhile, here."""
        yield NO_SPAN

    @contextmanager
    def queued_step(self, claim: StepClaim) -> Iterator[Span]:
        """A step that came from its agent's queue is executed meanwhile."""
        yield NO_SPAN

    def attempt(self, ctx: StepContext) -> AbstractContextManager[Span]:
        """One attempt of a step is executed meanwhile."""
        return _NOTHING

    @contextmanager
    def model(self, model: str, server: str, operation: Operation) -> Iterator[Span]:
        """A model is asked meanwhile."""
        yield NO_SPAN

    @contextmanager
    def effect(self, effect: Effect) -> Iterator[Span]:
        """An effect is performed meanwhile."""
        yield NO_SPAN

    def place(self) -> str | None:
        """Return the calling code's span as W3C traceparent; None outside of any that is kept."""
        return None

    @contextmanager
    def below(self, place: str | None) -> Iterator[None]:
        """What is traced meanwhile hangs below that span of another process."""
        yield

    def here(self) -> Any:
        """Return the place in a trace that calls; None outside of any."""
        return None

    def committed(self, places: Sequence[Any], seconds: float, operations: int) -> None:
        """A batch that was handed over at these places was just committed, after so long."""

    def close(self) -> None:
        """Hand over what was traced, within seconds. Blocks."""
