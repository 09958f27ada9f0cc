"""Writes a batch in one transaction and knows whether it was committed."""

from __future__ import annotations

import time
from collections.abc import Sequence

from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from worker.journal.apply import Applied, Outcome, Work, apply_batch

_POSTGRES_FATE = text("SELECT pg_xact_status(CAST(:transaction AS xid8))")
_POLL_SECONDS = 0.05


class InDoubt(Exception):
    """The connection broke during COMMIT: whether the batch is in the database is not known."""

    def __init__(self, applied: Applied) -> None:
        super().__init__(f"transaction {applied.transaction} is in doubt")
        self.applied = applied


class Store:
    """The one connection of a process that writes to the journal."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def write(self, batch: Sequence[Work]) -> Sequence[Outcome]:
        """Apply the batch and commit it.

        Raises:
            InDoubt: The connection broke while the commit was under way.
            Exception: Whatever the database said; nothing was written.
        """
        with self._engine.connect() as connection:
            transaction = connection.begin()
            try:
                applied = apply_batch(connection, batch)
            except BaseException:
                transaction.rollback()
                raise
            try:
                transaction.commit()
            except DBAPIError as error:
                if error.connection_invalidated and applied.transaction is not None:
                    raise InDoubt(applied) from error
                raise
            return applied.outcomes

    def committed(self, applied: Applied) -> bool:
        """Tell whether a transaction in doubt was committed after all.

        Waits while the server still works on it. A server that forgot the transaction would have
        to be older than its retention of commit states, which no retry outlives.
        """
        while True:
            with self._engine.connect() as connection:
                fate = connection.scalar(_POSTGRES_FATE, {"transaction": applied.transaction})
            if fate != "in progress":
                return bool(fate == "committed")
            time.sleep(_POLL_SECONDS)
