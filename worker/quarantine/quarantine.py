"""Puts a malformed message into quarantine: counts it, records it, says so once in the log."""

import hashlib
import logging

from worker.quarantine.inspection import MAX_BYTES
from worker.quarantine.reason import Fault
from worker.quarantine.sinks import MemorySink, QuarantineSink
from worker.redaction import mask_text
from worker.telemetry.meters import Meters

logger = logging.getLogger(__name__)

_EXCERPT_BYTES = 200


class Quarantine:
    """Takes malformed messages out of circulation. Never raises for what it is given.

    Args:
        sink: Where they are recorded; may be replaced while the worker runs.
        max_bytes: Messages larger than this are malformed.

    Attributes:
        meters: Count them; may be replaced as well.
    """

    def __init__(self, sink: QuarantineSink | None = None, max_bytes: int = MAX_BYTES) -> None:
        self.sink: QuarantineSink = sink or MemorySink()
        self.max_bytes = max_bytes
        self.meters = Meters()

    def __repr__(self) -> str:
        return f"<Quarantine of {type(self.sink).__name__}>"

    def __json__(self) -> str:
        """For `celery inspect stats`, which sends the transport options as they are."""
        return repr(self)

    def take(self, queue: str, fault: Fault, raw: bytes) -> None:
        """Counts and records one message. The caller has removed it or does so now."""
        self.meters.quarantined(fault.reason.value)
        digest = hashlib.sha256(raw).hexdigest()
        # The log gets no excerpt: what a stranger sent may be anything.
        logger.warning(
            "Quarantined a message from %s: %s (%s), %d bytes, sha256 %s",
            queue, fault.reason.value, fault.detail, len(raw), digest,
        )  # fmt: skip
        try:
            self.sink.record(queue, fault.reason.value, digest, len(raw), excerpt(raw))
        except Exception:
            logger.exception("Could not record the quarantined message %s", digest)


def excerpt(raw: bytes) -> str:
    """The beginning of a message, in printable ASCII, without what looks like a secret.

    Masked before it is cut: half a secret looks like none.
    """
    text = mask_text(raw[: 2 * _EXCERPT_BYTES].decode("utf-8", "backslashreplace"))
    return ascii(text[:_EXCERPT_BYTES])[1:-1]
