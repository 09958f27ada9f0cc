"""What can go wrong with an agent's own store."""

from __future__ import annotations

from envelope.errors import Retryable, Terminal


class StoreUnavailable(Retryable):
    """The database of an agent's store is away or busy: worth another attempt."""

    code = "STORE_UNAVAILABLE"


class StoreBroken(Terminal):
    """The database refuses the work: wrong file, missing right, foreign table."""

    code = "STORE_BROKEN"
