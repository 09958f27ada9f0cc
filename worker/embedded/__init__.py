"""A Redis that starts by itself where none is configured; processes with one home share it."""

from worker.embedded.embedded_redis import EmbeddedRedis
from worker.embedded.ensure import RedisServer, ensure_redis

__all__ = ["EmbeddedRedis", "RedisServer", "ensure_redis"]
