"""Postgres URLs as providers hand them out, made fit for libpq."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import parse_qsl, urlencode

import psycopg
from psycopg.conninfo import conninfo_to_dict

from agents.sql.errors import StoreBroken

_DRIVER: Final = re.compile(r"\Apostgres(?:ql)?(?:\+psycopg)?://")
_OTHER_CLIENTS: Final = frozenset(
    {"pgbouncer", "supa", "connection_limit", "pool_timeout", "statement_cache_size"}
)


def libpq_url(url: str) -> str:
    """Return `url` as libpq reads it.

    A driver such as `+psycopg` is dropped, and so are parameters that other clients put into
    Supabase's and Vercel's URLs (`pgbouncer=true`, `supa=…`, `connection_limit=…`), which libpq
    would refuse. Everything else, `sslmode` above all, stays.

    Raises:
        StoreBroken: It cannot be read. The message repeats none of it, for it may hold a password.
    """
    address, _, query = _DRIVER.sub("postgresql://", url).partition("?")
    kept = [pair for pair in parse_qsl(query) if pair[0] not in _OTHER_CLIENTS]
    made = f"{address}?{urlencode(kept)}" if kept else address
    if not made.startswith("postgresql://") or not _readable(made):
        # What libpq says of such a URL repeats it in part.
        raise StoreBroken(
            "The store's Postgres URL cannot be read. Write postgresql://user:password@host:port/"
            "name, with characters such as / ? # @ : % of the password percent-encoded."
        )
    return made


def _readable(url: str) -> bool:
    try:
        parts = conninfo_to_dict(url)
    except psycopg.Error:
        return False
    ports = str(parts.get("port") or "5432").split(",")
    return all(port.isascii() and port.isdigit() for port in ports)
