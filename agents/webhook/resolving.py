"""From a target to the addresses that may be connected to, all of them checked."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence

from agents.webhook.addresses import objection
from agents.webhook.target import Target
from envelope.errors import NotSent, Refused

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Returns the IP addresses of a host and port; raises OSError where there are none."""


async def system_resolve(host: str, port: int) -> Sequence[str]:
    """Ask the operating system."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


async def checked_addresses(target: Target, resolve: Resolve, *, private: bool) -> Sequence[str]:
    """Return the addresses of a target, once every one of them was found to be allowed.

    The caller connects to these addresses, never to the name: a name may answer differently the
    next time that it is asked for (DNS rebinding).

    Raises:
        NotSent: The name cannot be resolved now.
        Refused: One of its addresses is not allowed.
    """
    addresses = [target.host] if target.is_address else await _resolved(target, resolve)
    for address in addresses:
        problem = objection(address, private=private)
        if problem is not None:
            raise Refused(f"Nothing was sent to {target.host}: its address {address} {problem}.")
    return addresses


async def _resolved(target: Target, resolve: Resolve) -> Sequence[str]:
    try:
        addresses = await resolve(target.host, target.port)
    except OSError as problem:
        reason = problem.strerror or type(problem).__name__
        raise NotSent(f"{target.host} cannot be resolved: {reason}.") from problem
    if not addresses:
        raise NotSent(f"{target.host} has no address.")
    return addresses
