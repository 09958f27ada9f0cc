"""Whoever writes for a run is believed, whatever its epoch."""

from __future__ import annotations

from envelope.ports.journal_writes import Commit
from tests.rig.faults.planted.planting import Patch
from worker.journal import committing
from worker.journal.rows import RunRow


def _believe(_commit: Commit, _run: RunRow | None) -> None:
    """Refuse nothing."""


PATCHES = (Patch(committing, "_check_fence", _believe),)
