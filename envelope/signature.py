"""Reads the input model off a user's function, and validates input against it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

from pydantic import BaseModel, ValidationError

from envelope.canonical import canonical_json
from envelope.envelope import Envelope, explain
from envelope.errors import InvalidInput, TooLarge

SHAPE = "(ctx, request: SomeModel) -> Envelope"


def input_model(function: Callable[..., Any], noun: str) -> type[BaseModel]:
    """Return the pydantic model that annotates the second parameter of `function`.

    Raises:
        TypeError: The function has not the shape `(ctx, request: SomeModel) -> Envelope`.
    """
    where = f"{noun} {function.__module__}.{function.__qualname__}"
    parameters = list(inspect.signature(function).parameters.values())
    if len(parameters) != 2:  # noqa: PLR2004 - the shape has two
        raise TypeError(f"{where} must have the shape {SHAPE}; it has {len(parameters)} parameters")
    hints = get_type_hints(function)
    model = hints.get(parameters[1].name)
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise TypeError(f"{where}: annotate {parameters[1].name!r} with a pydantic model: {SHAPE}")
    if hints.get("return", Envelope) is not Envelope:
        raise TypeError(f"{where}: annotate the return type as Envelope: {SHAPE}")
    return model


def to_canonical(request: BaseModel | Mapping[str, Any], model: type[BaseModel]) -> str:
    """Validate `request` against `model` and return it as canonical JSON.

    Raises:
        InvalidInput: The request does not fit; the message names the field.
    """
    if isinstance(request, BaseModel):
        given: Any = request.model_dump(mode="json")
    elif isinstance(request, Mapping):
        given = request
    else:
        raise InvalidInput(f"{model.__name__}: expected an object, got {type(request).__name__}.")
    text = canonical_json(given)
    kept = from_canonical(text, model).model_dump(mode="json")
    # What such a model says of itself comes back the same, but where a validator changes it.
    return text if type(request) is model and kept == given else canonical_json(kept)


def from_canonical(text: str, model: type[BaseModel]) -> BaseModel:
    """Read a request back from JSON; errors as `to_canonical`."""
    try:
        return model.model_validate_json(text)
    except ValidationError as problem:
        raise InvalidInput(f"{model.__name__}: {explain(problem)}") from problem


def check_bytes(text: str, limit: int, what: str) -> None:
    """Refuse a text of more than `limit` bytes.

    Raises:
        TooLarge: The text is longer.
    """
    size = len(text.encode())
    if size > limit:
        raise TooLarge(
            f"{what} has {size:,} bytes; the cap is {limit:,}. "
            "Store the bulk elsewhere and pass a reference."
        )
