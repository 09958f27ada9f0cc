"""The rig's client: asks for runs, remembers what it was told, cancels some."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from control import Muster, Run
from envelope.errors import MusterError, Unavailable
from tests.rig.faults.history import History

_AGAIN_SECONDS = 0.2


@dataclass(frozen=True)
class Wish:
    """A run to ask for, and what may come of it.

    Attributes:
        numbers: What the records of its envelope say when it succeeds; None to not look.
        cancel_after: Seconds after acceptance at which it is cancelled; None never.
        twice: Whether the request is sent again, as a client does that saw no answer.
        allow_delivery: Whether it may reach the outside world.
        delivers: By which `channel` and `to` whom it wants to reach; None nobody.
        malformed: Whether it must be refused.
    """

    flow: str
    plan: Any
    expect: Sequence[str] = ("succeeded",)
    numbers: Sequence[int] | None = None
    user: str | None = None
    singleton: str | None = None
    cancel_after: float | None = None
    twice: bool = False
    allow_delivery: bool = False
    delivers: Mapping[str, str] | None = None
    malformed: bool = False


class Client:
    """Writes into the history what it was told.

    `accepted`, `refused`, `malformed` (and the answer to that), `cancel.acknowledged`, `read`.
    """

    def __init__(self, muster: Muster, history: History) -> None:
        self._muster = muster
        self._history = history
        self._lock = threading.Lock()
        self.runs: list[str] = []

    def submit(self, wish: Wish, key: str) -> Run:
        """Ask until the run is accepted; the key makes that safe."""
        while True:
            try:
                run = self._enqueue(wish, key)
            except MusterError as error:
                self._history.write("refused", key=key, code=error.code)
                time.sleep(_AGAIN_SECONDS)
                continue
            self._history.write(
                "accepted",
                run=run.id,
                flow=wish.flow,
                key=key,
                expect=list(wish.expect),
                numbers=None if wish.numbers is None else list(wish.numbers),
                singleton=wish.singleton,
                allow_delivery=wish.allow_delivery,
                delivers=wish.delivers,
            )
            with self._lock:
                self.runs.append(run.id)
            return run

    def err(self, wish: Wish, key: str) -> None:
        """Ask for what must be refused, and write down what came of it; outages are waited out."""
        while True:
            try:
                run = self._enqueue(wish, key)
            except Unavailable:
                time.sleep(_AGAIN_SECONDS)
                continue
            except Exception as error:
                answer = {"error": type(error).__name__, "code": getattr(error, "code", None)}
            else:
                answer = {"error": None, "code": None, "run": run.id}
            self._history.write("malformed", flow=wish.flow, key=key, **answer)
            return

    def cancel(self, run: Run) -> None:
        """Ask until the cancel is acknowledged."""
        while True:
            try:
                state = run.cancel("the rig says so")
            except MusterError as error:
                self._history.write("cancel.refused", run=run.id, code=error.code)
                time.sleep(_AGAIN_SECONDS)
                continue
            self._history.write("cancel.acknowledged", run=run.id, state=str(state))
            return

    def read(self, run: Run) -> None:
        """Follow a run's events to its end, and write down what was seen."""
        seen: list[list[Any]] = []
        while True:
            try:
                seen.extend([event.number, event.type] for event in run.events(after=len(seen)))
            except MusterError:
                time.sleep(_AGAIN_SECONDS)
                continue
            self._history.write("read", run=run.id, events=seen)
            return

    def _enqueue(self, wish: Wish, key: str) -> Run:
        return self._muster.enqueue(
            wish.flow, wish.plan, key=key, user=wish.user, allow_delivery=wish.allow_delivery
        )


class Load:
    """Sends wishes in a thread, as many as `allow` and `more` have let through so far.

    Args:
        client: Who asks.
        wishes: What for, without end.
        wanted: How many at least.
        seed: Decides who is followed by a reader, and names the runs' keys.
    """

    def __init__(self, client: Client, wishes: Iterator[Wish], wanted: int, seed: int) -> None:
        self._client = client
        self._wishes = wishes
        self._wanted = wanted
        self._chance = random.Random(seed)
        self._name = f"key-{seed}"
        self._share, self._extra, self._last = 0.0, 0, False
        self._news = threading.Condition()
        self._others: list[threading.Thread] = []
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._send, name="muster-load", daemon=True)
        self._thread.start()

    def allow(self, share: float) -> None:
        """Let this share of the wanted runs through, from 0 to 1."""
        with self._news:
            self._share = share
            self._news.notify()

    def more(self, count: int = 12) -> None:
        """Let further ones through: a fault found nothing to hit."""
        with self._news:
            self._extra += count
            self._news.notify()

    def finish(self) -> None:
        """Let all through that were wanted, and wait until they are asked for."""
        with self._news:
            self._share, self._last = 1.0, True
            self._news.notify()
        self._thread.join()

    def join(self) -> None:
        """Wait until everything is cancelled and read."""
        for thread in self._others:
            thread.join()
        if self.error is not None:
            raise self.error

    @property
    def _allowed(self) -> int:
        return round(self._share * self._wanted) + self._extra

    def _send(self) -> None:
        for number, wish in enumerate(self._wishes):
            with self._news:
                self._news.wait_for(lambda number=number: self._last or number < self._allowed)
            if number >= self._allowed:
                return
            self._guarded(
                lambda wish=wish, number=number: self._one(wish, f"{self._name}-{number}")
            )

    def _one(self, wish: Wish, key: str) -> None:
        if wish.malformed:
            self._client.err(wish, key)
            return
        run = self._client.submit(wish, key)
        if wish.twice:
            self._client.submit(wish, key)
        if wish.cancel_after is not None:
            self._later(wish.cancel_after, lambda: self._client.cancel(run))
        elif self._chance.random() < 0.05:
            self._later(0, lambda: self._client.read(run))

    def _later(self, seconds: float, work: Callable[[], None]) -> None:
        thread = threading.Timer(seconds, lambda: self._guarded(work))
        thread.daemon = True  # a failed trial must not wait for runs that never end
        thread.start()
        self._others.append(thread)

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            self.error = error
