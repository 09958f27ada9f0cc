"""A task's user prompt: text with the names of its input's fields in braces.

For a language model a name stays a name. The values travel beside the instructions, as fenced data,
so no value can become an instruction. `{{` and `}}` stand for braces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from string import Formatter
from typing import Any


def names_in(template: str) -> list[str]:
    """Return the names in braces, in their order.

    Raises:
        ValueError: The template is malformed, or holds more than plain names in braces.
    """
    return [name for _, name in _pieces(template) if name is not None]


def with_names(template: str) -> str:
    """Return the template with each name quoted: `{message}` becomes `task.message`."""
    return _filled(template, "`task.{}`".format)


def with_values(template: str, values: Mapping[str, Any]) -> str:
    """Return the template with each name replaced by its value as text.

    Only for a model that draws: it has no instructions besides the description.
    """
    return _filled(template, lambda name: str(values[name]))


def _filled(template: str, told: Callable[[str], str]) -> str:
    return "".join(
        literal if name is None else literal + told(name) for literal, name in _pieces(template)
    )


def _pieces(template: str) -> Iterator[tuple[str, str | None]]:
    for literal, name, form, conversion in Formatter().parse(template):
        if name is not None and (not name.isidentifier() or form or conversion):
            raise ValueError(f"{{{name}}} is not the plain name of a field")
        yield literal, name
