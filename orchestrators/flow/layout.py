"""How the parts of a node hang together: all that a drawing needs to know of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrators.flow.node import Node


class Layout(Enum):
    """How they hang together."""

    LEAF = auto()
    CHAIN = auto()  # one after the other
    FORK = auto()  # all at once
    CHOICE = auto()  # one of them, or the next when one fails
    FRAME = auto()  # around its one part
    NET = auto()  # by what each part comes after
    UNDO = auto()  # a chain, each with what undoes it


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A node within another.

    Attributes:
        node: The part.
        label: What leads to it, such as `yes` or the name of a step of a graph.
        after: Labels of the parts that come before it, where the layout is `NET`.
        undo: What undoes it, where the layout is `UNDO`.
    """

    node: Node
    label: str = ""
    after: tuple[str, ...] = ()
    undo: Node | None = None
