"""Names of the keys and channels that locks use in Redis. A caller's key is quoted as a whole.

`muster:lock:<key>`          hash: who has the lock; expires with its term
`muster:lock-queue:<key>`    zset: who waits, by order of asking
`muster:lock-waiters:<key>`  zset: who waits, by when it counts as dead
`muster:locks`               zset: index of the locks, by when they lapse
`muster:locks:era`           hash: since when Redis remembers locks, and when it gives out new ones
`muster:fence`               string: the last fencing number

Channel `muster:wake:locks:<process>`: notices to the process of the waiter that is next.
"""

from __future__ import annotations

from urllib.parse import quote, unquote

INDEX = "muster:locks"
ERA = "muster:locks:era"
FENCE = "muster:fence"
LISTENING = "locks:"
"""The wake-up channel that a process listens to begins so; its id follows."""
CHANNEL = f"muster:wake:{LISTENING}"
"""The same channel, as Redis knows it."""


def quoted(key: str) -> str:
    """Return a caller's key as the last part of ours; no two keys give the same."""
    return quote(key, safe="")


def unquoted(name: str) -> str:
    """Return the caller's key."""
    return unquote(name)


def lock_of(name: str) -> str:
    """Return the key that says who has the lock."""
    return f"muster:lock:{name}"


def keys_of(name: str) -> list[str]:
    """Return the lock, its queue and its waiters, in the order that the scripts take them."""
    return [lock_of(name), f"muster:lock-queue:{name}", f"muster:lock-waiters:{name}"]
