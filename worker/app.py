"""The Celery app class and its configuration; `worker.celery` makes the one app of a worker."""

from collections.abc import Callable, Coroutine
from functools import cached_property
from typing import Any
from urllib.parse import parse_qs, urlsplit

from celery import Celery

from worker.pool.drain import Drain
from worker.pool.intake import Intake
from worker.pool.program import WorkerProgram
from worker.pool.task import AsyncTask
from worker.quarantine.quarantine import Quarantine
from worker.quarantine.sinks import RedisListSink
from worker.quarantine.transport import InspectedAMQP
from worker.queues import DEFAULT_QUEUE, add_queues, queue_of_task

_DAY = 86_400
_SPARE_CONNECTIONS = 64


class DuplicateTask(ValueError):  # says what it is
    """Two functions were registered under one task name."""


class MusterCelery(Celery):
    """A Celery app with async task bodies, inspected messages and a drain at shutdown.

    Attributes:
        quarantine: Takes malformed messages; set its `sink` to record them elsewhere.
        drain: Tells the application of a shutdown; see `Drain.on_drain`.
        intake: Governs what the consumer fetches; None before it consumes.
        holds_many_runs: Whether the asyncio pool runs here, where a run takes no slot.
    """

    task_cls: Any = AsyncTask
    amqp_cls: Any = InspectedAMQP

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.quarantine = Quarantine()
        self.drain = Drain()
        self.holds_many_runs = False
        self.intake: Intake | None = None
        self._queue_of: dict[str, str] = {}

    def route_to(self, task_name: str, queue: str) -> None:
        """Sends the messages of a task to a queue, which becomes known."""
        self._queue_of[task_name] = queue
        add_queues(self, [queue])

    def route(self, name: str, *_args: Any, **_options: Any) -> dict[str, str] | None:
        """Celery's router."""
        queue = self._queue_of.get(name) or queue_of_task(name)
        return {"queue": queue} if queue else None

    @cached_property
    def Worker(self) -> Any:  # noqa: N802  # Celery's name
        """The worker program that the command line starts."""
        return self.subclass_with_self(WorkerProgram)


def configure(
    app: MusterCelery,
    redis_url: str,
    *,
    concurrency: int = 200,
    soft_shutdown_seconds: float = 10.0,
    visibility_seconds: int = _DAY,
    restore_seconds: int = 60,
    hijack_root_logger: bool = True,
) -> None:
    """Configures the app: broker, pool, delivery, events.

    Args:
        app: The app.
        redis_url: `redis://`, `rediss://`, `unix://` or `sentinel://…`.
        concurrency: Tasks that one worker process runs at once, unless `-c` says otherwise.
        soft_shutdown_seconds: What running tasks have to end at SIGQUIT before they are cancelled.
        visibility_seconds: How long a message of a dead worker stays away. Long on purpose: a
            lapsed lease recovers a run within seconds, redelivery is only the broom.
        restore_seconds: How often messages of dead workers are looked for.
        hijack_root_logger: Whether Celery configures logging.
    """
    app.quarantine.sink = RedisListSink(redis_url)
    app.conf.update(
        broker_url=_kombu_url(redis_url),
        broker_transport_options=_transport_options(
            app.quarantine, concurrency, visibility_seconds, restore_seconds
        ),
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_pool_limit=_SPARE_CONNECTIONS,
        **_pool_settings(concurrency, soft_shutdown_seconds),
        **_message_settings(),
        task_routes=(app.route,),
        worker_hijack_root_logger=hijack_root_logger,
        worker_redirect_stdouts=False,
    )
    add_queues(app, ())


def register(
    app: MusterCelery,
    name: str,
    async_fn: Callable[..., Coroutine[Any, Any, Any]],
    *,
    queue: str | None = None,
    **options: Any,
) -> AsyncTask:
    """Makes a coroutine function a task, and its queue known.

    Args:
        app: The app.
        name: The task's name; `run.<flow>` and `agent.<name>` find their queues by themselves.
        async_fn: The body. With `bind=True` among the options it receives the task first.
        queue: The queue of its messages; by default that of the name, else the default queue.
        options: Any option of a Celery task, such as `time_limit` or `bind`.

    Raises:
        DuplicateTask: The name is taken by another function.
    """
    if name in app.tasks:
        taken_by = getattr(app.tasks[name], "__wrapped__", app.tasks[name])
        raise DuplicateTask(
            f"Task name {name!r} is taken by {taken_by!r}; give one of the two another name."
        )
    app.route_to(name, queue or queue_of_task(name) or DEFAULT_QUEUE)
    decorate: Any = app.task(name=name, lazy=False, shared=False, **options)
    task: AsyncTask = decorate(async_fn)
    return task


def _pool_settings(concurrency: int, soft_shutdown_seconds: float) -> dict[str, Any]:
    return {
        "worker_pool": "worker.pool.asyncio_pool:TaskPool",
        "worker_consumer": "worker.quarantine.consumer:QuarantiningConsumer",
        "worker_concurrency": concurrency,
        # One message per slot: what a worker has not begun, another one may take.
        "worker_prefetch_multiplier": 1,
        "worker_soft_shutdown_timeout": soft_shutdown_seconds,
        # A run outlives a lost connection; its journal, not its message, says that it goes on.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_send_task_events": True,
    }


def _message_settings() -> dict[str, Any]:
    return {
        "accept_content": ["json"],
        "task_serializer": "json",
        "result_serializer": "json",
        "event_serializer": "json",
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        # Results are the journal's. Celery's would fail finished tasks when Redis is away.
        "task_ignore_result": True,
        "task_send_sent_event": True,
        "task_default_queue": DEFAULT_QUEUE,
        "task_default_exchange_type": "direct",
        "task_create_missing_queue_exchange_type": "direct",
        "enable_utc": True,
        "timezone": "UTC",
    }


def _transport_options(
    quarantine: Quarantine, concurrency: int, visibility_seconds: int, restore_seconds: int
) -> dict[str, Any]:
    return {
        "quarantine": quarantine,
        "visibility_timeout": visibility_seconds,
        "unacked_restore_interval": restore_seconds,
        "unacked_restore_throttle": 1,
        "max_connections": concurrency + _SPARE_CONNECTIONS,
        # Who publishes learns at once that Redis is away; the consumer has retries of its own.
        "max_retries": 1,
        "interval_start": 0,
        "interval_step": 0,
        "interval_max": 0,
        "socket_timeout": 15,
        "socket_connect_timeout": 5,
        "socket_keepalive": True,
        "health_check_interval": 15,
    }


def _kombu_url(url: str) -> str:
    """Say in kombu's words what redis-py understands.

    A unix socket is `redis+socket:///path?virtual_host=0`. And kombu trusts any certificate unless
    it is told to verify, which redis-py does by itself.
    """
    parts = urlsplit(url)
    if parts.scheme == "rediss" and "ssl_cert_reqs" not in parse_qs(parts.query):
        return f"{url}{'&' if parts.query else '?'}ssl_cert_reqs=required"
    if parts.scheme != "unix":
        return url
    database = parse_qs(parts.query).get("db", ["0"])[0]
    return f"redis+socket://{parts.netloc}{parts.path}?virtual_host={database}"
