"""The kinds of values that settings take, each with its own test."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, FiniteFloat
from pydantic_settings import NoDecode

from worker.delivery.frequency import parse_cap
from worker.delivery.quiet_hours import QuietHours

_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
_REDIS_SCHEMES = ("redis://", "rediss://", "unix://")
_POSTGRES = re.compile(r"postgres(?:ql)?(?:\+psycopg)?://")
_SQLITE_FILE = re.compile(r"sqlite(?:\+pysqlite)?:///(?P<path>[^?]+)")


def _redis_url(url: str) -> str:
    if not url.startswith(_REDIS_SCHEMES):
        raise ValueError("not a Redis URL")
    return url


def _database_url(url: str) -> str:
    """Postgres goes through psycopg 3. An in-memory SQLite would not be shared by processes."""
    if (postgres := _POSTGRES.match(url)) is not None:
        return f"postgresql+psycopg://{url[postgres.end() :]}"
    sqlite = _SQLITE_FILE.match(url)
    if sqlite is None or sqlite["path"].startswith(":memory:"):
        raise ValueError("not a supported database URL")
    return url


def _http_url(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise ValueError("not an HTTP URL")
    return url


def _absolute(path: Path) -> Path:
    """Fixed at start: a worker that changes its folder keeps the home it began with."""
    return path.expanduser().absolute()


def _parts(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _all_modules(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if _MODULE.fullmatch(name) is None:
            raise ValueError("not the dotted name of a module")
    return names


def _all_routes(routes: tuple[str, ...]) -> tuple[str, ...]:
    for route in routes:
        name, _, model = route.partition("=")
        if not name.strip() or not model.strip():
            raise ValueError("not names with models")
    return routes


def _readable_by(parse: Callable[[str], object]) -> AfterValidator:
    """Whoever uses the text parses it with `parse`, so nothing passes here and fails there."""

    def check(text: str) -> str:
        parse(text)
        return text.strip()

    return AfterValidator(check)


def _upper(value: object) -> object:
    return value.strip().upper() if isinstance(value, str) else value


def _lower(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


PositiveSeconds = Annotated[FiniteFloat, Field(gt=0)]
Share = Annotated[FiniteFloat, Field(ge=0, le=1)]
Port = Annotated[int, Field(ge=0, le=65_535)]
Text = Annotated[str, Field(min_length=1)]
Folder = Annotated[Path, AfterValidator(_absolute)]
RedisUrl = Annotated[str, AfterValidator(_redis_url)]
DatabaseUrl = Annotated[str, AfterValidator(_database_url)]
HttpUrl = Annotated[str, AfterValidator(_http_url)]
Parts = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_parts)]
ModuleNames = Annotated[Parts, AfterValidator(_all_modules)]
Routes = Annotated[Parts, AfterValidator(_all_routes)]
QuietText = Annotated[str, _readable_by(QuietHours.parse)]
CapText = Annotated[str, _readable_by(parse_cap)]
LogLevel = Annotated[
    Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], BeforeValidator(_upper)
]
LogFormat = Annotated[Literal["auto", "console", "json"], BeforeValidator(_lower)]
