"""Writes a batch in one transaction and knows whether it was committed."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from worker.journal.apply import Outcome, Work, apply_batch
from worker.journal.marks import Marks


class InDoubt(Exception):
    """The connection broke during COMMIT: whether the batch is in the database is not known.

    Attributes:
        outcomes: What holds if it is.
        batch: The number of its mark.
    """

    def __init__(self, outcomes: Sequence[Outcome], batch: int) -> None:
        super().__init__(f"batch {batch} is in doubt")
        self.outcomes = outcomes
        self.batch = batch


class Store:
    """The one connection of a process that writes to the journal."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._marks = Marks()

    def write(self, batch: Sequence[Work]) -> Sequence[Outcome]:
        """Apply the batch and commit it.

        Raises:
            InDoubt: The connection broke while the commit was under way.
            Exception: Whatever the database said; nothing was written.
        """
        with self._engine.connect() as connection:
            transaction = connection.begin()
            try:
                outcomes = apply_batch(connection, batch)
                number = self._marks.leave(connection)
            except BaseException:
                transaction.rollback()
                raise
            try:
                transaction.commit()
            except DBAPIError as error:
                if error.connection_invalidated and number is not None:
                    raise InDoubt(outcomes, number) from error
                raise
            return outcomes

    def committed(self, doubt: InDoubt) -> bool:
        """Tell whether a batch in doubt was committed after all.

        Waits while the server still works on it.
        """
        with self._engine.begin() as connection:
            return self._marks.last(connection) == doubt.batch
