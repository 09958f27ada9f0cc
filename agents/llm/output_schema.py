"""The JSON schema that a model's output has to fit, and the reading of that output."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, TypeVar

from openai import pydantic_function_tool
from pydantic import BaseModel, ValidationError

M = TypeVar("M", bound=BaseModel)

_NOT_A_NAME = re.compile(r"[^A-Za-z0-9_-]")
_NAME_LIMIT = 64
_MOST_PROBLEMS = 8
_REFUSED = frozenset({"default", "minLength", "maxLength", "uniqueItems", "examples"})
_NAMES_BELOW = frozenset({"properties", "$defs"})
_SAYS_KIND = frozenset({"type", "anyOf", "allOf", "$ref", "enum", "const"})
_OPEN = frozenset({"oneOf", "prefixItems", "patternProperties"})
_CODE_FENCE = re.compile(r"\A\s*```(?:json)?\s*\n(?P<inside>.*)\n\s*```\s*\Z", re.DOTALL)


@dataclass(frozen=True, slots=True)
class OutputSchema:
    """A pydantic model's schema in the strict form that OpenAI asks for.

    Attributes:
        name: The schema's name for the provider.
        strict: The schema: every property required, none besides.
        is_closed: Whether it can be asked for strictly. Objects with free keys, such as a
            `dict[str, int]`, cannot: the model is told the schema and held to it afterwards.
    """

    name: str
    strict: dict[str, Any]
    is_closed: bool = True

    @classmethod
    def of(cls, output: type[BaseModel], name: str | None = None) -> OutputSchema:
        """Make it, under the model's name where none is given; the SDK knows the strict form."""
        function = pydantic_function_tool(output)["function"]
        told = _NOT_A_NAME.sub("_", name or output.__name__)[:_NAME_LIMIT]
        schema = _allowed(function["parameters"])
        return cls(told, schema, _is_closed(schema))

    def in_words(self) -> str:
        """Say the schema to a server that may ignore the structured one."""
        return (
            "Answer with one JSON object and nothing else. It must fit this JSON schema:\n"
            f"{json.dumps(self.strict, sort_keys=True)}"
        )


@dataclass(frozen=True, slots=True)
class Misfit:
    """What is wrong with an output, for the model that wrote it."""

    problem: str


def _allowed(schema: Any) -> Any:
    """Drop the keywords that the strict form refuses; pydantic still checks them afterwards."""
    if not isinstance(schema, dict):
        return [_allowed(part) for part in schema] if isinstance(schema, list) else schema
    return {
        key: {name: _allowed(part) for name, part in value.items()}
        if key in _NAMES_BELOW
        else _allowed(value)
        for key, value in schema.items()
        if key not in _REFUSED
    }


def _is_closed(schema: Any) -> bool:
    """Whether every part of it says what it is, and no object has keys that are not listed."""
    if not isinstance(schema, dict) or not _SAYS_KIND & set(schema) or _OPEN & set(schema):
        return False
    if schema.get("type") == "object" and schema.get("additionalProperties") is not False:
        return False
    if schema.get("type") == "array" and "items" not in schema:
        return False
    named = (part for key in _NAMES_BELOW for part in schema.get(key, {}).values())
    listed = (part for key in ("anyOf", "allOf") for part in schema.get(key, ()))
    items = [schema["items"]] if "items" in schema else []
    return all(map(_is_closed, [*named, *listed, *items]))


def read_output(text: str, output: type[M], *, strict: bool | None = None) -> M | Misfit:
    """Validate a model's text; a code fence around it is taken off.

    Args:
        text: What the model wrote.
        output: The model to fill.
        strict: Whether a `"7"` is no number; None leaves it to the model's own configuration.
    """
    fenced = _CODE_FENCE.match(text)
    try:
        return output.model_validate_json(fenced["inside"] if fenced else text, strict=strict)
    except ValidationError as problem:
        errors = problem.errors(include_url=False, include_input=False)[:_MOST_PROBLEMS]
        return Misfit("; ".join(_said(error["loc"], error["msg"]) for error in errors))


def _said(location: tuple[int | str, ...], message: str) -> str:
    where = ".".join(str(part) for part in location)
    return f"{where}: {message}" if where else message
