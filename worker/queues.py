"""The queues: `runs.<flow>` for each flow, `agent.<name>` for each agent, `muster` for the rest."""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

import click
from celery import Celery
from kombu import Exchange, Queue

#: Messages that belong to no flow and no agent, such as Celery's own tasks.
DEFAULT_QUEUE = "muster"

_PATTERN = frozenset("*?[")


class UnknownQueue(click.UsageError):  # reads as what it says to the user
    """A queue that was asked for does not exist. The message lists those that do."""

    def __init__(self, wanted: str, known: Sequence[str]) -> None:
        what = (
            f"pattern {wanted!r} matches no queue" if is_pattern(wanted) else f"no queue {wanted!r}"
        )
        super().__init__(
            f"There is {what}. Known queues: {', '.join(known)}. "
            "A queue exists when its flow or agent is registered (see MUSTER_INCLUDE)."
            if not is_pattern(wanted)
            else f"The {what}. Known queues: {', '.join(known)}."
        )


def flow_queue(flow: str) -> str:
    """The queue (topic) of a flow's runs."""
    return f"runs.{flow}"


def agent_queue(agent: str) -> str:
    """The queue of an agent's steps."""
    return f"agent.{agent}"


def queue_of_task(name: str) -> str | None:
    """`run.<flow>` goes to `runs.<flow>`, `agent.<name>` to the queue so named, others nowhere."""
    kind, _, rest = name.partition(".")
    if kind == "run" and rest:
        return flow_queue(rest)
    return agent_queue(rest) if kind == "agent" and rest else None


def declare(app: Celery, flows: Iterable[str] = (), agents: Iterable[str] = ()) -> tuple[str, ...]:
    """Makes the queues of these flows and agents known, besides those known already.

    A worker without `-Q` consumes all known queues.

    Returns:
        The names of all known queues, sorted.
    """
    names = {*known_queues(app), *map(flow_queue, flows), *map(agent_queue, agents)}
    add_queues(app, names)
    return known_queues(app)


def add_queues(app: Celery, names: Iterable[str]) -> None:
    """Makes queues of these names known."""
    queues = {queue.name: queue for queue in app.conf.task_queues or ()}
    for name in sorted({DEFAULT_QUEUE, *names} - queues.keys()):
        queues[name] = _direct(name)
    app.conf.task_queues = tuple(queues.values())
    for queue in queues.values():
        if queue.name not in app.amqp.queues:
            app.amqp.queues.select_add(queue)


def known_queues(app: Celery) -> tuple[str, ...]:
    """The names of all declared queues, sorted."""
    return tuple(sorted(queue.name for queue in app.conf.task_queues or ()))


def is_pattern(name: str) -> bool:
    """Whether a name given on the command line stands for several queues."""
    return not _PATTERN.isdisjoint(name)


def expand(wanted: str | Iterable[str] | None, known: Sequence[str]) -> list[str]:
    """Turns what `-Q` names into queues: literal names and patterns such as `agent.*`.

    Raises:
        UnknownQueue: A name or pattern matches no known queue.
    """
    names = wanted.split(",") if isinstance(wanted, str) else list(wanted or ())
    found = [queue for name in names for queue in _matches(name.strip(), known)]
    return list(dict.fromkeys(found))


def _matches(wanted: str, known: Sequence[str]) -> list[str]:
    queues = [queue for queue in known if fnmatchcase(queue, wanted)]
    if not queues:
        raise UnknownQueue(wanted, known)
    return queues


def _direct(name: str) -> Queue:
    # The anonymous exchange routes by queue name alone. A named one keeps its bindings in Redis
    # and loses messages silently once those are flushed.
    return Queue(name, Exchange("", type="direct"), routing_key=name)
