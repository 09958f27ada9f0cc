"""One node out of several, by the value.

What decides is a pure function of the value. The value is recorded, or made of what is, so a replay
decides the same.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

from envelope.ports.context import RunContext
from orchestrators.flow.errors import InvalidFlow, NoSuchCase
from orchestrators.flow.layout import Layout, Part
from orchestrators.flow.node import Node, PlainFunction, as_node


class Conditional(Node):
    """One node if a test of the value holds, another one, or none, if not.

    Args:
        test: A pure function of the value.
        then: Runs where it holds.
        otherwise: Runs where it does not; without one the value passes unchanged.
        name: What the test is called; by default the function's name.

    Raises:
        InvalidFlow: The test is no plain function.
    """

    layout = Layout.CHOICE

    def __init__(
        self,
        test: Callable[[Any], bool],
        then: Node | PlainFunction,
        otherwise: Node | PlainFunction | None = None,
        *,
        name: str | None = None,
    ) -> None:
        self._name = name or _name(test)
        self._test = _pure(test, self._name)
        self.then = as_node(then)
        self.otherwise = None if otherwise is None else as_node(otherwise)

    @property
    def label(self) -> str:
        """The test's name, as a question."""
        return f"{self._name}?"

    @property
    def parts(self) -> Sequence[Part]:
        """Both ways."""
        ways = {"yes": self.then, "no": self.otherwise}
        return [Part(node=node, label=label) for label, node in ways.items() if node is not None]

    async def __call__(self, ctx: RunContext, value: Any) -> Any:
        """Return what the chosen node returns."""
        chosen = self.then if self._test(value) else self.otherwise
        return value if chosen is None else await chosen(ctx, value)


class Switch(Node):
    """The node whose case is what a function of the value returns.

    Args:
        select: A pure function of the value.
        cases: The nodes by what it returns.
        default: Runs where there is no such case.
        name: What the function is called; by default its own name.

    Raises:
        InvalidFlow: There is no case, or `select` is no plain function.
    """

    layout = Layout.CHOICE

    def __init__(
        self,
        select: Callable[[Any], Hashable],
        cases: Mapping[Any, Node | PlainFunction],
        *,
        default: Node | PlainFunction | None = None,
        name: str | None = None,
    ) -> None:
        self._name = name or _name(select)
        self._select = _pure(select, self._name)
        if not cases:
            raise InvalidFlow(f"Switch {self._name!r} needs at least one case.")
        self.cases = {case: as_node(node) for case, node in cases.items()}
        self.default = None if default is None else as_node(default)

    @property
    def label(self) -> str:
        """The function's name."""
        return self._name

    @property
    def parts(self) -> Sequence[Part]:
        """The cases, and the default last."""
        cases = [Part(node=node, label=str(case)) for case, node in self.cases.items()]
        return [*cases, *([Part(node=self.default, label="else")] if self.default else [])]

    async def __call__(self, ctx: RunContext, value: Any) -> Any:
        """Return what the chosen node returns.

        Raises:
            NoSuchCase: There is neither the case nor a default.
        """
        case = self._select(value)
        chosen = self.cases.get(case, self.default)
        if chosen is None:
            held = ", ".join(repr(known) for known in self.cases)
            raise NoSuchCase(
                f"Switch {self._name!r} has no case {case!r} and no default. Cases: {held}."
            )
        return await chosen(ctx, value)


def _pure(function: Callable[[Any], Any], name: str) -> Callable[[Any], Any]:
    if not callable(function) or inspect.iscoroutinefunction(function):
        raise InvalidFlow(
            f"{name!r} decides a way: give a plain function of the value. What needs the outside "
            "is a step before it."
        )
    return function


def _name(function: object) -> str:
    name: str = getattr(function, "__name__", type(function).__name__)
    return "test" if name == "<lambda>" else name
