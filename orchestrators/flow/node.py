"""What flows are put together from: nodes, and the two operators `>>` and `|`.

>>> research >> draft            # one after the other
>>> facts | news | prices        # at once; the result is the list of theirs
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, ClassVar

from envelope.ports.context import OnError, RunContext
from orchestrators.flow.errors import InvalidFlow
from orchestrators.flow.failures import as_envelope, handles
from orchestrators.flow.layout import Layout, Part
from orchestrators.flow.places import Work
from orchestrators.flow.together import BranchWork, run_together

PlainFunction = Callable[[Any, Any], Awaitable[Any]]
"""`async def` with the parameters `(ctx, value)`, which returns the next value."""


class Node(ABC):
    """A piece of a flow: takes a value, returns the next one. Whatever it awaits is durable.

    A node holds no state of a run: one object serves all runs at once.
    """

    layout: ClassVar[Layout]

    @property
    @abstractmethod
    def label(self) -> str:
        """What it is called in drawings and messages."""

    @property
    def title(self) -> str:
        """What others call it: the label, and of a frame what it is around."""
        return self.parts[0].node.title if self.layout is Layout.FRAME else self.label

    @property
    def parts(self) -> Sequence[Part]:
        """The nodes that it is made of."""
        return ()

    @abstractmethod
    async def __call__(self, ctx: RunContext, value: Any) -> Any:
        """Return what becomes of `value`."""

    def __rshift__(self, other: Node | PlainFunction) -> Sequential:
        return Sequential(self, other)

    def __rrshift__(self, other: PlainFunction) -> Sequential:
        return Sequential(other, self)

    def __or__(self, other: Node | PlainFunction) -> Parallel:
        return Parallel(*_branches(self), *_branches(other))

    def __ror__(self, other: PlainFunction) -> Parallel:
        return Parallel(other, *_branches(self))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.label!r}>"


class Function(Node):
    """A plain `async def` as a node. It may call agents with the context that it gets.

    Args:
        function: Takes the context and the value, returns the next value.
        name: What it is called; by default the function's name.

    Raises:
        InvalidFlow: It is not `async def` with two parameters.
    """

    layout = Layout.LEAF

    def __init__(self, function: PlainFunction, name: str | None = None) -> None:
        self._name = name or str(getattr(function, "__name__", type(function).__name__))
        if not _is_async(function):
            raise InvalidFlow(f"{self._name!r} is no part of a flow: write it as {_SHAPE}.")
        try:
            inspect.signature(function).bind(None, None)
        except TypeError:
            raise InvalidFlow(f"{self._name!r} takes other parameters than {_SHAPE}.") from None
        self._function = function

    @property
    def label(self) -> str:
        """The function's name."""
        return self._name

    async def __call__(self, ctx: RunContext, value: Any) -> Any:
        """Return what the function returns."""
        return await self._function(ctx, value)


_SHAPE = "`async def name(ctx, value)`"


def as_node(thing: Node | PlainFunction) -> Node:
    """Return `thing` if it is a node, or the plain function made one.

    Raises:
        InvalidFlow: It is neither.
    """
    if isinstance(thing, Node):
        return thing
    if not callable(thing):
        raise InvalidFlow(f"{thing!r} is no part of a flow: give a node or {_SHAPE}.")
    return Function(thing)


class Sequential(Node):
    """Nodes one after the other: each gets what the one before returned. Written `a >> b`.

    Args:
        nodes: At least one; a sequence among them is taken apart.

    Raises:
        InvalidFlow: There is none, or one is no node.
    """

    layout = Layout.CHAIN

    def __init__(self, *nodes: Node | PlainFunction) -> None:
        if not nodes:
            raise InvalidFlow("A Sequential needs at least one node.")
        self.nodes = tuple(link for node in nodes for link in _links(as_node(node)))

    @property
    def label(self) -> str:
        """Says that it is a sequence."""
        return "in order"

    @property
    def title(self) -> str:
        """From its first node to its last."""
        first, last = self.nodes[0], self.nodes[-1]
        return first.title if first is last else f"{first.title} … {last.title}"

    @property
    def parts(self) -> Sequence[Part]:
        """The nodes in order."""
        return [Part(node=node) for node in self.nodes]

    async def __call__(self, ctx: RunContext, value: Any) -> Any:
        """Return what the last node returns."""
        for node in self.nodes:
            value = await node(ctx, value)
        return value


class Parallel(Node):
    """Nodes at once, each with the same value; the result is the list of theirs. Written `a | b`.

    Args:
        nodes: At least one.
        limit: How many are under way at once; None for all.
        on_error: `raise`: the first failure cancels the others and is raised, and a replay raises
            the very same. `collect`: an envelope of status `error` stands for each that failed.

    Raises:
        InvalidFlow: There is no node, one is none, or the limit is below 1.
    """

    layout = Layout.FORK

    def __init__(
        self,
        *nodes: Node | PlainFunction,
        limit: int | None = None,
        on_error: OnError = "raise",
    ) -> None:
        if not nodes:
            raise InvalidFlow("A Parallel needs at least one node.")
        if limit is not None and limit < 1:
            raise InvalidFlow(f"A Parallel's limit is at least 1, not {limit}.")
        if on_error not in {"raise", "collect"}:
            raise InvalidFlow(f"A Parallel's on_error is 'raise' or 'collect', not {on_error!r}.")
        self.nodes = tuple(map(as_node, nodes))
        self.limit = limit
        self.on_error = on_error

    @property
    def label(self) -> str:
        """Says how many at once."""
        limit = f", {self.limit} at a time" if self.limit else ""
        return f"at once{limit}{', failures collected' if self.on_error == 'collect' else ''}"

    @property
    def parts(self) -> Sequence[Part]:
        """The branches."""
        return [Part(node=node) for node in self.nodes]

    @property
    def is_plain(self) -> bool:
        """Whether `|` may add branches to it."""
        return self.limit is None and self.on_error == "raise"

    async def __call__(self, ctx: RunContext, value: Any) -> list[Any]:
        """Return the results in the order of the nodes."""
        works = {
            str(number): self._branch(ctx, node, value) for number, node in enumerate(self.nodes)
        }
        made = await run_together(ctx, works, limit=self.limit)
        return list(made.values())

    def _branch(self, ctx: RunContext, node: Node, value: Any) -> BranchWork[Any]:
        async def work(_: Mapping[str, Any]) -> Any:
            try:
                return await node(ctx, value)
            except Exception as error:
                if self.on_error == "raise" or not handles(Exception, error):
                    raise
                return as_envelope(error, node.title)

        return work


def calling(node: Node, ctx: RunContext, value: Any) -> Work[Any]:
    """Return the call of a node as work that is yet to begin."""
    return lambda: node(ctx, value)


def _links(node: Node) -> Sequence[Node]:
    return node.nodes if isinstance(node, Sequential) else (node,)


def _branches(thing: Node | PlainFunction) -> Sequence[Node]:
    node = as_node(thing)
    return node.nodes if isinstance(node, Parallel) and node.is_plain else (node,)


def _is_async(function: object) -> bool:
    """An object whose class defines `async def __call__` is as good as a function."""
    call = vars(type(function)).get("__call__")
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)
