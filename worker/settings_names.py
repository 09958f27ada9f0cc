"""What a setting is called outside and what its field says about itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from dotenv import dotenv_values
from pydantic import AliasChoices

if TYPE_CHECKING:
    from pydantic_settings import BaseSettings

PREFIX = "MUSTER_"
ENV_FILE = ".env"
# Values that are secret themselves or may hold a password. An error never repeats them.
_SECRET_FIELDS = frozenset(
    {
        "openai_api_key",
        "openai_base_url",
        "redis_url",
        "database_url",
        "smtp_url",
        "webhook_secret",
        "otlp_endpoint",
    }
)


def variable_names(model: type[BaseSettings], field: str) -> tuple[str, ...]:
    """The environment variables that a field is read from, the first wins."""
    alias = model.model_fields[field].validation_alias
    if isinstance(alias, AliasChoices):
        return tuple(str(choice) for choice in alias.choices)
    return (f"{PREFIX}{field.upper()}",)


def holds_secret(field: str) -> bool:
    """Whether the value of this field may hold a secret."""
    return field in _SECRET_FIELDS


def allowed_values(model: type[BaseSettings], field: str) -> str:
    """What the field takes, in words."""
    return str(_extra(model, field)["allowed"])


def default_shown(model: type[BaseSettings], field: str) -> str:
    """The default in words; empty when the setting has none."""
    extra, default = _extra(model, field), model.model_fields[field].default
    return str(extra["shown"]) if "shown" in extra else plain_text(default)


def plain_text(value: object) -> str:
    """A value as one writes it into the environment."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value)


def env_file_values() -> dict[str, str | None]:
    """What `.env` in the current folder sets; nothing without one."""
    path = Path(ENV_FILE)
    return dotenv_values(path, encoding="utf-8") if path.is_file() else {}


def _extra(model: type[BaseSettings], field: str) -> dict[str, Any]:
    extra = model.model_fields[field].json_schema_extra
    return dict(extra) if isinstance(extra, dict) else {}
