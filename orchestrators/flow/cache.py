"""A step whose answers are kept for whoever asks the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

from agents.cache_watch import cache_asked
from agents.llm.port import LanguageModel
from agents.registry import AGENTS
from envelope.answers import Answers
from envelope.canonical import content_hash
from envelope.envelope import Envelope, Status
from envelope.errors import InvalidInput
from envelope.lru import CacheStats
from envelope.ports.context import RunContext
from envelope.ports.shared import SharedStore
from envelope.signature import to_canonical
from envelope.usage import Usage
from orchestrators.flow.errors import InvalidFlow
from orchestrators.flow.layout import Layout, Part
from orchestrators.flow.node import Node
from orchestrators.flow.shared import shared_store
from orchestrators.flow.step import Step

Among = Literal["tenant", "user", "everybody"]
Vary = Callable[[RunContext, Any], Mapping[str, Any]]
_Whose = tuple[SharedStore | None, str, str]


class Cache(Node):
    """A step whose answer is kept: the same agent, version and input need no second execution.

    A kept envelope is recorded as this run's result, so that a replay has the same one; its usage
    is zero, for nothing was spent. Of several runs that ask at once, one executes the step and the
    others wait for its answer. Only the status `success` is kept. Answers are in this process's
    memory and in the `SharedStore`, where there is one. Never cache an agent that has an effect.

    Args:
        step: The step.
        ttl: Seconds that an answer is kept.
        max_size: How many answers this process keeps; the least recently used makes room.
        among: Who shares answers: the runs of one tenant, of one user of it, or everybody.
        vary: What else the answer depends on, as JSON; for a language model's answers
            `by_model(…)`.
        patience: Seconds to wait for another run's execution before doing it oneself. At least as
            long as the step takes.

    Raises:
        InvalidFlow: Something else than a Step is given, or a limit is out of range.
    """

    layout = Layout.FRAME

    def __init__(
        self,
        step: Step,
        *,
        ttl: float = 3_600.0,
        max_size: int = 1_024,
        among: Among = "tenant",
        vary: Vary | None = None,
        patience: float = 60.0,
    ) -> None:
        if not isinstance(step, Step):
            raise InvalidFlow(f"A Cache keeps the answers of a Step, not of {step!r}.")
        if among not in {"tenant", "user", "everybody"}:
            raise InvalidFlow(f"among= is 'tenant', 'user' or 'everybody', not {among!r}.")
        if not patience > 0:
            raise InvalidFlow(f"patience= is a number of seconds above 0, not {patience!r}.")
        self.step = step
        self.ttl = ttl
        try:
            self._answers = Answers(max_size, ttl, patience)
        except InvalidInput as problem:
            raise InvalidFlow(str(problem)) from None
        self._among = among
        self._vary = vary

    @property
    def label(self) -> str:
        """Says how long."""
        return f"cached for {self.ttl:g} s"

    @property
    def parts(self) -> Sequence[Part]:
        """The step."""
        return [Part(node=self.step)]

    @property
    def stats(self) -> CacheStats:
        """How often it was of use in this process."""
        return self._answers.stats

    def clear(self) -> None:
        """Forget what this process keeps; what processes share goes by its time."""
        self._answers.clear()

    async def __call__(self, ctx: RunContext, value: Any) -> Envelope:
        """Return the kept envelope, or the step's; errors as the step's."""
        key, token = self._key(ctx, value), str(ctx.uuid())
        whose = (shared_store(ctx), key, token)
        try:
            kept = await ctx.once(partial(self._look, whose))
            if kept is not None:
                ctx.emit("cache.hit", agent=self.step.agent, key=key)
                return _unpaid(Envelope.from_json(kept, max_bytes=None))
            return await self._made(ctx, value, whose)
        finally:
            self._answers.land(key, token)

    async def _look(self, whose: _Whose) -> str | None:
        """Ask for the answer, and tell that it is not there; a hit is told by its event."""
        kept = await self._answers.look(*whose)
        if kept is None:
            cache_asked("step", self.step.agent, hit=False)
        return kept

    async def _made(self, ctx: RunContext, value: Any, whose: _Whose) -> Envelope:
        """Execute the step, and keep what is worth keeping."""
        forget = partial(self._answers.give_up, *whose)
        try:
            made = await self.step(ctx, value)
        except Exception:
            await ctx.once(forget)
            raise
        text = made.to_json(max_bytes=None)
        keep = partial(self._answers.keep, *whose, text)
        await ctx.once(keep if made.status is Status.SUCCESS else forget)
        return made

    def _key(self, ctx: RunContext, value: Any) -> str:
        """Name the answer by all that it depends on, and by who may see it."""
        agent = AGENTS.get(self.step.agent)
        content = {
            "agent": agent.name,
            "version": agent.version,
            "request": to_canonical(self.step.request_of(value), agent.model),
            "tenant": None if self._among == "everybody" else ctx.tenant,
            "user": ctx.user if self._among == "user" else None,
            "vary": dict(self._vary(ctx, value)) if self._vary else {},
        }
        return f"cache:{agent.name}:{content_hash(content)}"


def by_model(**parameters: Any) -> Vary:
    """Return a `vary` for a language model's answers: the model that is set, and parameters.

    Args:
        parameters: What else changes the answers, such as `temperature=0`; JSON.
    """

    def vary(ctx: RunContext, _: Any) -> Mapping[str, Any]:
        model = ctx.resource(LanguageModel)  # type: ignore[type-abstract] # provided under its port
        return {"model": model.name, **parameters}

    return vary


def _unpaid(envelope: Envelope) -> Envelope:
    metadata = envelope.metadata.model_copy(update={"usage": Usage()})
    return envelope.model_copy(update={"metadata": metadata})
