"""An agent that does as a test says, and remembers how it was called."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, cast

from pydantic import BaseModel, ConfigDict

from agents.testing.calls import AgentCall
from agents.testing.expecting import expect
from envelope.envelope import Envelope
from envelope.errors import Terminal
from envelope.ports.context import AgentContext
from envelope.record import Record

Answer = (
    Envelope | Record | Mapping[str, Any] | Iterable[Record | Mapping[str, Any]] | BaseException
)
"""What a call ends with: an envelope, the record or records of one, or an error to raise."""

SideEffect = Callable[[AgentContext, Any], Any]
"""Makes the answer of a call; `async def` or `def`."""


class ScriptExhausted(Terminal):
    """A double was called more often than its script has answers. Nothing retries it."""

    code = "SCRIPT_EXHAUSTED"


class AnyRequest(BaseModel):
    """The request of a double of an agent that is not registered: any JSON object."""

    model_config = ConfigDict(extra="allow", frozen=True)


class AgentDouble:
    """Stands in for an agent; `AgentDoubles.add` makes it.

    What it returns passes the same boundary as a real agent's envelope.

    Attributes:
        name: The agent's name.
        return_value: The answer of each call; by default an envelope without records.
        side_effect: Goes before `return_value`: an error to raise, a function of context and
            request that makes the answer, or answers for one call after the other.
        calls: The calls so far, each attempt of a step one.
    """

    def __init__(self, name: str, count: Iterator[int]) -> None:
        self.name = name
        self.calls: list[AgentCall] = []
        self.return_value: Answer = ()
        self._side_effect: Any = None
        self._count = count

    @property
    def side_effect(self) -> Any:
        """What is done instead of returning `return_value`."""
        return self._side_effect

    @side_effect.setter
    def side_effect(self, effect: Any) -> None:
        is_script = isinstance(effect, Iterable) and not isinstance(effect, type)
        self._side_effect = iter(effect) if is_script else effect

    @property
    def call_count(self) -> int:
        """How many attempts there were."""
        return len(self.calls)

    async def run(self, ctx: AgentContext, request: AnyRequest) -> Envelope:
        """Answer a call; the engine calls it as it calls any agent."""
        call = AgentCall(
            agent=self.name,
            number=next(self._count),
            request=request,
            step=ctx.step,
            attempt=ctx.attempt,
            run_id=ctx.run_id,
            tenant=ctx.tenant,
        )
        self.calls.append(call)
        try:
            made = self._enveloped(await self._answer(ctx, request))
        except BaseException as error:
            call.error = error
            call.outcome = "cancelled" if isinstance(error, asyncio.CancelledError) else "raised"
            raise
        call.outcome = "returned"
        return made

    def assert_called(self) -> None:
        """Fail if there was no call."""
        expect(bool(self.calls), f"Agent {self.name!r} was not called.")

    def assert_not_called(self) -> None:
        """Fail if there was a call."""
        expect(not self.calls, f"Agent {self.name!r} was called. {self._seen()}")

    def assert_called_once(self) -> None:
        """Fail if there was another number of calls than one."""
        once = len(self.calls) == 1
        expect(once, f"Agent {self.name!r}: one call was expected. {self._seen()}")

    def assert_called_with(self, request: BaseModel | None = None, /, **fields: Any) -> None:
        """Fail if the last call had another request, or not these fields.

        Args:
            request: The whole request, defaults included.
            **fields: Fields of it, as JSON; others may have any value.
        """
        self.assert_called()
        found = self.calls[-1].fits(request, fields)
        expect(found, self._expected("last", request, fields))

    def assert_called_once_with(self, request: BaseModel | None = None, /, **fields: Any) -> None:
        """Fail if there was not one call, with this request; see `assert_called_with`."""
        self.assert_called_once()
        self.assert_called_with(request, **fields)

    def assert_any_call(self, request: BaseModel | None = None, /, **fields: Any) -> None:
        """Fail if no call had this request; see `assert_called_with`."""
        found = any(call.fits(request, fields) for call in self.calls)
        expect(found, self._expected("any", request, fields))

    def assert_awaited(self, times: int | None = None) -> None:
        """Fail if no call was awaited until it returned, or not so many.

        A call that was cancelled, that raised or that is under way does not count.
        """
        awaited = sum(call.outcome == "returned" for call in self.calls)
        fits = awaited > 0 if times is None else awaited == times
        wanted = "at least one" if times is None else str(times)
        expect(fits, f"Agent {self.name!r}: {wanted} call(s) should have returned. {self._seen()}")

    def reset(self) -> None:
        """Forget the calls; answers stay."""
        self.calls.clear()

    async def _answer(self, ctx: AgentContext, request: AnyRequest) -> Any:
        effect = self._side_effect
        if effect is None:
            return self.return_value
        if isinstance(effect, Iterator):
            return self._next(effect)
        if _is_error(effect):
            return effect
        made = effect(ctx, request)
        return await made if inspect.isawaitable(made) else made

    def _next(self, script: Iterator[Any]) -> Any:
        try:
            return next(script)
        except StopIteration:
            raise ScriptExhausted(
                f"The script of agent {self.name!r} has no answer for call {len(self.calls)}. "
                "Give it one more, or a return_value."
            ) from None

    def _enveloped(self, answer: Any) -> Envelope:
        if _is_error(answer):
            raise answer
        if isinstance(answer, Envelope):
            return answer
        single = isinstance(answer, Record | Mapping)
        rows = cast("Iterable[Record]", [answer] if single else answer or ())
        return Envelope.from_records(rows, source=self.name)

    def _expected(self, which: str, request: BaseModel | None, fields: dict[str, Any]) -> str:
        wanted = request.model_dump(mode="json") if request is not None else fields
        return f"Agent {self.name!r}: {which} call with {wanted} was expected. {self._seen()}"

    def _seen(self) -> str:
        lines = [f"{call.step} #{call.attempt} {call.outcome}: {call.data}" for call in self.calls]
        return "Calls:\n" + "\n".join(lines) if lines else "There were no calls."


def _is_error(thing: Any) -> bool:
    return isinstance(thing, BaseException) or (
        isinstance(thing, type) and issubclass(thing, BaseException)
    )
