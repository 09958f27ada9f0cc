"""What the engine tells of its work: each moment once, to meters, tracer and log alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import structlog

from agents.cache_watch import CACHE_WATCH, CacheKind, CacheWatch
from agents.context import StepContext
from agents.llm.watch import WATCH, Answered, Operation, Watch
from agents.registry import AGENTS
from envelope.errors import Fenced
from envelope.ports.effects import Effects
from envelope.ports.journal_rows import (
    TERMINAL_STATES,
    Claim,
    Rescue,
    RunState,
    StepClaim,
)
from envelope.ports.journal_writes import NewRun
from envelope.usage import Usage
from worker.logs import logging_context
from worker.telemetry.meters import Meters
from worker.telemetry.span_ids import FIRST_EPOCH
from worker.telemetry.tracer import Span, Tracer
from worker.telemetry.watched import WatchedEffects

Ended = Callable[[RunState | None], None]

CACHE_HIT = "cache.hit"
"""The event by which a flow says that a kept answer was of use."""

_NO_USAGE = Usage()

log = structlog.get_logger("muster")


class Telemetry:
    """Meters and tracer of one process. Without arguments it does nothing but name log lines.

    Args:
        meters: Count.
        tracer: Traces.
    """

    def __init__(self, meters: Meters | None = None, tracer: Tracer | None = None) -> None:
        self.meters = meters or Meters()
        self.tracer = tracer or Tracer()

    def trace_id(self) -> str | None:
        """Return the trace that the calling code belongs to; None outside of any."""
        return self.tracer.trace_id()

    def triggered(self, new: NewRun) -> AbstractContextManager[Span]:
        """Surround the acceptance of a run."""
        return self.tracer.triggered(new)

    @contextmanager
    def run(self, claim: Claim) -> Iterator[Ended]:
        """Surround the execution of a claimed run; call what is yielded with its state."""
        run, begun = claim.run, time.monotonic()
        if run.epoch == FIRST_EPOCH:
            self.meters.run_waited(run.flow, claim.now - run.available_at)
        self.meters.run_held(1)

        def ended(state: RunState | None) -> None:
            span.set(state=str(state or "lost"))
            if state in TERMINAL_STATES:
                seconds = claim.now - run.available_at + time.monotonic() - begun
                self.meters.run_ended(run.flow, str(state), seconds)

        try:
            with (
                logging_context(run=run.run_id, trace_id=run.trace_id),
                _Watching(self.tracer.run(claim), self.model, self.cache_asked) as span,
            ):
                yield ended
        finally:
            self.meters.run_held(-1)

    @contextmanager
    def queued_step(self, claim: StepClaim) -> Iterator[None]:
        """Surround the execution of a step that came from its agent's queue."""
        run, step = claim.run, claim.step
        if step.started_at is not None and step.sent_at is not None:
            self.meters.step_waited(step.agent, step.started_at - step.sent_at)
        with (
            logging_context(
                run=run.run_id, step=step.step, agent=step.agent, trace_id=run.trace_id
            ),
            self.tracer.queued_step(claim),
        ):
            yield

    def attempt(self, ctx: StepContext) -> AbstractContextManager[Span]:
        """Surround one attempt of a step. Its log lines are named by `envelope.running`."""
        return _Watching(self.tracer.attempt(ctx), self.model, self.cache_asked)

    @contextmanager
    def model(self, model: str, server: str, operation: Operation = "chat") -> Iterator[Answered]:
        """Surround one request to a model (`agents.llm.watch.Watch`)."""
        begun, outcome, used = time.monotonic(), "failed", (model, _NO_USAGE)
        try:
            with self.tracer.model(model, server, operation) as span:

                def answered(model: str, usage: Usage) -> None:
                    nonlocal used, outcome
                    used, outcome = (model, usage), "succeeded"
                    span.used(model, usage)

                yield answered
        finally:
            name, usage = used
            self.meters.model_called(name, outcome, time.monotonic() - begun, usage)

    def effects(self, effects: Effects) -> Effects:
        """Return the effects, watched."""
        return WatchedEffects(effects, self.meters, self.tracer)

    def emitted(self, event: str, agent: object) -> None:
        """A flow emitted an event for the first time."""
        if event == CACHE_HIT and agent in AGENTS.names():
            self.cache_asked("step", str(agent), True)

    def cache_asked(self, kind: CacheKind, name: str, hit: bool) -> None:
        """A cache was asked (`agents.cache_watch.CacheWatch`)."""
        self.meters.cache_asked(kind, name, hit=hit)

    def rescued(self, rescued: Sequence[Rescue]) -> None:
        """Runs were taken from workers that are gone."""
        for rescue in rescued:
            dead = rescue.state is RunState.DEAD
            self.meters.rescued("run_dead" if dead else "run_requeued", 1)
            if dead:
                self.meters.run_ended(rescue.hint.flow, str(rescue.state), None)

    def place(self) -> str | None:
        """Return the calling code's place in a trace, for another process to go on below it."""
        return self.tracer.place()

    def below(self, place: str | None) -> AbstractContextManager[None]:
        """Surround what is done for that place of another process."""
        return self.tracer.below(place)

    def here(self) -> Any:
        """Return the place in a trace that hands something to the journal."""
        return self.tracer.here()

    def written(
        self, places: Sequence[Any], seconds: float, errors: Sequence[BaseException | None]
    ) -> None:
        """The journal committed a batch (`worker.journal.watch.BatchWatch`)."""
        fenced = sum(isinstance(error, Fenced) for error in errors)
        try:
            self.meters.journal_written(seconds, len(errors), fenced)
            self.tracer.committed(places, seconds, len(errors))
        except Exception:
            # The thread that writes must go on, whatever is wrong with what watches it.
            log.exception("telemetry.failed")

    def close(self) -> None:
        """Hand over what was traced. Blocks."""
        self.tracer.close()


class _Watching:
    """A span inside which model requests and caches are told of; a class, for it is entered often.

    Args:
        span: Surrounds it.
        models: Surrounds each request to a model.
        caches: Told of each question to a cache.
    """

    __slots__ = ("_caches", "_models", "_span", "_tokens")

    def __init__(
        self, span: AbstractContextManager[Span], models: Watch, caches: CacheWatch
    ) -> None:
        self._span = span
        self._models = models
        self._caches = caches

    def __enter__(self) -> Span:
        span = self._span.__enter__()
        self._tokens = WATCH.set(self._models), CACHE_WATCH.set(self._caches)
        return span

    def __exit__(self, *error: Any) -> bool | None:  # noqa: PYI036 - passed on as it came
        models, caches = self._tokens
        CACHE_WATCH.reset(caches)
        WATCH.reset(models)
        return self._span.__exit__(*error)
