"""One saga of one run, from its first action to its end or to the last compensation.

What is undone must not depend on where a cancellation reaches the flow: a replay, or the failure of
another branch, may deliver it while actions are still read back from the record. So the beginning
of each action is recorded, a cancellation is held back until the actions have caught up with the
record, and what is to be undone is recorded before the first compensation.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, NoReturn

from envelope.errors import Cancelled
from envelope.failure import Failure
from envelope.ports.context import RunContext
from orchestrators.flow.errors import SagaFailed
from orchestrators.flow.node import Node, calling
from orchestrators.flow.places import Work, ended, within

_PLACES = ("undo", "undo again")
_NOWHERE = "going on"
"""A place where nothing is ever recorded: a look there tells whether anything may still begin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """An action, with what undoes it."""

    name: str
    do: Node
    undo: Node | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Undo:
    """What a compensation gets.

    Attributes:
        action: The action's name.
        value: What the action was given.
        result: What it returned; None where it was interrupted, and may or may not have happened.
    """

    action: str
    value: Any
    result: Any = None


class _NotRecorded(Exception):
    """The run has no record of this."""


class SagaExecution:
    """Belongs to one run; the place that it runs in is its own."""

    def __init__(self, name: str, acts: tuple[Act, ...], ctx: RunContext, value: Any) -> None:
        self._name = name
        self._acts = acts
        self._ctx = ctx
        self._value = value
        self._given: list[Any] = []
        self._made: list[Any] = []
        self._begun = 0
        self._beginning: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._complete = False
        self._cancelled = False
        self._undone: list[str] = []
        self._not_undone: dict[str, Failure] = {}

    async def run(self) -> Any:
        """Return what the last action returns; errors as `Saga`."""
        acting = asyncio.create_task(self._act())
        await self._until_ended(acting)
        if not self._complete:
            await self._undo_all(None if acting.cancelled() else acting.exception())
        if self._cancelled:
            raise asyncio.CancelledError
        return acting.result()

    async def _act(self) -> Any:
        """Do one action after the other."""
        value = self._value
        for act in self._acts:
            await self._begin()
            self._given.append(value)
            value = await within(self._ctx, f"do {act.name}", calling(act.do, self._ctx, value))
            self._made.append(value)
        await self._begin()
        self._complete = True
        return value

    async def _undo_all(self, cause: BaseException | None) -> None:
        """Compensate, last first, and raise what tells of it."""
        if isinstance(cause, SagaFailed):  # an action that was a saga itself
            self._not_undone = {f"{cause.saga}: {name}": w for name, w in cause.not_undone.items()}
        done, doubtful = await self._insist("plan", self._plan)
        for number in reversed(range(done + doubtful)):
            await self._compensate(number, is_done=number < done)
        broken = done < len(self._acts) and (cause is not None or doubtful)
        error = SagaFailed(
            self._name,
            Failure.of(cause or Cancelled("cancelled")),
            failed=self._acts[done].name if broken else None,
            succeeded=[act.name for act in self._acts[:done]],
            undone=self._undone,
            not_undone=self._not_undone,
            cancelled=self._cancelled,
        )
        self._ctx.emit("saga.undone", **error.failure.details)
        if self._not_undone or not self._cancelled:
            raise error

    async def _begin(self) -> None:
        """Record that the next action begins, or that there is none left.

        Once the saga is cancelled, nothing begins that had not begun before.
        """
        try:
            await within(self._ctx, f"begun {self._begun}", lambda: self._ctx.once(self._may_begin))
        except _NotRecorded:
            raise asyncio.CancelledError from None
        self._begun += 1
        begun, self._beginning = self._beginning, asyncio.get_running_loop().create_future()
        begun.set_result(None)

    async def _may_begin(self) -> bool:
        if self._cancelled:
            raise _NotRecorded
        return True

    async def _until_ended(self, acting: asyncio.Task[Any]) -> None:
        """Wait for the actions. A cancellation ends them where the record ends."""
        try:
            await asyncio.wait({acting})
            self._cancelled = acting.cancelled()
        except asyncio.CancelledError:
            self._cancelled = True
            try:
                await self._catch_up(acting)
            finally:
                await ended((acting,))

    async def _catch_up(self, acting: asyncio.Task[Any]) -> None:
        """Wait while the record says that further actions began: all before them are done."""
        while not acting.done():
            beginning = self._beginning
            if not await self._is_recorded(f"begun {self._begun}"):
                return
            try:
                await asyncio.wait({acting, beginning}, return_when=asyncio.FIRST_COMPLETED)
            except asyncio.CancelledError:
                await self._is_recorded(_NOWHERE)  # raises where the run is to be given back

    async def _is_recorded(self, place: str) -> bool:
        try:
            await self._insist(place, _not_recorded)
        except _NotRecorded:
            return False
        return True

    async def _insist(self, place: str, make: Work[Any]) -> Any:
        """Record a value although the saga is being cancelled.

        The run may learn of its own cancellation only here; then the second try succeeds. Where the
        run is to be given back, nothing new begins and the second try is refused as well.
        """
        try:
            return await within(self._ctx, place, lambda: self._ctx.once(make))
        except asyncio.CancelledError:
            self._cancelled = True
            return await within(self._ctx, place, lambda: self._ctx.once(make))

    async def _plan(self) -> tuple[int, int]:
        """How many actions are done, and whether (0 or 1) the next was interrupted."""
        interrupted = self._cancelled and len(self._given) > len(self._made)
        return len(self._made), int(interrupted)

    async def _compensate(self, number: int, *, is_done: bool) -> None:
        """Undo one action; where its run's cancellation stopped the step, once more."""
        act = self._acts[number]
        if act.undo is None:
            return
        result = self._made[number] if is_done else None
        undo = Undo(action=act.name, value=self._given[number], result=result)
        for place in _PLACES:
            failure = await self._undo(f"{place} {act.name}", calling(act.undo, self._ctx, undo))
            if failure is None:
                self._undone.append(act.name)
                self._not_undone.pop(act.name, None)
                return
            self._not_undone[act.name] = failure
            if failure.kind != "cancelled":
                return

    async def _undo(self, place: str, work: Work[Any]) -> Failure | None:
        """Compensate; no cancellation interrupts it, only the loss of the run does."""
        undoing = asyncio.create_task(within(self._ctx, place, work))
        while not undoing.done():
            try:
                await asyncio.wait({undoing})
            except asyncio.CancelledError:
                self._cancelled = True
                await self._keep(undoing)
        if undoing.cancelled():
            await self._keep(undoing)
        return _failure(undoing)

    async def _keep(self, undoing: asyncio.Task[Any]) -> None:
        """Let a compensation go on, if anything may."""
        try:
            await self._is_recorded(_NOWHERE)
        except asyncio.CancelledError:
            await ended((undoing,))
            raise


def _failure(task: asyncio.Task[Any]) -> Failure | None:
    error = Cancelled("It was cancelled.") if task.cancelled() else task.exception()
    return None if error is None else Failure.of(error)


async def _not_recorded() -> NoReturn:
    raise _NotRecorded
