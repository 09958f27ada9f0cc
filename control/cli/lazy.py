"""Commands that are imported when they are used.

Celery imports this package whenever any `celery` command starts: it must cost next to nothing.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, cast

import click


class LazyCommand(click.Group):
    """Stands for a command or group of another module.

    Args:
        name: What the user types.
        target: `module:attribute` of the real one.
        short_help: What the list of commands says.
    """

    def __init__(self, name: str, target: str, short_help: str) -> None:
        super().__init__(name=name, short_help=short_help)
        self._target = target

    @property
    def real(self) -> click.Command:
        """The command itself."""
        module, _, attribute = self._target.partition(":")
        return cast("click.Command", getattr(importlib.import_module(module), attribute))

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Parse the arguments by the real command; its context invokes it."""
        return self.real.make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Invoke the real command, to which the context belongs."""
        return ctx.command.invoke(ctx)


def lazy_commands(targets: Mapping[str, tuple[str, str]]) -> dict[str, click.Command]:
    """Return a stand-in for each name; a target is `module:attribute` and its short help."""
    return {name: LazyCommand(name, target, said) for name, (target, said) in targets.items()}
