"""What the limits of the cluster cost, and how fairly tenants share an agent's permits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from benchmarks.figures import Report, Section, at_least, jain
from benchmarks.peers.celery_worker import PlainCelery
from benchmarks.program import Program
from benchmarks.rounds import Contender, Measured, alternate
from benchmarks.stage import Database, Stage

TITLE = "the cost of limits, and their fairness"
_RATE = "steps/s"
_JAIN, _SHARE = "Jain's index", "share of the large tenant"
_NOTES = (
    (
        "On: a cluster-wide permit and a token of a rate for every step, both kept in Redis and "
        "never short. Off: permits within the process and no rate."
    ),
    (
        "Fairness is counted while every tenant has work that waits: Jain's index is 1 where "
        "all get the same and 1/n where one gets everything. All work of the large tenant is "
        "there first."
    ),
)


@dataclass(frozen=True)
class Size:
    """How much is done in a round.

    Attributes:
        large: Steps of the tenant that came first.
        small: Steps of each of the others.
        others: How many others there are.
        seconds: How long a step of theirs holds its permit.
    """

    runs: int = 200
    steps: int = 5
    large: int = 200
    small: int = 40
    others: int = 3
    seconds: float = 0.02


TINY = Size(runs=3, steps=2, large=8, small=2, others=2, seconds=0.001)


async def measure(stage: Stage, size: Size | None = None) -> Report:
    """Measure the cost on every database, then fairness."""
    size = size or Size()
    report = Report("limits", TITLE, notes=list(_NOTES))
    report.sections += [await _cost(stage, kind, size) for kind in stage.databases]
    report.sections.append(await _fairness(stage, size))
    return report


async def _cost(stage: Stage, kind: Database, size: Size) -> Section:
    async with AsyncExitStack() as stack:
        on = await stack.enter_async_context(stage.inline(kind))
        off = await stack.enter_async_context(stage.inline(kind, limits=False))
        contenders = [
            Contender("limits on", lambda: _steps(on, "bench_limited", size)),
            Contender("limits off", lambda: _steps(off, "bench_noop", size)),
        ]
        title = f"{size.runs} runs of {size.steps} steps, inline, {kind}"
        section = await alternate(title, contenders, stage.rounds)
    section.compare(("limits on", _RATE), ("limits off", _RATE), at_least(0.9))
    return section


async def _steps(program: Program, agent: str, size: Size) -> Measured:
    payload = {"steps": size.steps, "agent": agent}
    seconds = await program.ask("runs", flow="bench_chain", payload=payload, count=size.runs)
    return {_RATE: size.runs * size.steps / seconds}


async def _fairness(stage: Stage, size: Size) -> Section:
    tenants = ["large"] * size.large
    tenants += [f"small-{n}" for _ in range(size.small) for n in range(size.others)]
    async with AsyncExitStack() as stack:
        program = await stack.enter_async_context(stage.inline("SQLite"))
        celery = await stack.enter_async_context(stage.celery("threads", 4))
        contenders = [
            Contender("Muster", lambda: _turns(program, tenants, size.seconds)),
            Contender("Celery, one queue", lambda: _celery_turns(celery, tenants, size.seconds)),
        ]
        title = f"{1 + size.others} tenants share 4 permits of {size.seconds * 1e3:g} ms"
        section = await alternate(title, contenders, stage.rounds)
    section.compare(("Muster", _JAIN), ("Celery, one queue", _JAIN))
    return section


async def _turns(program: Program, tenants: list[str], seconds: float) -> Measured:
    return fairness(await program.ask("turns", tenants=tenants, seconds=seconds))


async def _celery_turns(celery: PlainCelery, tenants: list[str], seconds: float) -> Measured:
    ended = await celery.results([celery.task("turn", tenant, seconds) for tenant in tenants])
    return fairness([tenant for _, tenant in sorted(ended)])


def fairness(order: Sequence[str]) -> Measured:
    """Return how evenly turns were shared for as long as nobody had had all of theirs.

    Args:
        order: Whose turn it was, in the order in which turns ended.
    """
    shares = _while_all_wait(order)
    return {_JAIN: jain(shares), _SHARE: shares.get("large", 0) / max(1, sum(shares.values()))}


def _while_all_wait(order: Sequence[str]) -> Mapping[str, int]:
    left, had = Counter(order), Counter(dict.fromkeys(order, 0))
    for tenant in order:
        had[tenant] += 1
        left[tenant] -= 1
        if not left[tenant]:
            break
    return had
