"""Workers' leases, in SQL: renew, forget, purge, list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Connection,
    and_,
    bindparam,
    delete,
    func,
    insert,
    literal_column,
    or_,
    select,
    update,
)

from envelope.ports.journal_rows import Beat, WorkerRow
from envelope.ports.journal_writes import WorkerInfo
from worker.journal.apply import Statement
from worker.journal.clock import db_now
from worker.journal.executing import UNDO
from worker.journal.losing import PURGE_AFTER
from worker.journal.marks import KEPT_SECONDS
from worker.journal.stuck import end_stuck_sessions
from worker.journal.tables import runs, steps, workers, writers

_RENEW = (
    update(workers)
    .where(workers.c.worker_id == bindparam("at_worker"))
    .values(
        hostname=bindparam("hostname"),
        pid=bindparam("pid"),
        details=bindparam("details"),
        expires_at=db_now() + bindparam("lease_seconds"),
    )
)
_ANNOUNCE = insert(workers).values(
    worker_id=bindparam("at_worker"),
    hostname=bindparam("hostname"),
    pid=bindparam("pid"),
    details=bindparam("details"),
    started_at=db_now(),
    expires_at=db_now() + bindparam("lease_seconds"),
)
# The literal lets the planner see that the partial index on running runs answers this.
_TO_CANCEL = (
    select(runs.c.run_id, runs.c.cancel_reason)
    .where(runs.c.owner == bindparam("worker_id"))
    .where(runs.c.state == literal_column("'running'"))
    .where(runs.c.cancel_reason.is_not(None))
    .order_by(runs.c.run_id)
)
_IN_VAIN = (
    select(steps.c.run_id, steps.c.step)
    .join(runs, runs.c.run_id == steps.c.run_id)
    .where(steps.c.executor == bindparam("worker_id"))
    .where(steps.c.state == literal_column("'running'"), literal_column("NOT inline"))
    .where(
        or_(
            runs.c.finished_at.is_not(None),
            and_(runs.c.cancel_reason.is_not(None), steps.c.kind != UNDO),
        )
    )
    .order_by(steps.c.run_id, steps.c.step)
)
_ALIVE = select(workers.c.expires_at > db_now()).where(
    workers.c.worker_id == bindparam("worker_id")
)
_FORGET = delete(workers).where(workers.c.worker_id == bindparam("worker_id"))
_EXPIRED = workers.c.expires_at < db_now() - PURGE_AFTER
_PURGE = delete(workers).where(_EXPIRED)
_PURGE_MARKS = delete(writers).where(writers.c.at < db_now() - KEPT_SECONDS)
_ANY_EXPIRED = select(func.count()).select_from(workers).where(_EXPIRED)
_LIST = select(
    workers.c.worker_id,
    workers.c.hostname,
    workers.c.pid,
    workers.c.details,
    workers.c.started_at,
    (workers.c.expires_at - db_now()).label("expires_in"),
).order_by(workers.c.worker_id)


@dataclass(slots=True)
class RenewLease(Statement):
    """Renew a lease and read what the worker shall stop.

    `known` says whether this process has beaten before: a row that is gone had lapsed then.
    """

    worker: WorkerInfo
    lease_seconds: float
    known: bool

    def execute(self, connection: Connection) -> Beat:
        """Return what the worker learns."""
        name = {"worker_id": self.worker.worker_id}
        alive = connection.scalar(_ALIVE, name)
        self._renew(connection)
        # Here as well as where runs are rescued, which may itself wait for what is locked.
        end_stuck_sessions(connection)
        return Beat(
            runs=tuple((run_id, reason) for run_id, reason in connection.execute(_TO_CANCEL, name)),
            steps=tuple((run_id, step) for run_id, step in connection.execute(_IN_VAIN, name)),
            lapsed=self.known if alive is None else not alive,
        )

    def _renew(self, connection: Connection) -> None:
        values = {
            "at_worker": self.worker.worker_id,
            "hostname": self.worker.hostname,
            "pid": self.worker.pid,
            "details": self.worker.details,
            "lease_seconds": self.lease_seconds,
        }
        if connection.execute(_RENEW, values).rowcount == 0:
            connection.execute(_ANNOUNCE, values)
            connection.execute(_PURGE_MARKS)  # often enough, and no worker has to look for them


@dataclass(slots=True)
class Retire(Statement):
    """Forget a worker."""

    worker_id: str

    def execute(self, connection: Connection) -> None:
        """Delete the worker's row."""
        connection.execute(_FORGET, {"worker_id": self.worker_id})


@dataclass(slots=True)
class PurgeWorkers(Statement):
    """Forget the workers whose lease lapsed long ago."""

    def execute(self, connection: Connection) -> Any:
        """Delete their rows."""
        connection.execute(_PURGE)


def has_expired(connection: Connection) -> bool:
    """Whether there is a worker to be purged."""
    return bool(connection.scalar(_ANY_EXPIRED))


def read_workers(connection: Connection) -> Sequence[WorkerRow]:
    """Return the workers, living and lapsed."""
    return [WorkerRow(**row) for row in connection.execute(_LIST).mappings()]
