"""What processes tell each other over wake-ups: `<word> <run> <step>` on a worker's channel."""

from __future__ import annotations

from envelope.ports.journal_rows import TERMINAL_STATES, RunState
from envelope.ports.wakeup import Wakeups

CANCEL_NOTICE = "cancel"
"""Beat at once: something of yours is to be stopped."""

COME_NOTICE = "come"
"""Something came for a run of yours: a signal, or the end of a child."""

SIGNAL_NOTICE = "signal"
"""The same, from whoever sent a signal."""

PERMIT_NOTICE = "permit"
"""A permit was granted; see `Permits.told`."""

STREAM = "stream"
"""Channel `<run>.stream`: pieces of text as they come."""


def ended_channel(run_id: str) -> str:
    """Return the channel on which is told that a run has ended.

    Apart from the run's own, which tells of every event: who waits for a result wants one notice.
    """
    return f"{run_id}.ended"


def tell_watchers(wakeups: Wakeups, run_id: str, state: RunState) -> None:
    """Tell who follows the run that there is news, and if it has ended, who waits for that."""
    wakeups.notify(run_id, "events")
    if state in TERMINAL_STATES:
        wakeups.notify(ended_channel(run_id), "ended")
