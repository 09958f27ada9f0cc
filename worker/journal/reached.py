"""How often recipients were reached, in SQL: the lock of the cap, and the times.

What a cap counts are rows that others insert, so there is no row to lock. On Postgres a place,
which is a tenant's channel and recipient, has an advisory lock of one of a few numbers, for the
server has room for few such locks; that two places share a number costs a wait. SQLite has one
writer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from json import dumps

from sqlalchemy import Connection, bindparam, func, select, text

from worker.journal.clock import db_now
from worker.journal.ledger_book import Place
from worker.journal.ledger_tables import effect_recipients
from worker.journal.matching import any_of

_LOCKS = 256
_LOCK_SPACE = 723_845_901
_LOCK = text(
    "SELECT pg_advisory_xact_lock(:space, number) FROM ("
    "SELECT number FROM unnest(CAST(:numbers AS int[])) AS number ORDER BY number) AS ordered"
)
_FOUND = "SELECT r.tenant, r.channel, r.recipient, r.key, r.at"
_POSTGRES = text(
    f"{_FOUND} FROM json_array_elements(CAST(:places AS json)) AS place "
    "JOIN muster_effect_recipients AS r ON r.tenant = place->>0 AND r.channel = place->>1 "
    "AND r.recipient = place->>2 AND r.at > CAST(place->>3 AS float8)"
)
# CROSS keeps the planner from reading all recipients first.
_SQLITE = text(
    f"{_FOUND} FROM json_each(:places) AS place "
    "CROSS JOIN muster_effect_recipients AS r ON r.tenant = json_extract(place.value, '$[0]') "
    "AND r.channel = json_extract(place.value, '$[1]') "
    "AND r.recipient = json_extract(place.value, '$[2]') "
    "AND r.at > json_extract(place.value, '$[3]')"
)
_NOW = select(db_now())
_COUNT = (
    select(effect_recipients.c.recipient, func.count())
    .where(any_of(effect_recipients.c.recipient, "recipients"))
    .where(effect_recipients.c.tenant == bindparam("tenant"))
    .where(effect_recipients.c.channel == bindparam("channel"))
    .where(effect_recipients.c.at > bindparam("since"))
    .where(effect_recipients.c.key != bindparam("but"))
    .group_by(effect_recipients.c.recipient)
)


def lock_places(connection: Connection, places: Iterable[Place]) -> None:
    """Keep other processes from reaching these places until the transaction ends."""
    if connection.dialect.name == "postgresql":
        numbers = {_number(place) for place in places}
        connection.execute(_LOCK, {"space": _LOCK_SPACE, "numbers": list(numbers)})


def read_reached(
    connection: Connection, places: Mapping[Place, float]
) -> Iterator[tuple[Place, str, float]]:
    """Yield place, key and time of what reached each place within as many seconds as it says."""
    now = read_now(connection)
    asked = dumps([[*place, now - seconds] for place, seconds in places.items()])
    statement = _POSTGRES if connection.dialect.name == "postgresql" else _SQLITE
    for tenant, channel, recipient, key, at in connection.execute(statement, {"places": asked}):
        yield (tenant, channel, recipient), key, at


def count_reached(
    connection: Connection,
    tenant: str,
    channel: str,
    recipients: Sequence[str],
    seconds: float,
    but: str | None,
) -> Mapping[str, int]:
    """Return how often each recipient was reached within the last seconds, but by that effect."""
    values = {
        "recipients": list(recipients),
        "tenant": tenant,
        "channel": channel,
        "since": read_now(connection) - seconds,
        "but": but or "",  # no key is empty
    }
    counts = dict.fromkeys(recipients, 0)
    counts.update((recipient, count) for recipient, count in connection.execute(_COUNT, values))
    return counts


def read_now(connection: Connection) -> float:
    """Return the time by the database's clock, in seconds since 1970."""
    now: float = connection.execute(_NOW).scalar_one()
    return now


def _number(place: Place) -> int:
    digest = blake2b(dumps(place).encode(), digest_size=4).digest()
    return int.from_bytes(digest) % _LOCKS
