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
_CODE_FENCE = re.compile(r"\A\s*```(?:json)?\s*\n(?P<inside>.*)\n\s*```\s*\Z", re.DOTALL)


@dataclass(frozen=True, slots=True)
class OutputSchema:
    """A pydantic model's schema in the strict form that OpenAI asks for.

    Attributes:
        name: The schema's name for the provider.
        strict: The schema: every property required, none besides.
    """

    name: str
    strict: dict[str, Any]

    @classmethod
    def of(cls, output: type[BaseModel]) -> OutputSchema:
        """Make it; the SDK knows the strict form."""
        function = pydantic_function_tool(output)["function"]
        name = _NOT_A_NAME.sub("_", output.__name__)[:_NAME_LIMIT]
        return cls(name, _allowed(function["parameters"]))

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


def read_output(text: str, output: type[M]) -> M | Misfit:
    """Validate a model's text; a code fence around it is taken off."""
    fenced = _CODE_FENCE.match(text)
    try:
        return output.model_validate_json(fenced["inside"] if fenced else text)
    except ValidationError as problem:
        errors = problem.errors(include_url=False, include_input=False)[:_MOST_PROBLEMS]
        return Misfit("; ".join(_said(error["loc"], error["msg"]) for error in errors))


def _said(location: tuple[int | str, ...], message: str) -> str:
    where = ".".join(str(part) for part in location)
    return f"{where}: {message}" if where else message
