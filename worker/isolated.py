"""`python -m worker.isolated …`: a few runs, or one attempt of a step, in a process apart.

Started by a worker for what has cost others their lives; see `worker.engine.isolation`. Exit code 0
says that the outcome is known. A process whose loop is stuck ends itself; see
`worker.engine.watchdog`.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from typing import Any

import structlog

from agents.context import StepContext
from agents.execution import execute
from agents.registry import AGENTS
from envelope.failure import Failure
from worker.app import MusterCelery, configure
from worker.coordination.rates.loops import LoopRates
from worker.coordination.rates.redis_rates import RedisRates
from worker.delivery.deciding import leave_decisions_to_others
from worker.delivery.late import LateEffects
from worker.embedded import ensure_redis
from worker.engine.cell import StepOrder
from worker.engine.watchdog import Watchdog, cell_limit, worker_limit
from worker.loading import load_modules
from worker.logs import configure as configure_logs
from worker.logs import logging_context
from worker.process import WorkerProcess
from worker.resources import resources_of
from worker.settings import Settings
from worker.telemetry.relay import relayed_to
from worker.telemetry.telemetry import Telemetry
from worker.telemetry.tracing import tracer_of
from worker.telemetry.watched import WatchedRates

_GRACE_LEASES = 3


async def execute_runs(
    settings: Settings, counts: int, worker_id: str, owner: str, runs: Sequence[tuple[str, int]]
) -> None:
    """Execute runs (id, epoch) that `owner` hands over, as `worker_id`, until they are cleared.

    What is counted meanwhile is told to the descriptor `counts`.
    """
    app = MusterCelery("muster-isolated", set_as_current=False)
    with ensure_redis(settings) as redis:
        configure(app, redis.url)
        process = WorkerProcess(app, settings, worker_id=worker_id)
        process.meters = relayed_to(counts)
        leaving = _Leaving(process, _GRACE_LEASES * settings.lease_seconds)
        try:
            leaving.watch()
            service = await process.service()
            engine = service.engine
            Watchdog(cell_limit(settings), service.parts.log.bind(worker=worker_id)).start()
            await asyncio.gather(
                *(engine.execute(run, from_owner=owner, from_epoch=epoch) for run, epoch in runs)
            )
        finally:
            await process.stop()


class _Leaving:
    """Gives the runs back when the watching worker asks for it or is gone, and then ends.

    Args:
        process: Holds the runs.
        seconds: How long that may take at most: a journal that is gone for good holds nobody here.
    """

    def __init__(self, process: WorkerProcess, seconds: float) -> None:
        self._process = process
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._draining: asyncio.Task[None] | None = None

    def watch(self) -> None:
        """Begin to listen for both."""
        self._loop.add_signal_handler(signal.SIGTERM, self._leave)
        threading.Thread(target=self._until_alone, daemon=True).start()

    def _until_alone(self) -> None:
        """The worker holds the other end of the input."""
        sys.stdin.read()
        with suppress(RuntimeError):  # the loop is closed: the runs are done
            self._loop.call_soon_threadsafe(self._leave)

    def _leave(self) -> None:
        if self._draining is None:
            self._draining = self._loop.create_task(self._process.drain())
            self._loop.call_later(self._seconds, os._exit, 1)


async def execute_step(settings: Settings, descriptor: int, counts: int, order: StepOrder) -> None:
    """Execute an attempt and its repetitions; write events and the answer to `descriptor`.

    What is counted meanwhile is told to the descriptor `counts`.
    """
    leave_decisions_to_others()
    telemetry = Telemetry(relayed_to(counts), tracer_of(settings))
    log = structlog.get_logger("muster").bind(
        run=order.run_id, step=order.step, agent=order.agent, trace_id=order.trace_id
    )
    Watchdog(worker_limit(settings), log).start()  # its worker keeps the lease meanwhile
    redis = ensure_redis(settings)
    rates = WatchedRates(LoopRates(lambda: RedisRates(redis.url, log)), telemetry.meters)
    resources = resources_of(settings, rates, telemetry.model)
    effects = LateEffects(settings, log)
    watched_effects = telemetry.effects(effects)
    attempt = order.attempt

    def tell(**line: Any) -> None:
        os.write(descriptor, json.dumps(line).encode() + b"\n")

    def context(number: int) -> StepContext:
        nonlocal attempt
        attempt = number
        return StepContext(
            run_id=order.run_id,
            step=order.step,
            agent=order.agent,
            attempt=number,
            tenant=order.tenant,
            user=order.user,
            thread=order.thread,
            allow_delivery=order.allow_delivery,
            trace_id=order.trace_id,
            log=log,
            resources=resources,
            emitter=lambda event, data: tell(event=event, data=data),
            effects=watched_effects,
            origin_id=order.origin_id,
            executor=order.executor,
            claimed=order.attempt,
        )

    def repeated(*_: object) -> None:
        telemetry.meters.step_retried(order.agent)

    try:
        with _of(order), telemetry.below(order.place):
            done = await execute(
                AGENTS.get(order.agent),
                order.request,
                context,
                max_bytes=settings.envelope_max_bytes,
                first_attempt=order.attempt,
                on_retry=repeated,
                around=telemetry.attempt,
            )
        tell(attempt=done.attempt, envelope=done.json, failure=None)
    except Exception as error:  # noqa: BLE001 - an agent may raise anything; it is reported
        failure = Failure.of(error, step=order.step, agent=order.agent, attempt=attempt)
        tell(attempt=attempt, envelope=None, failure=failure.model_dump_json())
    finally:
        await effects.close()
        await rates.close()
        resources.close()
        redis.close()
        telemetry.close()


def _of(order: StepOrder) -> AbstractContextManager[None]:
    """Every line says whose it is, before the first attempt as well."""
    return logging_context(
        run=order.run_id, step=order.step, agent=order.agent, trace_id=order.trace_id
    )


def main(kind: str, *arguments: str) -> None:
    """Execute `runs COUNTS WORKER_ID OWNER RUN:EPOCH…` or `step ANSWER COUNTS`.

    COUNTS and ANSWER are descriptors of pipes; a step's order comes on stdin.
    """
    settings = Settings.load()
    configure_logs(settings)
    load_modules(settings.include)
    if kind == "runs":
        counts, worker_id, owner, *handed = arguments
        runs = [
            (run_id, int(epoch)) for run_id, _, epoch in (text.partition(":") for text in handed)
        ]
        asyncio.run(execute_runs(settings, int(counts), worker_id, owner, runs))
    else:
        order = StepOrder(**json.loads(sys.stdin.readline()))
        threading.Thread(target=_die_with_worker, daemon=True).start()
        answer, counted = map(int, arguments)
        asyncio.run(execute_step(settings, answer, counted, order))


def _die_with_worker() -> None:
    """The worker holds the other end of the input: without it nobody takes the answer."""
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
