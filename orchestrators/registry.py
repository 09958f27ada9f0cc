"""The flows of this process, and the decorator that adds one."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from envelope.registry import Registry, check_name
from envelope.signature import SHAPE, input_model
from orchestrators.definition import FlowDefinition, OnConflict
from orchestrators.singleton import check_template

if TYPE_CHECKING:
    from orchestrators.flow.node import Node

F = TypeVar("F", bound=Callable[..., Any])

FLOWS: Registry[FlowDefinition] = Registry("flow")


def orchestrator(
    name: str,
    *,
    version: int = 1,
    singleton: str | None = None,
    on_conflict: OnConflict = "queue",
    drawing: Node | None = None,
) -> Callable[[F], F]:
    """Register the decorated `async def` as a flow; the function itself stays as it is.

    Args:
        name: Letters, digits, `_` and `-`.
        version: From 1. Raise it when the order of steps changes; keep the old one registered
            until its runs have ended.
        singleton: Template of a key of which one run at a time is active, such as
            `run:{user}:{thread}`. Fields are tenant, user, thread, flow, key, and those of the
            payload, as in `{payload.company}`. A template with {thread} leaves runs in no thread
            alone.
        on_conflict: What becomes of a run while another has its key: it waits in the queue
            (`queue`), is refused (`reject`), is that other one (`join`), or takes its place and
            cancels it (`replace`).
        drawing: The order of its steps, put together from nodes, for `muster flows show`. It is
            shown and never run.

    Raises:
        TypeError: The function is not `async def` or has not the shape
            `(ctx, request: SomeModel) -> Envelope`.
        InvalidInput: The template of the singleton key is wrong.
        AlreadyRegistered: The name and version are taken.
    """
    check_name(name, "flow")

    def register(function: F) -> F:
        if not inspect.iscoroutinefunction(function):
            raise TypeError(f"flow {name!r}: the orchestrator must be `async def` {SHAPE}")
        definition = FlowDefinition(
            name=name,
            version=version,
            function=function,
            model=input_model(function, "flow"),
            singleton=singleton,
            on_conflict=on_conflict,
            drawing=drawing,
        )
        check_template(definition)
        FLOWS.add(definition)
        return function

    return register
