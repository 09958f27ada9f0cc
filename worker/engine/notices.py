"""What processes tell each other over wake-ups: `<word> <run> <step>` on a worker's channel."""

from __future__ import annotations

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
