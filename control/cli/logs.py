"""What a command logs: as good as nothing, unless the user asks for more."""

from __future__ import annotations

from worker.logs import configure
from worker.settings import Settings


def quiet_logs(settings: Settings) -> None:
    """Send logging to stderr, from ERROR unless MUSTER_LOG_LEVEL is set.

    What a command has to say about an outage it says itself.
    """
    if "log_level" not in settings.model_fields_set:
        settings = settings.model_copy(update={"log_level": "ERROR"})
    configure(settings)
