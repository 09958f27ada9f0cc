"""A node that is left alone for a while when it fails too often, in all runs of the cluster."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from envelope.errors import Unavailable
from envelope.ports.context import RunContext
from orchestrators.flow.circuit import Circuit, CircuitPolicy, CircuitState, Pass
from orchestrators.flow.errors import CircuitOpen, InvalidFlow
from orchestrators.flow.failures import Filters, checked_filters, handles, may_pass
from orchestrators.flow.layout import Layout, Part
from orchestrators.flow.node import Node, PlainFunction, as_node, calling
from orchestrators.flow.places import apart
from orchestrators.flow.process_store import ProcessStore
from orchestrators.flow.shared import shared_store

T = TypeVar("T")


class CircuitBreaker(Node):
    """A node that fails at once while it is known to fail.

    Closed, open, half open: see `CircuitPolicy`. Whether a call passed is recorded: a replay of a
    run does not ask again. While the shared store is away, everything passes. Where the process
    provides no `SharedStore`, the state is this object's own.

    Args:
        node: What is guarded.
        name: Breakers of one name share their state; by default the node's title.
        policy: When it opens and closes.
        on: Which failures count; others are answers. By default all but those that are the
            caller's own fault, such as wrong input.

    Raises:
        InvalidFlow: The name is empty, or `on` is no filter.
    """

    layout = Layout.FRAME

    def __init__(
        self,
        node: Node | PlainFunction,
        *,
        name: str | None = None,
        policy: CircuitPolicy | None = None,
        on: Filters = may_pass,
    ) -> None:
        self.node = as_node(node)
        self.name = self.node.title if name is None else name
        if not self.name:
            raise InvalidFlow("A CircuitBreaker needs a name.")
        self.policy = policy or CircuitPolicy()
        self._on = checked_filters(on, f"CircuitBreaker {self.name!r}")
        self._here = ProcessStore()

    @property
    def label(self) -> str:
        """Its name, and when it opens."""
        return f"breaker {self.name}: opens after {self.policy.failures} failures"

    @property
    def parts(self) -> Sequence[Part]:
        """What is guarded."""
        return [Part(node=self.node)]

    async def state(self, ctx: RunContext) -> CircuitState:
        """Return the state now; `closed` while nobody knows. Not recorded: see `ctx.once`."""
        return await self._ask(ctx, self._circuit(ctx).look, CircuitState.CLOSED)

    async def __call__(self, ctx: RunContext, value: Any) -> Any:
        """Return what the node returns.

        Raises:
            CircuitOpen: It is open.
        """
        used = Pass.of(await ctx.once(lambda: self._pass(ctx)))
        if used.state is CircuitState.OPEN:
            raise CircuitOpen(self.name, self.policy.open_seconds)
        try:
            made = await apart(ctx, calling(self.node, ctx, value))
        except Exception as error:
            if handles(self._on, error):
                await self._failed(ctx, used)
            else:
                await self._answered(ctx, used)
            raise
        await self._answered(ctx, used)
        return made

    def _circuit(self, ctx: RunContext) -> Circuit:
        return Circuit(shared_store(ctx) or self._here, self.name, self.policy)

    async def _pass(self, ctx: RunContext) -> list[str | None]:
        used = await self._ask(ctx, self._circuit(ctx).ask, Pass(CircuitState.CLOSED))
        return used.to_json()

    async def _failed(self, ctx: RunContext, used: Pass) -> None:
        """Tell it once, however often this is replayed."""
        circuit = self._circuit(ctx)
        if await ctx.once(lambda: self._ask(ctx, lambda: circuit.failed(used), default=False)):
            ctx.emit("breaker.opened", breaker=self.name, seconds=self.policy.open_seconds)

    async def _answered(self, ctx: RunContext, used: Pass) -> None:
        """A trial that is answered closes the breaker; a call through a closed one is no news."""
        if used.state is CircuitState.HALF_OPEN:
            circuit = self._circuit(ctx)
            await ctx.once(lambda: self._ask(ctx, lambda: circuit.succeeded(used), None))

    async def _ask(self, ctx: RunContext, ask: Callable[[], Awaitable[T]], default: T) -> T:
        """A breaker protects; it must not be what fails."""
        try:
            return await ask()
        except Unavailable as error:
            ctx.log.warning("breaker.store_away", breaker=self.name, error=str(error))
            return default
