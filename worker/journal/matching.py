"""Conditions on a list of values whose SQL text does not depend on how many there are.

`IN (?, ?, …)` would be another statement for every size of a batch, prepared anew each time.
"""

from __future__ import annotations

from json import dumps
from typing import Any

from sqlalchemy import ColumnElement, Text, bindparam
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction
from sqlalchemy.types import NullType, TypeDecorator, TypeEngine


class TextList(TypeDecorator[list[str]]):
    """A list of texts as one parameter: an array on Postgres, JSON on SQLite."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return the type that the driver is told."""
        return ARRAY(Text()) if dialect.name == "postgresql" else Text()

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        """Return what the driver binds."""
        return list(value) if dialect.name == "postgresql" else dumps(list(value))


class PairList(TypeDecorator[list[tuple[str, str]]]):
    """A list of pairs of texts as one parameter of JSON."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:  # noqa: ARG002 - its base's
        """Return what the driver binds."""
        return dumps(list(value))


class matches_any(GenericFunction[Any]):  # noqa: N801 - reads as the SQL function it is
    """Whether a column's value is in the list."""

    type = NullType()  # SQLite has no Boolean: "(…) = 1" would hide the condition from its planner
    inherit_cache = True
    name = "muster_matches_any"


class matches_pair(GenericFunction[Any]):  # noqa: N801 - reads as the SQL function it is
    """Whether two columns' values stand in the list as a pair."""

    type = NullType()  # SQLite has no Boolean: "(…) = 1" would hide the condition from its planner
    inherit_cache = True
    name = "muster_matches_pair"


class holds_text(GenericFunction[Any]):  # noqa: N801 - reads as the SQL function it is
    """Whether a text contains another one, letter by letter."""

    type = NullType()  # SQLite has no Boolean: "(…) = 1" would hide the condition from its planner
    inherit_cache = True
    name = "muster_holds_text"


def any_of(column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    """Return the condition that `column` is in the list bound as `name`."""
    return matches_any(column, bindparam(name, type_=TextList()))


def pair_of(
    first: ColumnElement[Any], second: ColumnElement[Any], name: str
) -> ColumnElement[bool]:
    """Return the condition that both columns stand as a pair in the list bound as `name`."""
    return matches_pair(first, second, bindparam(name, type_=PairList()))


@compiles(matches_any, "postgresql")
def _postgres_any(element: matches_any, compiler: Any, **kw: Any) -> str:
    column, values = (compiler.process(part, **kw) for part in element.clauses)
    return f"({column} = ANY ({values}))"


@compiles(matches_any, "sqlite")
def _sqlite_any(element: matches_any, compiler: Any, **kw: Any) -> str:
    column, values = (compiler.process(part, **kw) for part in element.clauses)
    return f"({column} IN (SELECT value FROM json_each({values})))"  # noqa: S608 - compiled parts


@compiles(matches_pair, "postgresql")
def _postgres_pair(element: matches_pair, compiler: Any, **kw: Any) -> str:
    first, second, values = (compiler.process(part, **kw) for part in element.clauses)
    pairs = f"SELECT pair->>0, pair->>1 FROM json_array_elements(({values})::json) AS pair"  # noqa: S608 - compiled parts
    return f"(({first}, {second}) IN ({pairs}))"


@compiles(matches_pair, "sqlite")
def _sqlite_pair(element: matches_pair, compiler: Any, **kw: Any) -> str:
    first, second, values = (compiler.process(part, **kw) for part in element.clauses)
    parts = "json_extract(value, '$[0]'), json_extract(value, '$[1]')"
    pairs = f"SELECT {parts} FROM json_each({values})"  # noqa: S608 - compiled parts
    return f"(({first}, {second}) IN ({pairs}))"


@compiles(holds_text, "postgresql")
def _postgres_holds(element: holds_text, compiler: Any, **kw: Any) -> str:
    text, part = (compiler.process(part, **kw) for part in element.clauses)
    return f"(strpos({text}, {part}) > 0)"


@compiles(holds_text, "sqlite")
def _sqlite_holds(element: holds_text, compiler: Any, **kw: Any) -> str:
    text, part = (compiler.process(part, **kw) for part in element.clauses)
    return f"(instr({text}, {part}) > 0)"
