"""Says what is wrong with a setting: its variable, what is allowed, never a secret."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from envelope.errors import Terminal
from worker.settings_names import allowed_values, env_file_values, holds_secret, variable_names

if TYPE_CHECKING:
    from pydantic_settings import BaseSettings

_LONGEST_ECHO = 60


class ConfigurationError(Terminal):
    """A setting or the installation is wrong. Correct what the message names and start again."""

    code = "CONFIGURATION_INVALID"


def configuration_error(model: type[BaseSettings], error: ValidationError) -> ConfigurationError:
    """One error for all wrong settings, a line for each."""
    lines = [_line(model, detail) for detail in error.errors(include_url=False)]
    return ConfigurationError("\n".join(dict.fromkeys(lines)))


def _line(model: type[BaseSettings], detail: ErrorDetails) -> str:
    field = _field_of(model, str(detail["loc"][0]) if detail["loc"] else "")
    if field is None:
        return str(detail["msg"])
    if "MUSTER_" in detail["msg"]:
        return str(detail["msg"]).removeprefix("Value error, ") + "."
    name = _variable_used(variable_names(model, field))
    got = "has a value that" if holds_secret(field) else f"is {_echo(detail['input'])}, which"
    return f"{name} {got} is not allowed. Allowed: {allowed_values(model, field)}."


def _field_of(model: type[BaseSettings], location: str) -> str | None:
    """Pydantic names the field or the alias that it was read from."""
    for field in model.model_fields:
        if location == field or location.upper() in variable_names(model, field):
            return field
    return None


def _variable_used(names: tuple[str, ...]) -> str:
    """The name that the value came by: whoever set only REDIS_URL looks for that one."""
    present = {name.upper() for name, value in (env_file_values() | os.environ).items() if value}
    return next((name for name in names if name in present), names[0])


def _echo(value: Any) -> str:
    text = repr(str(value))
    return text if len(text) <= _LONGEST_ECHO else f"{text[:_LONGEST_ECHO]}…"
