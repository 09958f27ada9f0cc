"""Answers of two journals, made comparable."""

import json
from dataclasses import asdict
from typing import Any

from envelope.errors import MusterError

_TIMES = ("at", "expires_in", "now", "seconds", "until")


def timeless(value: Any) -> Any:
    """The value as plain data, JSON too, each time in it replaced by whether there is one."""
    if isinstance(value, MusterError):
        return (type(value).__name__, str(value))
    if isinstance(value, str) and value.startswith("{"):
        return timeless(json.loads(value))
    if isinstance(value, dict):
        return {
            key: item is not None if str(key).endswith(_TIMES) else timeless(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [timeless(item) for item in value]
    if hasattr(value, "__dataclass_fields__"):
        return timeless(asdict(value))
    return value
