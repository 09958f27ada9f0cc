"""One way to log for the whole process: ours by structlog, Celery's and libraries' by stdlib.

Lines go to stderr, so that a command's stdout carries its result alone. Every line carries what the
context knows of `run`, `step`, `agent`, `attempt` and `trace_id`, and passes the redactor last.
"""

from __future__ import annotations

import json
import logging
import math
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, TextIO

import structlog
from structlog.contextvars import bound_contextvars, merge_contextvars
from structlog.dev import ConsoleRenderer, plain_traceback
from structlog.processors import (
    CallsiteParameter,
    CallsiteParameterAdder,
    StackInfoRenderer,
    TimeStamper,
    UnicodeDecoder,
    format_exc_info,
)
from structlog.stdlib import (
    BoundLogger,
    LoggerFactory,
    PositionalArgumentsFormatter,
    ProcessorFormatter,
    add_log_level,
    add_logger_name,
    filter_by_level,
)
from structlog.typing import EventDict, Processor, WrappedLogger

from envelope.running import RUNNING
from worker.redaction import Redactor
from worker.settings import Settings

# They tell of every request at INFO. What matters of a model call, the engine logs itself.
_CHATTY = ("httpx", "httpx2", "httpcore", "httpcore2", "openai", "asyncio", "urllib3", "alembic")
_FIRST = ("timestamp", "level", "event")
_CONTROL_CHARACTERS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}
_CONTROL_CHARACTERS.pop(ord("\t"))
# Arguments of a task of ours, as Celery quotes them: the run's id, and the step where it has one.
_OUR_ARGUMENTS = re.compile(r"[(\[]'(?P<run>[0-9a-f-]{36})'(?:, '(?P<step>[^'\\]{1,200})')?,?[)\]]")
_OUR_TRACE = re.compile(r"\{'trace_id': '(?P<trace_id>[0-9a-f]{32})'\}")
_OF_AGENT = "agent."
# Tracebacks have lines of their own.
_LINES = {code: text for code, text in _CONTROL_CHARACTERS.items() if code != ord("\n")}


class MusterHandler(logging.StreamHandler[TextIO]):
    """The one handler that `configure` installs, so that a second call can find it."""


def configure(settings: Settings) -> None:
    """Send all logging of the process to stderr, in the format and from the level of the settings.

    May be called again, and in a forked child. Handlers that others attached on purpose stay.
    """
    redactor = Redactor(settings.secrets())
    handler = MusterHandler(sys.stderr)
    handler.setFormatter(_formatter(redactor, as_json=_wants_json(settings)))
    _replace_handler(handler)
    level = logging.getLevelNamesMapping()[settings.log_level]
    logging.getLogger().setLevel(level)
    for name in _CHATTY:
        quiet = level if level <= logging.DEBUG else max(level, logging.WARNING)
        logging.getLogger(name).setLevel(quiet)
    logging.captureWarnings(capture=True)
    structlog.configure(
        processors=[filter_by_level, *_COMMON, ProcessorFormatter.wrap_for_formatter],
        logger_factory=LoggerFactory(),
        wrapper_class=BoundLogger,
        cache_logger_on_first_use=False,
    )


def logging_context(
    *,
    run: str | None = None,
    step: str | None = None,
    agent: str | None = None,
    attempt: int | None = None,
    trace_id: str | None = None,
) -> AbstractContextManager[None]:
    """Puts what is given on every line that is logged inside, by whomever and in any task below.

    A running step needs no help: its lines take these from `envelope.running`.
    """
    given = {"run": run, "step": step, "agent": agent, "attempt": attempt, "trace_id": trace_id}
    return bound_contextvars(**{name: value for name, value in given.items() if value is not None})


def _formatter(redactor: Redactor, *, as_json: bool) -> ProcessorFormatter:
    def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        masked: EventDict = redactor.value(event)
        return masked

    ending: Sequence[Processor] = (
        [_JSON] if as_json else [_printable, _console(sys.stderr.isatty())]
    )
    return ProcessorFormatter(
        foreign_pre_chain=_COMMON,
        processors=[ProcessorFormatter.remove_processors_meta, redact, *ending],
    )


def _json_line(event: EventDict, **_: Any) -> str:
    """Strict JSON whatever was logged: NaN and odd keys become text instead of an error."""
    ordered = {**{key: event[key] for key in _FIRST if key in event}, **event}
    try:
        return json.dumps(ordered, allow_nan=False, default=str)
    except (TypeError, ValueError):
        return json.dumps(_strict(ordered), default=str)


def _strict(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _strict(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_strict(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _running(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """What the running step says of itself, unless the line or its context says otherwise."""
    step = RUNNING.get()
    if step is None:
        return event
    facts = {"run": step.run_id, "step": step.step, "agent": step.agent, "attempt": step.attempt}
    trace = {"trace_id": step.trace_id} if step.trace_id is not None else {}
    return {**facts, **trace, **event}


def _of_task(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Celery tells of a message before and after its body: whose it is, its arguments say."""
    data = getattr(event.get("_record"), "data", None)
    if not isinstance(data, dict):
        return event
    found, task = _OUR_ARGUMENTS.fullmatch(str(data.get("args"))), str(data.get("name"))
    facts = found.groupdict() if found is not None else {}
    if found is not None and task.startswith(_OF_AGENT):
        facts["agent"] = task.removeprefix(_OF_AGENT)
    traced = _OUR_TRACE.fullmatch(str(data.get("kwargs")))
    facts |= traced.groupdict() if found is not None and traced is not None else {}
    facts = {name: value for name, value in facts.items() if value is not None}
    return {**facts, "task": data.get("name"), "task_id": data.get("id"), **event}


def _printable(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Text from outside may not move a terminal's cursor or fake a second line."""
    return {
        key: value.translate(_LINES if key in {"exception", "stack"} else _CONTROL_CHARACTERS)
        if isinstance(value, str)
        else value
        for key, value in event.items()
    }


def _console(colours: bool) -> ConsoleRenderer:
    # Its richer tracebacks print local variables, and with them secrets.
    return ConsoleRenderer(colors=colours, exception_formatter=plain_traceback, pad_event_to=0)


def _wants_json(settings: Settings) -> bool:
    if settings.log_format == "auto":
        return not sys.stderr.isatty()
    return settings.log_format == "json"


def _replace_handler(handler: logging.Handler) -> None:
    """Plain stream handlers are basicConfig's or Celery's: with them each line would come twice."""
    root = logging.getLogger()
    for old in list(root.handlers):
        if isinstance(old, MusterHandler) or type(old) is logging.StreamHandler:
            root.removeHandler(old)
    root.addHandler(handler)


_JSON: Callable[..., Any] = structlog.processors.JSONRenderer(serializer=_json_line)
_COMMON: list[Processor] = [
    merge_contextvars,
    _running,
    _of_task,
    add_log_level,
    add_logger_name,
    PositionalArgumentsFormatter(),
    TimeStamper(fmt="iso", utc=True),
    CallsiteParameterAdder({CallsiteParameter.PROCESS}),
    StackInfoRenderer(),
    format_exc_info,
    UnicodeDecoder(),
]
