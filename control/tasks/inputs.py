"""What a step of an operation gets: the operation's data, and outputs of earlier steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from control.tasks.plan import Planned
from envelope.errors import InvalidInput


def given_data(data: BaseModel | Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the operation's data as a mapping.

    Raises:
        InvalidInput: They are none.
    """
    if isinstance(data, BaseModel):
        return data.model_dump(mode="json")
    if not isinstance(data, Mapping):
        raise InvalidInput(f"The data are a mapping or a model, not {type(data).__name__}.")
    return data


def input_of(
    step: Planned, data: Mapping[str, Any], outputs: Mapping[str, BaseModel]
) -> BaseModel | Mapping[str, Any]:
    """Return the input of a step.

    Each field of the task's input is the whole output of the dependency of that name; or else the
    field of that name of the last dependency that has one; or else that of the data.

    Args:
        step: The step.
        data: The operation's data.
        outputs: The outputs of its dependencies, in the order in which it names them.
    """
    if step.prepare is not None:
        return step.prepare(data, outputs)
    known = {**data, **_fields(outputs), **{name: _plain(made) for name, made in outputs.items()}}
    return {name: known[name] for name in step.task.input.model_fields if name in known}


def _fields(outputs: Mapping[str, BaseModel]) -> dict[str, Any]:
    return {name: value for made in outputs.values() for name, value in _plain(made).items()}


def _plain(made: BaseModel) -> dict[str, Any]:
    return made.model_dump(mode="json")
