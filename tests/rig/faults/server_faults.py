"""Faults of servers and of the network to them; and of the messages in between."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from contextlib import suppress
from uuid import uuid4

from redis import Redis

from tests.rig.faults.client import Client, Wish
from tests.rig.faults.proxy import FaultProxy, Mode
from tests.rig.faults.rig import FaultRig
from tests.rig.faults.stub_llm import Manner
from tests.services.waiting import wait_until

_CALLERS = 4
_HIT_SECONDS = 20.0
_QUEUES = ("runs.*", "agent.*")


def restart_redis(rig: FaultRig, chance: random.Random) -> None:
    """Kill Redis, start it again with what its append-only file has."""
    with rig.fault("redis restart") as proof:
        proof["connections cut"] = sum(slot.redis.links for slot in rig.slots)
        rig.redis.kill()
        time.sleep(chance.uniform(0.5, 2.0))
        rig.redis.start()


def flush_redis(rig: FaultRig, _: random.Random) -> None:
    """Empty Redis while it is in use."""
    with Redis.from_url(rig.redis.url) as broker, rig.fault("redis flush") as proof:
        proof["keys lost"] = int(broker.dbsize())
        broker.flushall()


def restart_database(rig: FaultRig, chance: random.Random) -> None:
    """Kill the database as a crash would, and start it again."""
    with rig.fault("database restart") as proof:
        proof["connections cut"] = sum(slot.database.links for slot in rig.slots)
        rig.postgres.kill()
        time.sleep(chance.uniform(0.2, 1.5))
        rig.postgres.start()


def duplicate_messages(rig: FaultRig, chance: random.Random) -> None:
    """Deliver again what waits and what is being executed, in another order."""
    with Redis.from_url(rig.redis.url) as broker, rig.fault("redis duplicates") as proof:
        copies = [*_waiting(broker), *_taken(broker)]
        chance.shuffle(copies)
        for queue, message in copies:
            for _ in range(chance.randint(1, 4)):
                broker.lpush(queue, _with_new_tag(message))
        proof["messages copied"] = len(copies)


def break_redis(rig: FaultRig, chance: random.Random, mode: Mode) -> None:
    """Break one worker's network to Redis."""
    slot = rig.victim(chance)
    _break(rig, chance, slot.redis, slot.pid, f"redis {mode}", mode)


def break_database(rig: FaultRig, chance: random.Random, mode: Mode) -> None:
    """Break one worker's network to the database."""
    slot = rig.victim(chance)
    _break(rig, chance, slot.database, slot.pid, f"database {mode}", mode)


def upset_model(rig: FaultRig, chance: random.Random, manner: Manner) -> None:
    """Let the model server misbehave, and have somebody ask it."""
    client = Client(rig.muster, rig.history)
    wish = Wish("rig-talk", {"name": "upset", "steps": 2}, numbers=range(3))
    kind = "storm" if manner.status != 200 else "reset" if manner.reset else "drip"
    before = len(rig.stub.calls)
    with rig.fault(f"llm {kind}") as proof, rig.stub.behaving(manner):
        for _ in range(_CALLERS):
            client.submit(wish, f"upset-{uuid4()}")
        proof["calls upset"] = _hits(chance.uniform(2.0, 4.0), lambda: len(rig.stub.calls) - before)


def _break(
    rig: FaultRig, chance: random.Random, proxy: FaultProxy, pid: int, kind: str, mode: Mode
) -> None:
    before = proxy.hits[mode]
    with rig.fault(kind, [pid]) as proof:
        with proxy.broken(mode):
            _hits(chance.uniform(1.5, 5.0), lambda: proxy.hits[mode] - before)
        proof["connections and chunks"] = proxy.hits[mode] - before


def _hits(seconds: float, count: Callable[[], int]) -> int:
    """Let a fault last for some seconds, and on until it has hit something or time is up."""
    time.sleep(seconds)
    with suppress(AssertionError):  # who struck looks at the proof, and strikes again
        wait_until(count, _HIT_SECONDS, "the fault has hit something")
    return count()


def _waiting(broker: Redis) -> list[tuple[bytes, bytes]]:
    keys = [key for pattern in _QUEUES for key in broker.keys(pattern)]
    lists = [key for key in keys if broker.type(key) == b"list"]
    return [(key, message) for key in lists for message in broker.lrange(key, 0, -1)]


def _taken(broker: Redis) -> list[tuple[bytes, bytes]]:
    """What kombu keeps until it is acknowledged: (message, exchange, queue) by delivery tag."""
    kept = [json.loads(entry) for entry in broker.hvals("unacked")]
    return [(queue.encode(), json.dumps(message).encode()) for message, _, queue in kept]


def _with_new_tag(message: bytes) -> bytes:
    """Acknowledging one copy must not remove the other: to the broker they are two messages."""
    copy = json.loads(message)
    copy["properties"]["delivery_tag"] = str(uuid4())
    return json.dumps(copy).encode()
