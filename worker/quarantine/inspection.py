"""Whether a message, as its bytes lie in Redis, can be given to kombu and Celery.

Everything is checked before kombu parses the message and notes it as unacknowledged: one that
fails later would come back at every restart.
"""

import base64
import binascii
import math
from collections.abc import Callable
from typing import Any

from worker.quarantine.reason import Fault, Malformed, Reason
from worker.quarantine.strict_json import parse

#: Default limit of a whole message, in bytes. Messages carry ids, never the work itself.
MAX_BYTES = 1024 * 1024

_CONTENT_TYPES = ("application/json",)
_CHARSETS = ("utf-8", "utf8", "us-ascii", "ascii")
_BODY_ENCODINGS = (None, "base64", "utf-8")
_LONGEST_NAME = 512

_OPTIONAL_HEADERS: dict[str, type | tuple[type, ...]] = {
    "shadow": str,
    "eta": str,
    "expires": str,
    "root_id": str,
    "parent_id": str,
    "group": str,
    "group_index": int,
    "lang": str,
    "origin": str,
    "argsrepr": str,
    "kwargsrepr": str,
    "retries": int,
    "ignore_result": bool,
    "replaced_task_nesting": int,
    "stamped_headers": list,
    "stamps": dict,
}
_EMBEDDED: dict[str, type] = {"callbacks": list, "errbacks": list, "chain": list, "chord": dict}


Message = dict[str, Any]


def task_message(raw: bytes, max_bytes: int = MAX_BYTES) -> Message | Fault:
    """A message on a task queue as kombu would parse it, if Celery can take it. Never raises."""
    return _inspected(_task, raw, max_bytes)


def broadcast_message(raw: bytes, max_bytes: int = MAX_BYTES) -> Message | Fault:
    """The same for a control command, a reply or an event."""
    return _inspected(_broadcast, raw, max_bytes)


def _inspected(
    read: Callable[[bytes, int], Message], raw: bytes, max_bytes: int
) -> Message | Fault:
    try:
        return read(raw, max_bytes)
    except Malformed as malformed:
        return malformed.fault
    except Exception as error:  # noqa: BLE001  # a check that fails must not take the worker along
        return Fault(Reason.REFUSED, f"inspection failed ({type(error).__name__})")


def _task(raw: bytes, max_bytes: int) -> Message:
    message = _envelope(raw, max_bytes)
    _check_task_headers(message["headers"])
    _check_call(_body(message))
    return message


def _broadcast(raw: bytes, max_bytes: int) -> Message:
    message = _envelope(raw, max_bytes)
    _require(isinstance(_body(message), dict | list), Reason.BODY_NOT_CALL, "body is no object")
    return message


def _require(condition: object, reason: Reason, detail: str) -> None:
    if not condition:
        raise Malformed(reason, detail)


def _envelope(raw: bytes, max_bytes: int) -> Message:
    _require(len(raw) <= max_bytes, Reason.TOO_LARGE, f"more than {max_bytes} bytes")
    message = parse(raw, Reason.ENVELOPE_NOT_JSON)
    _require(isinstance(message, dict), Reason.ENVELOPE_SHAPE, "message is no object")
    _check_properties(message.get("properties"))
    headers = message.setdefault("headers", {})
    _require(isinstance(headers, dict), Reason.HEADERS, "headers are no object")
    _require(not headers.get("compression"), Reason.COMPRESSED, "compressed bodies are refused")
    return message  # type: ignore[no-any-return]  # checked to be a dict


def _check_properties(properties: Any) -> None:
    _require(isinstance(properties, dict), Reason.PROPERTIES, "properties are missing")
    _check_name(properties.get("delivery_tag"), Reason.PROPERTIES, "delivery_tag")
    encoding = properties.get("body_encoding")
    _require(encoding in _BODY_ENCODINGS, Reason.PROPERTIES, "unknown body_encoding")
    info = properties.get("delivery_info")
    _require(isinstance(info, dict), Reason.PROPERTIES, "delivery_info is missing")
    for key in ("exchange", "routing_key"):
        _require(isinstance(info.get(key), str), Reason.PROPERTIES, f"{key} is missing")
    for key in ("correlation_id", "reply_to"):
        _require(isinstance(properties.get(key, ""), str | None), Reason.PROPERTIES, f"bad {key}")


def _check_name(value: Any, reason: Reason, name: str) -> None:
    good = isinstance(value, str) and 0 < len(value) <= _LONGEST_NAME
    _require(good, reason, f"{name} is missing, too long or no text")


def _check_task_headers(headers: dict[str, Any]) -> None:
    _check_name(headers.get("task"), Reason.HEADERS, "task")
    _check_name(headers.get("id"), Reason.HEADERS, "id")
    for name, kind in _OPTIONAL_HEADERS.items():
        value = headers.get(name)
        _require(value is None or isinstance(value, kind), Reason.HEADERS, f"bad {name}")
    _check_time_limits(headers.get("timelimit"))
    stamped = headers.get("stamped_headers") or []
    _require(all(isinstance(s, str) for s in stamped), Reason.HEADERS, "bad stamped_headers")


def _check_time_limits(limits: Any) -> None:
    if limits is None:
        return
    good = isinstance(limits, list) and len(limits) == 2 and all(map(_is_limit, limits))  # noqa: PLR2004  # hard and soft
    _require(good, Reason.HEADERS, "bad timelimit")


def _is_limit(value: Any) -> bool:
    if value is None:
        return True
    return isinstance(value, int | float) and math.isfinite(value) and value >= 0


def _body(message: Message) -> Any:
    _require(
        message.get("content-type") in _CONTENT_TYPES,
        Reason.CONTENT_TYPE,
        "content type is not JSON",
    )
    charset = message.get("content-encoding")
    good = isinstance(charset, str) and charset.lower() in _CHARSETS
    _require(good, Reason.CONTENT_TYPE, "content encoding is not UTF-8")
    return parse(_decoded(message), Reason.BODY_NOT_JSON)


def _decoded(message: Message) -> bytes:
    body = message.get("body")
    if not isinstance(body, str):
        raise Malformed(Reason.BODY_NOT_BASE64, "body is no text")
    if message["properties"].get("body_encoding") != "base64":
        return body.encode()
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        raise Malformed(Reason.BODY_NOT_BASE64, "body is not base64") from None


def _check_call(body: Any) -> None:
    """Celery's protocol 2: `[args, kwargs, embed]`."""
    good = isinstance(body, list) and len(body) == 3  # noqa: PLR2004  # the triple
    _require(good, Reason.BODY_NOT_CALL, "body is not [args, kwargs, embed]")
    args, kwargs, embed = body
    good = isinstance(args, list) and isinstance(kwargs, dict) and isinstance(embed, dict)
    _require(good, Reason.BODY_NOT_CALL, "args, kwargs or embed of the wrong type")
    for name, kind in _EMBEDDED.items():
        value = embed.get(name)
        _require(value is None or isinstance(value, kind), Reason.BODY_NOT_CALL, f"bad {name}")
    _require(embed.keys() <= _EMBEDDED.keys(), Reason.BODY_NOT_CALL, "unknown key in embed")
