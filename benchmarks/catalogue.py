"""All benchmarks, by name."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, Protocol, cast

from benchmarks.figures import Report
from benchmarks.stage import Stage

BENCHMARKS: Mapping[str, str] = {
    "steps": "durable steps in a row and fanned out, beside Celery chain and chord, and DBOS",
    "throughput": "one-step runs per second, and latency to first event and result, beside Celery",
    "concurrency": "thousands of agents that wait in one process, beside Celery gevent and threads",
    "limits": "what permits and rates cost, and how fairly tenants share them",
    "recovery": "time from SIGKILL of a worker until its runs go on",
    "growth": "speed with few and with many runs in the journal, finished or waiting",
    "events": "delay of events to many subscribers",
}
"""Name to what is measured; the module is `benchmarks.<name>`."""

RETRIEVAL = "retrieval"
RETRIEVAL_HELP = "quality of retrieval on a public collection that you supply: --collection DIR"


class Benchmark(Protocol):
    """The module of a benchmark.

    Attributes:
        TINY: A size that only shows that it runs.
    """

    TITLE: str
    TINY: Any

    async def measure(self, stage: Stage, size: Any = None) -> Report:
        """Measure; None is the full size."""


def benchmark(name: str) -> Benchmark:
    """Return the benchmark of that name.

    Raises:
        KeyError: There is none.
    """
    if name not in BENCHMARKS:
        raise KeyError(name)
    return cast("Benchmark", importlib.import_module(f"benchmarks.{name}"))
