"""Celery's consumer, which puts what it cannot take into quarantine instead of dying of it."""

import json
import logging
import time
from collections.abc import Callable
from typing import Any

import redis
from celery import bootsteps, signals
from celery.exceptions import NotRegistered
from celery.worker.consumer import Consumer
from vine import ppartial

from worker.pool.intake import Intake
from worker.quarantine.quarantine import Quarantine
from worker.quarantine.reason import Fault, Reason

logger = logging.getLogger(__name__)

_GATHER_SECONDS = 0.1

# Kombu counts KeyError among its connection errors. Here it means a malformed message, and to
# reconnect because of it would deliver that message again, for ever.
_CONNECTION_LOST = (OSError, redis.ConnectionError, redis.TimeoutError)


class QuarantiningConsumer(Consumer):
    """The consumer that the setting `worker_consumer` names.

    The transport refuses what is malformed in itself. Here ends what only Celery can judge: names
    of unknown tasks, headers that its request class rejects, and whatever else a message breaks.
    """

    app: Any
    hub: Any
    _next_flush = 0.0

    def create_task_handler(self, *args: Any, **options: Any) -> Callable[[Any], None]:
        """Celery's handler of a message; one that breaks it is removed."""
        self.app.intake = Intake(self)
        handle = super().create_task_handler(*args, **options)

        def on_task_received(message: Any) -> None:
            try:
                handle(message)
            except _CONNECTION_LOST:
                raise
            except Exception as error:  # noqa: BLE001  # the message is at fault, whatever it broke
                self._refuse(message, Reason.REFUSED, error)

        return on_task_received

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """The body cannot be decoded."""
        self._refuse(message, Reason.BODY_NOT_JSON, exc)

    def on_unknown_message(self, body: Any, message: Any) -> None:  # noqa: ARG002  # Celery's hook
        """No task message at all."""
        self._refuse(message, Reason.HEADERS, None)
        signals.task_rejected.send(sender=self, message=message, exc=None)

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:  # noqa: ARG002  # Celery's hook
        """Celery's request class rejects the headers or the content type."""
        self._refuse(message, Reason.REFUSED, exc)
        signals.task_rejected.send(sender=self, message=message, exc=exc)

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:  # noqa: ARG002  # Celery's hook
        """No task of that name is registered here."""
        self._refuse(message, Reason.UNKNOWN_TASK, NotRegistered(""))
        headers = message.headers
        name, task_id = headers.get("task"), headers.get("id")
        signals.task_unknown.send(sender=self, message=message, exc=exc, name=name, id=task_id)

    def call_soon_ack(self, p: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Acknowledges at once while the worker stops: its hub turns no more until it closes."""
        if self.blueprint.state == bootsteps.RUN:  # type: ignore[attr-defined]  # absent from the stubs
            return super().call_soon_ack(p, *args, **kwargs)  # type: ignore[misc]  # absent from the stubs
        acknowledge: Any = ppartial(p, *args, **kwargs)  # type: ignore[arg-type]  # the stubs err
        acknowledge()
        return acknowledge

    def on_send_event_buffered(self) -> None:  # type: ignore[override]  # the stubs err
        """Gathers events for a moment: a message of many costs little more than one of one."""
        now = time.monotonic()
        if self.blueprint.state != bootsteps.RUN:  # type: ignore[attr-defined]  # as above
            self._flush_events()  # type: ignore[attr-defined]  # as above
        elif now >= self._next_flush:
            self._next_flush = now + _GATHER_SECONDS
            self.hub.call_later(_GATHER_SECONDS, self._flush_events)  # type: ignore[attr-defined]  # as above

    def _refuse(self, message: Any, reason: Reason, error: Exception | None) -> None:
        quarantine: Quarantine = self.app.quarantine
        queue = str((message.delivery_info or {}).get("routing_key", ""))
        detail = type(error).__name__ if error is not None else "not a task message"
        quarantine.take(queue, Fault(reason, detail), _raw(message))
        if not message.acknowledged:
            message.reject_log_error(logger, _CONNECTION_LOST)


def _raw(message: Any) -> bytes:
    """The message's parts that tell what it was, headers first."""
    body = message.body
    raw = body if isinstance(body, bytes) else str(body).encode("utf-8", "backslashreplace")
    return json.dumps(message.headers, default=str).encode() + b"\n" + raw
