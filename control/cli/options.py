"""Options that several commands share."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import click

from envelope.errors import InvalidInput, TooLarge

F = TypeVar("F", bound=Callable[..., Any])

_MOST_CHARACTERS = 64 * 1024 * 1024

json_option: Callable[[F], F] = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON alone on stdout."
)
tag_option: Callable[[F], F] = click.option(
    "--tag", "tags", multiple=True, metavar="NAME=VALUE", help="A tag; repeat for several."
)


def keep_options(command: F) -> F:
    """Add what a repetition takes over, as `from_step` and `keep`."""
    command = click.option(
        "--from-scratch", "keep", flag_value=False, default=True, help="Repeat every step."
    )(command)
    return click.option(
        "--from", "from_step", metavar="STEP", help="Repeat this step and all after it."
    )(command)


def parsed_tags(given: Iterable[str]) -> dict[str, str]:
    """Read `name=value` pairs.

    Raises:
        click.BadParameter: One has no `=`.
    """
    tags = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"{text!r} is not NAME=VALUE.", param_hint="--tag")
        tags[name] = value
    return tags


def parsed_payload(given: str) -> dict[str, Any]:
    """Read a payload: JSON, `@FILE`, or `-` for standard input.

    Raises:
        InvalidInput: It cannot be read, or is not a JSON object.
        TooLarge: It is far beyond any cap.
    """
    value, name = _parsed(given, "The payload")
    if not isinstance(value, dict):
        raise InvalidInput(f"{name} is not a JSON object but {_kind(value)}.")
    return value


def parsed_data(given: str) -> Any:
    """Read a signal's data: any JSON, `@FILE`, or `-`; errors as `parsed_payload`."""
    return _parsed(given, "The data")[0]


def _parsed(given: str, what: str) -> tuple[Any, str]:
    text, name = _text(given, what)
    if len(text) > _MOST_CHARACTERS:
        raise TooLarge(f"{name} has more than {_MOST_CHARACTERS:,} characters.")
    try:
        return json.loads(text), name
    except RecursionError:
        raise InvalidInput(f"{name} is nested too deeply.") from None
    except ValueError as error:
        raise InvalidInput(f"{name} is not JSON: {error}.") from None


def _text(given: str, what: str) -> tuple[str, str]:
    if given == "-":
        return _decoded(sys.stdin.buffer.read(_MOST_CHARACTERS + 1), "The standard input")
    if not given.startswith("@"):
        return given, what
    path = Path(given[1:])
    try:
        with path.open("rb") as file:
            return _decoded(file.read(_MOST_CHARACTERS + 1), f"The file {path}")
    except OSError as error:
        raise InvalidInput(f"Cannot read {path}: {error.strerror}.") from None


def _decoded(content: bytes, name: str) -> tuple[str, str]:
    try:
        return content.decode("utf-8-sig"), name
    except UnicodeDecodeError:
        raise InvalidInput(f"{name} is not UTF-8 text.") from None


def _kind(value: object) -> str:
    return {list: "a list", str: "a text", bool: "a truth value", type(None): "null"}.get(
        type(value), "a number"
    )
