"""The whole rig: real workers behind breakable networks, a stub model, a history, a client."""

from __future__ import annotations

import json
import random
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from control import Muster
from tests.rig.cluster import ROOT, Cluster
from tests.rig.faults.agents import EDITORS, STUB_VARIABLE, WRITERS
from tests.rig.faults.delivering import SINK_VARIABLE
from tests.rig.faults.facts import Facts, read_facts
from tests.rig.faults.history import HISTORY_VARIABLE, History
from tests.rig.faults.loop import LoopThread
from tests.rig.faults.sinks import Sinks
from tests.rig.faults.slot import Slot
from tests.rig.faults.starvation import noting_starvation
from tests.rig.faults.stub_llm import StubLLM
from tests.services.postgres_server import PrivatePostgres, new_database
from tests.services.redis_server import PrivateRedis
from tests.services.waiting import wait_until
from worker.settings import Settings

FLOWS = "tests.rig.faults.flows"
LIMITS = {"rig-writer": WRITERS, "rig-editor": EDITORS}

_READY_SECONDS = 90.0
_SINK_SECONDS = 0.3  # long enough to be struck in the midst of it


@dataclass
class FaultCluster(Cluster):
    """The workers' surroundings; flows, history, stub model and sinks are the rig's."""

    history: History = field(default_factory=lambda: History(Path()))
    stub_url: str = ""
    hook_url: str = ""
    delivery: Mapping[str, str] = field(default_factory=dict)
    include: tuple[str, ...] = (FLOWS,)
    canary: str = ""

    @property
    def environment(self) -> dict[str, str]:
        return {
            **super().environment,
            "MUSTER_INCLUDE": ",".join(self.include),
            "MUSTER_OPENAI_API_KEY": f"sk-{self.canary}",
            "MUSTER_LOG_FORMAT": "json",
            **self.delivery,
            HISTORY_VARIABLE: str(self.history.path),
            STUB_VARIABLE: self.stub_url,
            SINK_VARIABLE: self.hook_url,
        }

    @property
    def settings(self) -> Settings:
        return super().settings.model_copy(update={"include": (FLOWS,)})


class FaultRig:
    """Made by `fault_rig`.

    Attributes:
        redis, postgres: The servers, to be killed.
        slots: Where the workers are.
        stub: The model server.
        sinks: Where effects land.
        history: What really happened.
        muster: The public API, over connections that no proxy breaks.
        canary: Part of every secret that was given to the system.
    """

    def __init__(
        self,
        folder: Path,
        redis: PrivateRedis,
        postgres: PrivatePostgres,
        *,
        slots: int = 2,
        include: Sequence[str] = (FLOWS,),
        seed: int = 0,
    ) -> None:
        self.redis, self.postgres = redis, postgres
        self.canary = f"canary-{secrets.token_hex(8)}"
        self.history = History(folder / "history.jsonl")
        self.database_url = _with_password(new_database(postgres.url), self.canary)
        self._closing = ExitStack()
        thread = LoopThread("muster-fault-rig")
        self._closing.callback(thread.close)
        self.stub = StubLLM(thread, self.history)
        self._closing.callback(self.stub.close)
        self.sinks = Sinks.on(thread, self.history)
        self._closing.callback(self.sinks.close)
        self.sinks.slow_down(_SINK_SECONDS)
        self.slots = [
            Slot(thread, redis.url, self.database_url, seed + 2 * number) for number in range(slots)
        ]
        for slot in self.slots:
            self._closing.callback(slot.close)
        self.cluster = FaultCluster(
            folder,
            redis.url,
            self.database_url,
            history=self.history,
            stub_url=self.stub.url,
            hook_url=self.sinks.hook.url,
            delivery=self.sinks.environment,
            include=tuple(include),
            canary=self.canary,
        )
        self._closing.callback(self.cluster.stop)
        self._closing.enter_context(noting_starvation(self.history, self._pids))
        self.muster = Muster(self.cluster.settings)
        self._closing.callback(self.muster.close)
        self._numbers = count(1)

    def start(self) -> None:
        """Fill every slot with a worker that consumes."""
        self.revive()
        self.until_ready()

    def revive(self) -> None:
        """Note dead workers and put a new one in each empty slot, without waiting for it."""
        for slot in self.slots:
            if slot.alive:
                continue
            if slot.worker is not None:
                code = slot.worker.process.returncode
                self.history.write("worker.died", pid=slot.pid, code=code)
            slot.take(self.cluster.start(wait=False, environment=slot.environment))

    def ready(self) -> list[Slot]:
        """The slots whose worker consumes."""
        return [slot for slot in self.slots if slot.is_ready()]

    def until_ready(self) -> None:
        """Wait until every slot has a worker that consumes; dead ones are replaced meanwhile."""

        def all_ready() -> bool:
            self.revive()
            return len(self.ready()) == len(self.slots)

        wait_until(all_ready, _READY_SECONDS, "every worker is ready")

    def victim(self, chance: random.Random) -> Slot:
        """One of the slots whose worker consumes; waits until there is one."""

        def consuming() -> list[Slot]:
            self.revive()
            return self.ready()

        return chance.choice(wait_until(consuming, _READY_SECONDS, "somebody is there to be hurt"))

    @contextmanager
    def fault(self, kind: str, pids: Sequence[int] = ()) -> Iterator[dict[str, int]]:
        """Write begin and end of a fault; the caller fills in the proof that it hit something.

        Args:
            kind: What breaks.
            pids: The workers that it touches; none where it touches all.
        """
        facts: dict[str, Any] = {"fault": next(self._numbers), "kind": kind, "pids": list(pids)}
        proof: dict[str, int] = {}
        self.history.write("fault.begin", **facts)
        try:
            yield proof
        finally:
            self.history.write("fault.end", **facts, proof=proof)

    def note_permits_left(self) -> None:
        """Write down who holds permits though everything has ended; the dead get their lease."""
        left: list[dict[str, Any]] = []

        def none_left() -> bool:
            left[:] = self._holders()
            return not left

        with suppress(AssertionError):  # the checker tells
            wait_until(none_left, 3 * self.cluster.lease_seconds, "all permits are back")
        for holder in left:
            self.history.write("permit.left", **holder)

    def facts(self) -> Facts:
        """Read what happened, for the checker."""
        return read_facts(
            self.muster,
            self.history,
            {worker.process.pid: worker.log for worker in self.cluster.workers},
            limits=LIMITS,
            lease=self.cluster.lease_seconds,
            heartbeat=self.cluster.heartbeat_seconds,
            canaries=(self.canary,),
        )

    def close(self) -> None:
        self._closing.close()

    def _pids(self) -> list[int]:
        return [slot.pid for slot in self.slots if slot.alive]

    def _holders(self) -> list[dict[str, Any]]:
        """What `muster agents` says of permits that are held."""
        told = subprocess.run(
            [sys.executable, "-c", "from control.cli import main; main()", "agents", "--json"],
            cwd=ROOT,
            env=self.cluster.environment,
            capture_output=True,
            check=True,
        )
        return [
            {
                "agent": agent["agent"],
                "run": holder["run_id"],
                "step": holder["step"],
                "worker": holder["worker"],
            }
            for agent in json.loads(told.stdout)["agents"]
            for holder in agent["holders"]
        ]


@contextmanager
def fault_rig(
    folder: Path, redis: PrivateRedis, postgres: PrivatePostgres, **options: Any
) -> Iterator[FaultRig]:
    """A rig without workers yet; closed at the end."""
    rig = FaultRig(folder, redis, postgres, **options)
    try:
        yield rig
    finally:
        rig.close()


def _with_password(url: str, password: str) -> str:
    """The server trusts everybody; the password is there to be kept secret."""
    parts = urlsplit(url)
    user, host = parts.netloc.split("@")
    return urlunsplit(parts._replace(netloc=f"{user}:{password}@{host}"))
