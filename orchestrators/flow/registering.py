"""A node as a registered flow, and the node that a registered flow carries."""

from __future__ import annotations

import inspect
from typing import Any

from pydantic import BaseModel

from envelope.envelope import Envelope
from envelope.ports.context import RunContext
from envelope.registry import check_name
from orchestrators.definition import FlowDefinition, OnConflict
from orchestrators.flow.errors import InvalidFlow
from orchestrators.flow.node import Node, PlainFunction, as_node
from orchestrators.registry import FLOWS


class NodeFlow:
    """An orchestrator's function that runs a node.

    Attributes:
        node: The node.
    """

    def __init__(self, node: Node, name: str, module: str) -> None:
        self.node = node
        self.__module__ = module
        self.__qualname__ = f"flow_of({name!r})"
        self.__doc__ = None

    async def __call__(self, ctx: RunContext, request: BaseModel) -> Envelope:
        """Return what the node makes of the request."""
        made: Envelope = await self.node(ctx, request)
        return made


def flow_of(
    name: str,
    node: Node | PlainFunction,
    *,
    model: type[BaseModel],
    version: int = 1,
    singleton: str | None = None,
    on_conflict: OnConflict = "queue",
) -> NodeFlow:
    """Register a node as a flow, and return its function, as `@orchestrator` would.

    Args:
        name: Letters, digits, `_` and `-`.
        node: Gets the payload, and returns an `Envelope` in the end.
        model: The model of the payload.
        version: As `@orchestrator`.
        singleton: As `@orchestrator`.
        on_conflict: As `@orchestrator`.

    Raises:
        InvalidFlow: The name or the model is none.
        AlreadyRegistered: The name and version are taken.

    Example:
        >>> brief = flow_of("brief", research >> draft, model=Lead)
        >>> made = await run_inline(brief, {"company": "Acme"})
    """
    try:
        check_name(name, "flow")
    except ValueError as error:
        raise InvalidFlow(str(error)) from None
    if not (inspect.isclass(model) and issubclass(model, BaseModel)):
        raise InvalidFlow(f"Flow {name!r}: model= is the pydantic model of its payload.")
    function = NodeFlow(as_node(node), name, _caller())
    FLOWS.add(
        FlowDefinition(
            name=name,
            version=version,
            function=function,
            model=model,
            singleton=singleton,
            on_conflict=on_conflict,
        )
    )
    return function


def node_of(definition: FlowDefinition) -> Node | None:
    """Return the node that a flow is made of; None where it is a plain function."""
    node: Any = getattr(definition.function, "node", None)
    return node if isinstance(node, Node) else None


def _caller() -> str:
    """The module that registers: the same flow imported twice is no conflict, another one is."""
    frame = inspect.currentframe()
    caller = frame.f_back.f_back if frame and frame.f_back else None
    return str(caller.f_globals.get("__name__")) if caller else __name__
