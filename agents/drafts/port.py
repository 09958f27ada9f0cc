"""The port: where records of earlier runs are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from envelope.record import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownRecords:
    """The records of a run.

    Attributes:
        final: Those of its envelope, in order; none before the run has ended.
        by_id: Those and all that its steps made.
    """

    final: Sequence[Record]
    by_id: Mapping[str, Record]


class RunRecords(Protocol):
    """Reads what earlier runs made."""

    async def read(self, run_id: str, tenant: str) -> KnownRecords:
        """Return the records of a run.

        Raises:
            UnknownRun: There is no such run of that tenant; another tenant's looks the same.
        """
