"""All that the checker may look at: the history, the public API, and the workers' logs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from control import Muster
from envelope.events import TERMINAL_EVENTS
from envelope.ports.journal_rows import TERMINAL_STATES, Event, Run
from envelope.ports.ledger import EffectRow
from tests.rig.faults.history import History, Line

_PAGE = 500
_MOST_EFFECTS = 10_000
_WORKER_ID = re.compile(r"-(\d+)-[0-9a-f]{8}$")
_TERMINAL = frozenset(str(event) for event in TERMINAL_EVENTS)
_SETTLED = frozenset({"step.succeeded", "step.failed"})


@dataclass(frozen=True)
class RunFacts:
    """A run as the public API shows it."""

    run_id: str
    flow: str
    state: str
    key: str | None = None
    user: str | None = None
    envelope: str | None = None
    failure: str | None = None
    trace: str | None = None
    events: Sequence[Event] = ()

    @property
    def ended(self) -> bool:
        return self.state in {str(state) for state in TERMINAL_STATES}

    @property
    def endings(self) -> list[Event]:
        """Its terminal events; there should be one."""
        return [event for event in self.events if event.type in _TERMINAL]

    def settled(self, step: str | None) -> list[Event]:
        """The events that say that a step has its result; there should be at most one."""
        return self._settled.get(step, [])

    @cached_property
    def _settled(self) -> dict[str | None, list[Event]]:
        found: dict[str | None, list[Event]] = {}
        for event in self.events:
            if event.type in _SETTLED:
                found.setdefault(event.step, []).append(event)
        return found

    @cached_property
    def handovers(self) -> list[tuple[float, str, str]]:
        """When (time) which worker (id) got or lost the run or a step of it (event)."""
        told = [(event, json.loads(event.data)) for event in self.events]
        named = [(event, data.get("worker") or data.get("executor")) for event, data in told]
        return [(event.at, worker, event.type) for event, worker in named if worker]


@dataclass(frozen=True)
class Fault:
    """A fault from its begin to its end. `pids` are the workers that it touched; none means all."""

    number: int
    kind: str
    pids: tuple[int, ...]
    begun: float
    ended: float
    proof: Mapping[str, int] = field(default_factory=dict)

    @property
    def hit(self) -> bool:
        return any(self.proof.values())


@dataclass(frozen=True)
class Facts:
    """Everything about one trial.

    Attributes:
        lines: The history.
        runs: By id.
        logs: The workers' log lines as objects; `text` is the whole line, `host` the process of
            the worker to which it belongs, whose child may have written it.
        effects: What the ledger says was done to the outside world.
        limits: By agent, how many of its calls may be inside the stub model at once.
        lease, heartbeat: Of the workers, in seconds.
        max_losses: After how many losses of its own doing a run is dead.
        canaries: Secrets that must appear nowhere.
    """

    lines: Sequence[Line]
    runs: Mapping[str, RunFacts]
    logs: Sequence[Mapping[str, Any]] = ()
    effects: Sequence[EffectRow] = ()
    limits: Mapping[str, int] = field(default_factory=dict)
    lease: float = 3.0
    heartbeat: float = 1.0
    max_losses: int = 3
    canaries: Sequence[str] = ()

    def of(self, *kinds: str) -> Iterator[Line]:
        """The lines of some kinds."""
        return (line for line in self.lines if line["what"] in kinds)

    def run(self, run_id: str) -> RunFacts:
        """A run; one that the API does not know has no state."""
        return self.runs.get(run_id) or RunFacts(run_id, flow="?", state="unknown")

    @cached_property
    def faults(self) -> Sequence[Fault]:
        ends = {line["fault"]: line for line in self.of("fault.end")}
        return [_fault(begin, ends.get(begin["fault"])) for begin in self.of("fault.begin")]

    def pid(self, worker_id: str) -> int | None:
        """The process of a worker; None where nobody knows it."""
        found = _WORKER_ID.search(worker_id)
        return int(found[1]) if found else self._isolated.get(worker_id)

    @cached_property
    def _isolated(self) -> Mapping[str, int]:
        """Processes made for one run: their names say no pid, their first log line does."""
        started = [line for line in self.logs if line.get("event") == "worker.started"]
        return {line["worker"]: line["process"] for line in started}

    @cached_property
    def hosts(self) -> Mapping[int, int]:
        """By process, the worker that started it, or itself."""
        return {line["process"]: line["host"] for line in self.logs if "process" in line}

    def faults_of(self, pid: int) -> list[Fault]:
        """The faults aimed at a process, or at the worker whose child it is: one group, one net."""
        both = {pid, self.hosts.get(pid, pid)}
        return [fault for fault in self.faults if both & set(fault.pids)]

    def starved(self, pid: int, since: float, until: float) -> float:
        """For how many seconds a worker, or the one whose child it is, wanted for a processor.

        A line is written at the end of what it tells of: where the machine stood still, that may be
        after the loss.
        """
        host = self.hosts.get(pid, pid)
        told = (line for line in self.of("starved") if line["pid"] == host)
        return float(
            sum(
                line["seconds"]
                for line in told
                if since <= line["at"] and line["at"] - line["seconds"] < until
            )
        )

    @cached_property
    def deaths(self) -> Mapping[int, Line]:
        """By process, the line that its worker was found dead."""
        return {line["pid"]: line for line in self.of("worker.died")}


def read_facts(muster: Muster, history: History, logs: Mapping[int, Path], **more: Any) -> Facts:
    """Read everything by the public API; `logs` by the worker's process."""
    lines = [line for pid, log in logs.items() for line in _log_lines(pid, log)]
    effects = muster.effects.list(limit=_MOST_EFFECTS)
    return Facts(history.lines(), dict(_runs(muster)), lines, effects, **more)


def facts_of_run(run: Run, events: Sequence[Event]) -> RunFacts:
    """What the API's row and events say of a run."""
    return RunFacts(
        run_id=run.run_id,
        flow=run.flow,
        state=str(run.state),
        key=run.key,
        user=run.user,
        envelope=run.envelope,
        failure=run.failure,
        trace=run.trace,
        events=tuple(events),
    )


def seconds_of(stamp: str) -> float:
    """A log line's time in seconds since 1970."""
    return datetime.fromisoformat(stamp).timestamp()


def _runs(muster: Muster) -> Iterator[tuple[str, RunFacts]]:
    before = None
    while page := muster.runs(limit=_PAGE, before=before):
        for run in page:
            handle = muster.get(run.run_id)
            events = list(handle.events()) if run.state in TERMINAL_STATES else []
            yield run.run_id, facts_of_run(handle.row(), events)
        before = page[-1].run_id


def _log_lines(host: int, log: Path) -> Iterator[Mapping[str, Any]]:
    for text in log.read_text(errors="replace").splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            line = None
        yield {**(line if isinstance(line, dict) else {}), "text": text, "host": host}


def _fault(begin: Line, end: Line | None) -> Fault:
    last = end or {"at": float("inf"), "proof": {}}
    return Fault(
        number=begin["fault"],
        kind=begin["kind"],
        pids=tuple(begin["pids"]),
        begun=begin["at"],
        ended=last["at"],
        proof=last["proof"],
    )
