"""A channel that says at once that Redis is away."""

from typing import Any

from redis.backoff import NoBackoff
from redis.retry import Retry


class PromptChannel:
    """Mixed into a kombu Redis channel.

    redis-py tries a failed connection again for seconds, under everybody who would rather know:
    a trigger's run is accepted without its message, and Celery's consumer has retries of its own.
    """

    def _connparams(self, **options: Any) -> dict[str, Any]:
        parameters: dict[str, Any] = super()._connparams(**options)  # type: ignore[misc]  # a mixin
        return {**parameters, "retry": Retry(NoBackoff(), 0)}
