"""Which IP addresses a webhook may be sent to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


def _networks(texts: Iterable[str]) -> tuple[Network, ...]:
    return tuple(ip_network(text) for text in texts)


# Where machines keep credentials for whoever asks from inside. Some are not in private ranges.
_METADATA: Final = frozenset(
    map(
        ip_address,
        (
            "169.254.169.254",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "fd00:ec2::254",
            "fd20:ce::254",
            "fd00:c1::a9fe:a9fe",
        ),
    )
)
_PRIVATE: Final = _networks(
    (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "127.0.0.0/8",
        "100.64.0.0/10",
        "::1/128",
        "fc00::/7",
    )
)
# They carry an IPv4 address that somebody on the way unpacks: mapped, compatible, translated,
# local NAT64, Teredo, 6to4. Nobody who means well names a host by one.
_WRAPPED: Final = _networks(
    (
        "::ffff:0:0/96",
        "::/96",
        "::ffff:0:0:0/96",
        "64:ff9b:1::/48",
        "2001::/32",
        "2002::/16",
    )
)
# A resolver of a network without IPv4 answers so for every host that has IPv4 only (RFC 6147).
_NAT64: Final = IPv6Network("64:ff9b::/96")
# Of the IANA special-purpose registries, what Python 3.11 still calls global.
_SPECIAL: Final = _networks(("192.88.99.0/24", "3fff::/20", "5f00::/16", "fec0::/10"))
_IPV4_BITS: Final = 0xFFFF_FFFF


def objection(text: str, *, private: bool) -> str | None:
    """Say why nothing may be sent to an address; None where it may.

    Args:
        text: The address, as a resolver returns it.
        private: Whether private and loopback addresses are allowed. Link-local, metadata,
            multicast, reserved and wrapped addresses never are.
    """
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return "is not an IP address"
    if isinstance(address, IPv6Address) and address in _NAT64:
        address = IPv4Address(int(address) & _IPV4_BITS)
    if private and address not in _METADATA and _within(address, _PRIVATE):
        return None
    return next((reason for reason, forbids in _OBJECTIONS if forbids(address)), None)


def _within(address: Address, networks: tuple[Network, ...]) -> bool:
    return any(address in network for network in networks)


_OBJECTIONS: Final[tuple[tuple[str, Callable[[Address], bool]], ...]] = (
    ("gives out a machine's credentials", lambda address: address in _METADATA),
    (
        "is private; MUSTER_WEBHOOK_PRIVATE=true allows it",
        lambda address: _within(address, _PRIVATE),
    ),
    ("wraps another address", lambda address: _within(address, _WRAPPED)),
    ("is link-local", lambda address: address.is_link_local),
    ("is a multicast address", lambda address: address.is_multicast),
    (
        "is reserved",
        lambda address: not address.is_global or address.is_reserved or _within(address, _SPECIAL),
    ),
)
