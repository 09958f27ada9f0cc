"""What can go wrong with a model, named for what the engine does next."""

from __future__ import annotations

from envelope.errors import Retryable, Terminal


class ModelBusy(Retryable):
    """The provider is overloaded, limits us, broke off or cannot be reached."""

    code = "MODEL_BUSY"


class ModelTimeout(Retryable):
    """The model gave no whole answer within the time limit."""

    code = "MODEL_TIMEOUT"


class ModelRejected(Terminal):
    """The provider refuses the request. The same request would be refused again."""

    code = "MODEL_REJECTED"


class ModelAccessDenied(ModelRejected):
    """The provider refuses the key, or the key may not use the model."""

    code = "MODEL_ACCESS_DENIED"


class ModelNotFound(ModelRejected):
    """The provider has no model of that name."""

    code = "MODEL_NOT_FOUND"


class ModelRefused(ModelRejected):
    """The model declined to answer."""

    code = "MODEL_REFUSED"


class InvalidOutput(Terminal):
    """The model's output broke its schema or check, and went on doing so when told."""

    code = "MODEL_OUTPUT_INVALID"


class UnknownTool(Terminal):
    """The model called a tool that it was not given, and did so again when told."""

    code = "MODEL_TOOL_UNKNOWN"


class ToolLimitExceeded(Terminal):
    """The model wanted more tool calls, tokens or money than this call may use."""

    code = "MODEL_TOOL_LIMIT"


class ToolFailed(Terminal):
    """A tool cannot do what it was asked to. Raised by a tool; the model is told the message."""

    code = "TOOL_FAILED"


class MessagesMissing(Terminal):
    """A message or conversation is not in the store, or belongs to another tenant."""

    code = "MESSAGES_MISSING"
