"""Says what is set, from where, and which `MUSTER_…` variables nothing reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

from pydantic import SecretStr

from worker.redaction import MASK, mask_url
from worker.settings_names import PREFIX, default_shown, env_file_values, plain_text, variable_names

if TYPE_CHECKING:
    from pydantic_settings import BaseSettings

# Read by the test suite, not by the product.
_TEST_PREFIX = "MUSTER_TEST_"


@dataclass(frozen=True, slots=True)
class SettingRow:
    """One setting as a person reads it. `source` is environment, .env, argument or default."""

    variable: str
    value: str
    default: str
    source: str
    description: str


@dataclass(frozen=True, slots=True)
class UnknownVariable:
    """A `MUSTER_…` variable that nothing reads, most often a typing mistake."""

    name: str
    nearest: str | None

    def __str__(self) -> str:
        """One sentence for the log or the terminal."""
        hint = f" Did you mean {self.nearest}?" if self.nearest else ""
        return f"{self.name} is set but no setting has that name.{hint}"


def setting_rows(settings: BaseSettings, environment: Mapping[str, str]) -> tuple[SettingRow, ...]:
    """A row for each field of the settings, in their order, secrets masked."""
    model = type(settings)
    sources = {".env": _names(env_file_values()), "environment": _names(environment)}
    return tuple(
        SettingRow(
            variable=variable_names(model, field)[0],
            value=_shown(getattr(settings, field)),
            default=default_shown(model, field),
            source=_source(settings, field, sources),
            description=str(info.description),
        )
        for field, info in model.model_fields.items()
    )


def unknown_variables(
    model: type[BaseSettings], environment: Mapping[str, str]
) -> tuple[UnknownVariable, ...]:
    """Every `MUSTER_…` name of the environment and `.env` that no field reads, sorted."""
    known = {name for field in model.model_fields for name in variable_names(model, field)}
    ours = {name for name in (*environment, *env_file_values()) if name.upper().startswith(PREFIX)}
    unknown = {
        name
        for name in ours
        if name.upper() not in known and not name.upper().startswith(_TEST_PREFIX)
    }
    return tuple(UnknownVariable(name, _nearest(name, known)) for name in sorted(unknown))


def _nearest(name: str, known: set[str]) -> str | None:
    ours = sorted(candidate for candidate in known if candidate.startswith(PREFIX))
    # The prefix is common to all and would make any two names look alike.
    tails = [candidate.removeprefix(PREFIX) for candidate in ours]
    matches = get_close_matches(name.upper().removeprefix(PREFIX), tails, n=1, cutoff=0.6)
    return f"{PREFIX}{matches[0]}" if matches else None


def _source(settings: BaseSettings, field: str, sources: Mapping[str, frozenset[str]]) -> str:
    if field not in settings.model_fields_set:
        return "default"
    names = variable_names(type(settings), field)
    found = [source for source, present in sources.items() if present.intersection(names)]
    return found[-1] if found else "argument"


def _shown(value: object) -> str:
    if isinstance(value, SecretStr):
        return MASK
    return mask_url(plain_text(value))


def _names(values: Mapping[str, str | None]) -> frozenset[str]:
    return frozenset(name.upper() for name, value in values.items() if value)
