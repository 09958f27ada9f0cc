"""The contract between all rooms: envelope, record, provenance, errors, events, ports."""

from envelope.envelope import Envelope, Metadata, Status
from envelope.failure import Failure
from envelope.record import Provenance, Record
from envelope.usage import Usage

__all__ = ["Envelope", "Failure", "Metadata", "Provenance", "Record", "Status", "Usage"]
