"""The shared store within one process: for tests, and where there is no Redis."""

from __future__ import annotations

from orchestrators.flow.process_store import ProcessStore


class InProcessShared(ProcessStore):
    """A `SharedStore` that the callers of this object share."""

    async def aclose(self) -> None:
        """Nothing is to be let go of."""
