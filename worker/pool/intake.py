"""How much the consumer fetches: more for jobs that take no slot, nothing from paused queues."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any


class Intake:
    """A handle on Celery's consumer for the pool and the engine.

    Args:
        consumer: The consumer of this worker.
    """

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer

    def lend(self) -> Callable[[], None]:
        """Fetch one message more until the returned function is called.

        A run that waits would otherwise count against the prefetch limit, and a worker full of
        waiting runs would never fetch the steps that they wait for.
        """
        qos = self._consumer.qos
        if qos is None:  # the consumer is between two connections
            return _nothing
        qos.increment_eventually()

        def give_back() -> None:
            if self._consumer.qos is qos:  # a reconnection begins anew
                qos.decrement_eventually()

        return give_back

    def pause(self, queues: Iterable[str]) -> None:
        """Fetch nothing from these queues until they are resumed; other workers still do."""
        for queue in queues:
            self._consumer.call_soon(self._consumer.cancel_task_queue, queue)

    def resume(self, queues: Iterable[str]) -> None:
        """Fetch from these queues again."""
        for queue in queues:
            self._consumer.call_soon(self._consumer.add_task_queue, queue)


def _nothing() -> None:
    """Nothing was lent."""
