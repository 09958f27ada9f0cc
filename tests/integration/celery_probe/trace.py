"""Traces that probe tasks leave outside their process."""

import json
from typing import Any

import redis

from tests.integration.celery_probe.app import REDIS_URL

client = redis.Redis.from_url(REDIS_URL, decode_responses=True, max_connections=300)


def leave(what: str, **details: Any) -> None:
    client.rpush("trace", json.dumps({"what": what, **details}))
