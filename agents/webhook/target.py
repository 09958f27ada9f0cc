"""Where a webhook goes: a URL in its one spelling."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Final

from agents.webhook.host_name import host_name, is_ip_address

_LONGEST: Final = 2048
_PORTS: Final = {"https": 443, "http": 80}
_HIGHEST_PORT: Final = 65_535
_URL: Final = re.compile(r"(?P<scheme>https?)://(?P<place>[^/?#\\]*)(?P<path>[^#]*)", re.IGNORECASE)
_PLACE: Final = re.compile(
    r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[^:\[\]]+))(?::(?P<port>[0-9]{1,5}))?"
)
# RFC 3986, 3.3 and 3.4: what else occurs has to be percent-encoded by whoever writes the URL.
_PATH: Final = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*")
_DOTS: Final = re.compile(r"(?:^|/)(?:\.|%2e){1,2}(?=$|[/?])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Target:
    """A checked URL.

    Attributes:
        scheme: `https` or `http`.
        host: A host name or an IPv4 or IPv6 address, in one spelling, without brackets.
        port: The port.
        path: Path and query, as they are sent.
    """

    scheme: str
    host: str
    port: int
    path: str

    @classmethod
    def parse(cls, url: str) -> Target:
        """Read a URL.

        The text is read strictly and only here, so that no two parsers can disagree on the host.

        Raises:
            ValueError: It is no http or https URL, carries credentials or a fragment, or spells
                its host in a way that is refused. The message does not repeat it.
        """
        if len(url) > _LONGEST:
            raise ValueError(f"a URL has at most {_LONGEST:,} characters")
        found = _URL.fullmatch(url)
        if found is None:
            raise ValueError("expected https://HOST/PATH without a fragment")
        if "@" in found["place"]:
            raise ValueError("a URL must not carry credentials; the signature authenticates")
        scheme = found["scheme"].lower()
        host, port = _place(found["place"])
        return cls(scheme, host, port or _PORTS[scheme], _path(found["path"]))

    @property
    def is_address(self) -> bool:
        """Whether the host is an IP address."""
        return ":" in self.host or is_ip_address(self.host)

    @property
    def place(self) -> str:
        """Host and, where it is not the scheme's own, port, as the Host header has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The URL."""
        return f"{self.scheme}://{self.place}{self.path}"


def canonical_url(url: str) -> str:
    """Return the one spelling of a URL; raises ValueError as `Target.parse`."""
    return Target.parse(url).url


def _place(text: str) -> tuple[str, int | None]:
    found = _PLACE.fullmatch(text)
    if found is None:
        raise ValueError("the URL names no host, or its port is not a number")
    port = int(found["port"]) if found["port"] else None
    if port is not None and not 0 < port <= _HIGHEST_PORT:
        raise ValueError("a port is a number from 1 to 65535")
    if found["six"]:
        return _six(found["six"]), port
    return host_name(found["host"].removesuffix(".")), port


def _six(text: str) -> str:
    try:
        return str(IPv6Address(text))
    except ValueError:
        raise ValueError("not an IPv6 address") from None


def _path(text: str) -> str:
    path = text if text.startswith("/") else f"/{text}"
    if _PATH.fullmatch(path) is None:
        raise ValueError("percent-encode what is not a letter, digit or sign of URLs in the path")
    if _DOTS.search(path.partition("?")[0]):
        raise ValueError("a path must not hold '.' or '..' as a part")
    return path
