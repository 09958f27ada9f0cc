"""Fills any output model from its JSON schema with sentences of the documents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from agents.llm.port import Prompt
from agents.llm.sentences import sentences

_DEEPEST = 8
_TEXT_LIMIT = 600

Schema = Mapping[str, Any]


def fill(output: type[BaseModel], prompt: Prompt) -> dict[str, Any]:
    """Return values for the fields of `output`.

    Texts are whole sentences of the documents as far as the schema's length allows; choices are
    the first one, numbers the smallest, lists as short as they may be.
    """
    schema = output.model_json_schema()
    said = [text for document in prompt.documents for text in sentences(document.text)]
    return dict(_Filler(schema.get("$defs", {}), said).value(schema))


class _Filler:
    def __init__(self, definitions: Mapping[str, Schema], said: list[str]) -> None:
        self._definitions = definitions
        self._said = said

    def value(self, schema: Schema, depth: int = 0) -> Any:
        if depth > _DEEPEST:
            return None
        for key in ("default", "const"):
            if key in schema:
                return schema[key]
        if "enum" in schema:
            return schema["enum"][0]
        if "$ref" in schema:
            return self.value(self._definitions[schema["$ref"].rsplit("/", 1)[-1]], depth + 1)
        if "anyOf" in schema:
            return self._first(schema["anyOf"], depth)
        return self._of_type(schema, depth)

    def _first(self, choices: list[Schema], depth: int) -> Any:
        if any(choice.get("type") == "null" for choice in choices):
            return None
        return self.value(choices[0], depth + 1)

    def _of_type(self, schema: Schema, depth: int) -> Any:
        kind = schema.get("type")
        if kind == "object":
            fields = schema.get("properties", {})
            return {name: self.value(field, depth + 1) for name, field in fields.items()}
        if kind == "array":
            item = schema.get("items", {})
            return [self.value(item, depth + 1) for _ in range(schema.get("minItems", 0))]
        if kind in {"integer", "number"}:
            return schema.get("minimum", 0)
        return False if kind == "boolean" else self._text(schema)

    def _text(self, schema: Schema) -> str:
        limit = min(schema.get("maxLength", _TEXT_LIMIT), _TEXT_LIMIT)
        text = ""
        for sentence in self._said:
            longer = f"{text} {sentence}".strip()
            if len(longer) > limit:
                break
            text = longer
        return text or " ".join(self._said)[:limit]
