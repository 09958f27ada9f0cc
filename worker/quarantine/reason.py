"""Why a message was put into quarantine."""

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """The kinds of malformed message; also the label of the metric."""

    TOO_LARGE = "too_large"
    TOO_DEEP = "too_deep"
    NOT_TEXT = "not_text"
    ENVELOPE_NOT_JSON = "envelope_not_json"
    ENVELOPE_SHAPE = "envelope_shape"
    PROPERTIES = "properties"
    HEADERS = "headers"
    CONTENT_TYPE = "content_type"
    COMPRESSED = "compressed"
    BODY_NOT_BASE64 = "body_not_base64"
    BODY_NOT_JSON = "body_not_json"
    BODY_NOT_CALL = "body_not_call"
    UNKNOWN_TASK = "unknown_task"
    REFUSED = "refused"


@dataclass(frozen=True)
class Fault:
    """What is wrong with a message.

    Attributes:
        reason: The kind of fault.
        detail: What exactly, in words of ours: nothing of the message is quoted.
    """

    reason: Reason
    detail: str


class Malformed(Exception):  # says what the message is
    """Raised by a check that a message fails."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.fault = Fault(reason, detail)
