"""The singleton key of a run: its flow's template, filled in with what the trigger said.

Every part is percent-quoted, so that a user named `a:b` cannot collide with user `a`, thread `b`.
"""

from __future__ import annotations

import json
import string
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from envelope.canonical import canonical_json
from envelope.errors import InvalidInput, TooLarge
from orchestrators.definition import FlowDefinition

LONGEST_KEY = 2000
"""Characters. The key is indexed, and an index has room for so much."""

_ARGUMENTS = ("tenant", "user", "thread", "flow", "key")
_THREAD = "thread"
_PAYLOAD = "payload."


def singleton_key(
    flow: FlowDefinition, arguments: Mapping[str, str | None], payload: str
) -> str | None:
    """Return `<tenant>/<template, filled in>`; None for a flow that has no template.

    A template that names the thread guards threads: a run in no thread has no key.

    Args:
        flow: The flow.
        arguments: What the trigger said: `tenant`, and perhaps `user`, `thread`, `key`.
        payload: The payload, validated, as JSON.

    Raises:
        InvalidInput: The template is wrong, or needs what the trigger did not say.
        TooLarge: The key is longer than 2,000 characters.
    """
    if flow.singleton is None:
        return None
    parts = _parts(flow)
    if arguments.get(_THREAD) is None and any(field == _THREAD for _, field in parts):
        return None
    filling = _Filling(flow, arguments, payload)
    text = "".join(literal + filling.part(field) for literal, field in parts)
    key = f"{quote(arguments['tenant'] or '', safe='')}/{text}"
    if len(key) > LONGEST_KEY:
        raise TooLarge(
            f"The singleton key of flow {flow.name!r} has {len(key):,} characters; the cap is "
            f"{LONGEST_KEY:,}. Make its template of shorter fields."
        )
    return key


def check_template(flow: FlowDefinition) -> None:
    """Refuse a template that no run could fill in.

    Raises:
        InvalidInput: It is malformed or names an unknown field.
    """
    _parts(flow)


class _Filling:
    def __init__(
        self, flow: FlowDefinition, arguments: Mapping[str, str | None], payload: str
    ) -> None:
        self._flow = flow
        self._arguments = {**arguments, "flow": flow.name}
        self._payload = payload

    def part(self, field: str | None) -> str:
        """Return the quoted value of a field; nothing where only text stands."""
        if field is None:
            return ""
        if field.startswith(_PAYLOAD):
            return quote(self._of_payload(field), safe="")
        value = self._arguments.get(field)
        if value is None:
            raise InvalidInput(f"{_needs(self._flow, field)}: pass {field}=… with the trigger.")
        return quote(value, safe="")

    def _of_payload(self, field: str) -> str:
        value: Any = json.loads(self._payload).get(field.removeprefix(_PAYLOAD))
        if value is None:
            raise InvalidInput(f"{_needs(self._flow, field)}, which this payload has not.")
        if isinstance(value, list | dict):
            raise InvalidInput(
                f"{_needs(self._flow, field)}, which is a list or an object; a key is made of "
                "texts, numbers and truth values."
            )
        return value if isinstance(value, str) else canonical_json(value)


def _parts(flow: FlowDefinition) -> list[tuple[str, str | None]]:
    """Return texts, each with the field that follows it; the whole template is checked."""
    try:
        parsed = list(string.Formatter().parse(flow.singleton or ""))
    except ValueError as error:
        raise InvalidInput(f"{_template(flow)} is malformed: {error}.") from None
    for _, field, form, conversion in parsed:
        if field is not None and (form or conversion or not _allowed(flow, field)):
            raise InvalidInput(
                f"{_template(flow)} has the unknown field {{{field}}}. Fields are "
                f"{', '.join(f'{{{name}}}' for name in _ARGUMENTS)} and, for a field of the "
                "payload, such as {payload.company}."
            )
    return [(literal, field) for literal, field, _, _ in parsed]


def _allowed(flow: FlowDefinition, field: str) -> bool:
    if not field.startswith(_PAYLOAD):
        return field in _ARGUMENTS
    name = field.removeprefix(_PAYLOAD)
    return name in flow.model.model_fields or name in flow.model.model_computed_fields


def _template(flow: FlowDefinition) -> str:
    return f"Flow {flow.name!r}: its singleton template {flow.singleton!r}"


def _needs(flow: FlowDefinition, field: str) -> str:
    return f"{_template(flow)} needs {{{field}}}"
