"""Steps with dependencies: independent ones at once, outputs passed on."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

from envelope.ports.context import RunContext
from orchestrators.flow.errors import CyclicGraph, InvalidFlow, UnknownDependency
from orchestrators.flow.layout import Layout, Part
from orchestrators.flow.node import Node, PlainFunction, as_node
from orchestrators.flow.together import BranchWork, run_together


@dataclass(frozen=True, slots=True)
class Given(Mapping[str, Any]):
    """What a step that depends on others gets: the graph's own value, and their outputs by name.

    Example:
        >>> def asked(given: Given) -> dict[str, Any]:
        ...     return {"facts": [fact.model_dump(mode="json") for fact in given["facts"].records]}
        >>> draft = Step("copywriter", request=asked)
    """

    value: Any
    outputs: Mapping[str, Any]

    def __getitem__(self, name: str) -> Any:
        """Return the output of a step that is depended on."""
        return self.outputs[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.outputs)

    def __len__(self) -> int:
        return len(self.outputs)


class After:
    """A node of a graph with the names of the steps that come before it.

    Example:
        >>> Graph({"facts": facts, "news": news, "draft": After("facts", "news", do=draft)})
    """

    def __init__(self, *names: str, do: Node | PlainFunction) -> None:
        self.names = names
        self.node = as_node(do)


class Graph(Node):
    """Steps by name. Each begins when all that it depends on are done.

    A step without dependencies gets the graph's value, one with dependencies gets `Given`. The
    first failure cancels the others and is raised, in a replay too.

    Args:
        steps: The nodes by name; those that depend on others within `After`.
        result: The step whose output is the graph's. Without it the result is a dict of all.
        limit: How many are under way at once; None for all that can be.

    Raises:
        UnknownDependency: A dependency, or `result`, is no step of this graph.
        CyclicGraph: Steps depend on one another in a circle.
        InvalidFlow: There is no step, or the limit is below 1.
    """

    layout = Layout.NET

    def __init__(
        self,
        steps: Mapping[str, Node | PlainFunction | After],
        *,
        result: str | None = None,
        limit: int | None = None,
    ) -> None:
        if not steps:
            raise InvalidFlow("A Graph needs at least one step.")
        if limit is not None and limit < 1:
            raise InvalidFlow(f"A Graph's limit is at least 1, not {limit}.")
        placed = {
            name: step if isinstance(step, After) else After(do=step)
            for name, step in steps.items()
        }
        self.after = {name: step.names for name, step in placed.items()}
        self.nodes = {name: step.node for name, step in placed.items()}
        self.result = result
        self.limit = limit
        _check_known(self.after, result)
        _check_acyclic(self.after)

    @property
    def label(self) -> str:
        """Says how many steps."""
        return f"graph of {len(self.nodes)}"

    @property
    def parts(self) -> Sequence[Part]:
        """The steps by name."""
        return [
            Part(node=node, label=name, after=self.after[name]) for name, node in self.nodes.items()
        ]

    async def __call__(self, ctx: RunContext, value: Any) -> Any:
        """Return the output of `result`, or all outputs by name."""
        works = {name: self._work(ctx, name, value) for name in self.nodes}
        made = await run_together(ctx, works, after=self.after, limit=self.limit)
        return made if self.result is None else made[self.result]

    def _work(self, ctx: RunContext, name: str, value: Any) -> BranchWork[Any]:
        async def work(outputs: Mapping[str, Any]) -> Any:
            given = Given(value, outputs) if self.after[name] else value
            return await self.nodes[name](ctx, given)

        return work


def _check_known(after: Mapping[str, Sequence[str]], result: str | None) -> None:
    for name, dependencies in after.items():
        for dependency in dependencies:
            if dependency not in after:
                raise UnknownDependency(
                    f"Step {name!r} depends on {dependency!r}, which is no step of this graph."
                    f"{_hint(dependency, after)}"
                )
    if result is not None and result not in after:
        raise UnknownDependency(
            f"The graph's result is {result!r}, which is no step of it.{_hint(result, after)}"
        )


def _check_acyclic(after: Mapping[str, Sequence[str]]) -> None:
    try:
        TopologicalSorter(after).prepare()
    except CycleError as error:
        circle = " → ".join(repr(name) for name in error.args[1])
        raise CyclicGraph(
            f"Steps of the graph wait for one another: {circle}. Each arrow reads 'comes before'; "
            "take one of these dependencies out."
        ) from None


def _hint(name: str, known: Mapping[str, object]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f" Steps: {', '.join(known)}." + (f" Did you mean {near[0]!r}?" if near else "")
