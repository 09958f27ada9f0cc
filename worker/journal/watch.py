"""Who watches the journal write: the process, for its metrics and traces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol


class BatchWatch(Protocol):
    """Sees what is handed over and when it was committed; called on any thread, never raises."""

    def here(self) -> Any:
        """Return where the caller is, in the watch's own terms; called with each operation."""

    def written(
        self, places: Sequence[Any], seconds: float, errors: Sequence[BaseException | None]
    ) -> None:
        """A batch was committed.

        Args:
            places: Where its operations came from.
            seconds: How long that took, with retries while the database was away.
            errors: For each operation what it was refused with; None where it was not.
        """


class Unwatched:
    """Sees nothing."""

    def here(self) -> None:
        """Nowhere."""

    def written(
        self, places: Sequence[Any], seconds: float, errors: Sequence[BaseException | None]
    ) -> None:
        """Nobody wants to know."""
