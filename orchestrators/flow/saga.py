"""Actions that are undone when a later one fails, or when the run is cancelled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from envelope.ports.context import RunContext
from orchestrators.flow.errors import InvalidFlow
from orchestrators.flow.layout import Layout, Part
from orchestrators.flow.node import Node, PlainFunction, as_node
from orchestrators.flow.places import apart
from orchestrators.flow.saga_execution import Act, SagaExecution

Pair = tuple[Node | PlainFunction, Node | PlainFunction | None]


class Saga(Node):
    """Actions in order, each with what undoes it.

    Each action gets what the one before returned. When an action fails, or the saga is cancelled,
    the compensations of those before run in reverse order, and each gets an `Undo`. One that fails
    does not stop the others. An action that was interrupted by a cancellation is undone as well,
    for nobody can know whether it took effect; its `Undo.result` is None. An action that failed is
    not: it has to leave nothing behind.

    A cancellation does not interrupt a compensation. After a crash everything goes on where it was.

    Args:
        pairs: `(action, compensation)`; None where there is nothing to undo.
        name: What the saga is called in errors and drawings.

    Raises:
        InvalidFlow: There is no pair, or something is no pair of nodes.

    Example:
        >>> Saga((book, unbook), (charge, refund), (confirm, None), name="order")
    """

    layout = Layout.UNDO

    def __init__(self, *pairs: Pair, name: str = "saga") -> None:
        if not pairs:
            raise InvalidFlow(f"Saga {name!r} needs at least one pair of action and compensation.")
        self.name = name
        self.acts = tuple(_acts(pairs, name))

    @property
    def label(self) -> str:
        """Its name."""
        return self.name

    @property
    def parts(self) -> Sequence[Part]:
        """The actions, with what undoes them."""
        return [Part(node=act.do, label=act.name, undo=act.undo) for act in self.acts]

    async def __call__(self, ctx: RunContext, value: Any) -> Any:
        """Return what the last action returns.

        Raises:
            SagaFailed: An action failed; or the saga was cancelled and not everything was undone.
            asyncio.CancelledError: The saga was cancelled, and everything was undone.
        """
        return await apart(ctx, lambda: SagaExecution(self.name, self.acts, ctx, value).run())


def _acts(pairs: Sequence[Pair], saga: str) -> list[Act]:
    acts: list[Act] = []
    for pair in pairs:
        if not isinstance(pair, tuple) or len(pair) != 2:  # noqa: PLR2004 - a pair
            raise InvalidFlow(
                f"Saga {saga!r} takes pairs (action, compensation), not {pair!r}. "
                "Write (action, None) where there is nothing to undo."
            )
        do, undo = as_node(pair[0]), None if pair[1] is None else as_node(pair[1])
        taken = any(act.name == do.title for act in acts)
        name = f"{do.title} {len(acts) + 1}" if taken else do.title
        acts.append(Act(name=name, do=do, undo=undo))
    return acts
