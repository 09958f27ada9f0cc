"""Another way when one fails."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from envelope.ports.context import RunContext
from orchestrators.flow.errors import InvalidFlow
from orchestrators.flow.failures import Filters, checked_filters, handles, may_pass
from orchestrators.flow.layout import Layout, Part
from orchestrators.flow.node import Node, PlainFunction, as_node, calling
from orchestrators.flow.places import apart


class Fallback(Node):
    """The first node that succeeds, tried in order with the same value.

    Args:
        nodes: At least two.
        on: Which failures the next node makes good; others are raised. By default all but those
            that no other way can mend, such as wrong input.

    Raises:
        InvalidFlow: There are fewer than two nodes, or `on` is no filter.
    """

    layout = Layout.CHOICE

    def __init__(self, *nodes: Node | PlainFunction, on: Filters = may_pass) -> None:
        if len(nodes) < 2:  # noqa: PLR2004 - one and another
            raise InvalidFlow("A Fallback needs a node, and another one for when it fails.")
        self.nodes = tuple(map(as_node, nodes))
        self._on = checked_filters(on, "Fallback")

    @property
    def label(self) -> str:
        """Says that the first success counts."""
        return "first that succeeds"

    @property
    def parts(self) -> Sequence[Part]:
        """The nodes in the order in which they are tried."""
        return [Part(node=node, label=str(number)) for number, node in enumerate(self.nodes, 1)]

    async def __call__(self, ctx: RunContext, value: Any) -> Any:
        """Return what the first node that succeeds returns; raise what the last one raised."""
        *others, last = self.nodes
        for node in others:
            try:
                return await apart(ctx, calling(node, ctx, value))
            except Exception as error:
                if not handles(self._on, error):
                    raise
                ctx.log.warning("fallback.next", failed=node.title, error=str(error))
        return await apart(ctx, calling(last, ctx, value))
