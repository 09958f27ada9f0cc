"""JSON as a message may hold it: no NaN, bounded depth, text that can be encoded."""

import json
import re
from typing import Any

from kombu.utils.json import object_hook

from worker.quarantine.reason import Malformed, Reason

#: Nesting that a message may have. Ours have four levels, a Celery chain a few dozen.
MAX_DEPTH = 100


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


# As kombu's own, but for the constants. Made once: to make one costs more than to parse a message.
_DECODER = json.JSONDecoder(object_hook=object_hook, parse_constant=_no_constant)
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def parse(raw: bytes, otherwise: Reason) -> Any:
    """Parses as kombu will, so that what passes here cannot fail there.

    Raises:
        Malformed: For `otherwise`, or because it is nested too deeply or is not text.
    """
    try:
        value = _DECODER.decode(raw.decode())
    except RecursionError:
        raise Malformed(Reason.TOO_DEEP, "nested beyond the parser's limit") from None
    except Exception as error:  # noqa: BLE001  # kombu's type hooks raise anything
        raise Malformed(otherwise, f"not JSON ({type(error).__name__})") from None
    _check_depth(value)
    if _SURROGATE.search(raw):
        _check_text(value)
    return value


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [child for parent in level for child in _children(parent)]
        if not level:
            return
    raise Malformed(Reason.TOO_DEEP, f"nested more than {MAX_DEPTH} levels deep")


def _children(value: Any) -> list[Any]:
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [item for item in items if isinstance(item, dict | list)]


def _check_text(value: Any) -> None:
    """A lone surrogate can be parsed but not written to a socket, which fails much later."""
    try:
        json.dumps(value, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError:
        raise Malformed(Reason.NOT_TEXT, "holds a lone surrogate") from None
