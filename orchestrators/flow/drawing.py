"""A flow as a picture: text for a terminal, Mermaid for everything else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import count

from orchestrators.flow.layout import Layout, Part
from orchestrators.flow.node import Node

_SHAPES = {Layout.LEAF: ("[", "]"), Layout.CHOICE: ("{", "}"), Layout.FORK: ("([", "])")}

_ENTITIES = {"#": "#35;", "&": "#amp;", '"': "#quot;", "<": "#lt;", "\n": " "}

Edge = tuple[str, str]
"""A box, and what is written on the arrow that leaves it."""


def tree(node: Node) -> str:
    """Return the flow as text, one node a line.

    Example:
        >>> print(tree(research >> draft))
        in order
        ├─ research
        └─ draft
    """
    return "\n".join([node.label, *_below(node.parts, "")])


def _below(parts: Sequence[Part], indent: str) -> Iterator[str]:
    for number, part in enumerate(parts, 1):
        last = number == len(parts)
        yield f"{indent}{'└─ ' if last else '├─ '}{_line(part)}"
        deeper = f"{indent}{'   ' if last else '│  '}"
        yield from _below(part.node.parts, deeper)
        if part.undo is not None:
            yield f"{deeper}↩ {part.undo.label}"
            yield from _below(part.undo.parts, f"{deeper}  ")


def _line(part: Part) -> str:
    after = f" (after {', '.join(part.after)})" if part.after else ""
    return f"{_named(part.node, part.label)}{after}"


def _named(node: Node, name: str) -> str:
    return node.label if name in {"", node.label, node.title} else f"{name}: {node.label}"


def mermaid(node: Node) -> str:
    """Return the flow as a Mermaid flowchart (https://mermaid.js.org/syntax/flowchart.html)."""
    chart = _Chart()
    chart.draw(node, [])
    return "\n".join(["flowchart TD", *chart.lines]) + "\n"


class _Chart:
    """Draws one node after the other. Drawing a node takes the arrows that lead to it and returns
    those that leave it.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._numbers = count(1)
        self._depth = 1

    def draw(self, node: Node, coming: Sequence[Edge], name: str = "") -> list[Edge]:
        """Draw a node, with its name in what holds it; return the arrows that leave it."""
        match node.layout:
            case Layout.CHAIN:
                return self._chain(node.parts, coming)
            case Layout.FORK | Layout.CHOICE:
                return self._ways(node, coming)
            case Layout.FRAME | Layout.NET | Layout.UNDO:
                return self._framed(node, coming)
            case _:
                return [(self._box(node, coming, name), "")]

    def _chain(self, parts: Iterable[Part], coming: Sequence[Edge]) -> list[Edge]:
        arrows = list(coming)
        for part in parts:
            arrows = self.draw(part.node, arrows)
        return arrows

    def _ways(self, node: Node, coming: Sequence[Edge]) -> list[Edge]:
        box = self._box(node, coming)
        leaving = [
            arrow for part in node.parts for arrow in self.draw(part.node, [(box, part.label)])
        ]
        passes = node.layout is Layout.CHOICE and [part.label for part in node.parts] == ["yes"]
        return [*leaving, *([(box, "no")] if passes else [])]

    def _framed(self, node: Node, coming: Sequence[Edge]) -> list[Edge]:
        self._line(f'subgraph n{next(self._numbers)}["{_quoted(node.label)}"]')
        self._depth += 1
        if node.layout is Layout.NET:
            leaving = self._net(node.parts, coming)
        elif node.layout is Layout.UNDO:
            leaving = self._undoing(node.parts, coming)
        else:
            leaving = self._chain(node.parts, coming)
        self._depth -= 1
        self._line("end")
        return leaving

    def _net(self, parts: Sequence[Part], coming: Sequence[Edge]) -> list[Edge]:
        """Draw each step after those that it depends on."""
        leaving: dict[str, list[Edge]] = {}
        waiting = list(parts)
        while waiting:
            part = next(part for part in waiting if all(name in leaving for name in part.after))
            waiting.remove(part)
            before = [arrow for name in part.after for arrow in leaving[name]]
            leaving[part.label] = self.draw(part.node, before or coming, part.label)
        depended_on = {name for part in parts for name in part.after}
        ends = [part.label for part in parts if part.label not in depended_on]
        return [arrow for name in ends for arrow in leaving[name]]

    def _undoing(self, parts: Sequence[Part], coming: Sequence[Edge]) -> list[Edge]:
        arrows = list(coming)
        for part in parts:
            arrows = self.draw(part.node, arrows, part.label)
            if part.undo is not None:
                undo = self._box(part.undo, [])
                for box, _ in arrows:
                    self._line(f"{box} -. undo .-> {undo}")
        return arrows

    def _box(self, node: Node, coming: Sequence[Edge], name: str = "") -> str:
        box = f"n{next(self._numbers)}"
        before, after = _SHAPES.get(node.layout, ("[", "]"))
        self._line(f'{box}{before}"{_quoted(_named(node, name))}"{after}')
        for other, label in coming:
            arrow = f'-->|"{_quoted(label)}"|' if label else "-->"
            self._line(f"{other} {arrow} {box}")
        return box

    def _line(self, text: str) -> None:
        self.lines.append("    " * self._depth + text)


def _quoted(text: str) -> str:
    return "".join(_ENTITIES.get(char, char) for char in text)
