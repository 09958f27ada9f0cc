"""URLs and addresses that a webhook may and may not have."""

from __future__ import annotations

import asyncio
import ipaddress
import socket

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agents.webhook.addresses import objection
from agents.webhook.host_name import host_name
from agents.webhook.resolving import checked_addresses
from agents.webhook.target import Target, canonical_url
from envelope.errors import NotSent, Refused


@pytest.mark.parametrize(
    ("url", "canonical"),
    [
        ("https://Hooks.Example/In", "https://hooks.example/In"),
        ("HTTPS://hooks.example", "https://hooks.example/"),
        ("https://hooks.example.:443/in", "https://hooks.example/in"),
        ("http://hooks.example:80/in?a=1&b=%2F", "http://hooks.example/in?a=1&b=%2F"),
        ("https://hooks.example:8443?x=@y", "https://hooks.example:8443/?x=@y"),
        ("https://bücher.example/in", "https://xn--bcher-kva.example/in"),
        ("https://faß.de/", "https://xn--fa-hia.de/"),
        ("https://ⓔxample.com/", "https://example.com/"),
        ("https://[2606:4700::1111]/", "https://[2606:4700::1111]/"),
        ("https://[2606:4700:0:0::1111]:444/", "https://[2606:4700::1111]:444/"),
        ("https://127。0。0。1/", "https://127.0.0.1/"),
        ("https://my_service.local:9000/in", "https://my_service.local:9000/in"),
    ],
)
def test_a_url_has_one_spelling(url: str, canonical: str) -> None:
    assert canonical_url(url) == canonical
    assert canonical_url(canonical) == canonical


@pytest.mark.parametrize(
    "url",
    [
        "ftp://hooks.example/",
        "file:///etc/passwd",
        "gopher://hooks.example/",
        "javascript:alert(1)",
        "unix:///var/run/docker.sock",
        "//hooks.example/",
        "hooks.example",
        "https:/hooks.example",
        "https:///path",
        "https://",
        "https://:443/",
        "https://user:password@hooks.example/",
        "https://user@hooks.example/",
        "https://@hooks.example/",
        "https://good.example@127.0.0.1/",
        "https://good.example\\@evil.example/",
        "https://good.example\\.evil.example/",
        "https://hooks.example/#part",
        "https://hooks.example#@evil.example/",
        "https://hooks.example/a b",
        "https://hooks.example/\r\nX-Evil: 1",
        "https://hooks.example\r\nX-Evil: 1/",
        "https://hooks.example/\tx",
        "https://hooks.example/\x00",
        "https://hooks.example/\u2028x",
        "https://hooks.example/grün",
        "https://hooks.example/%zz",
        "https://hooks.example/a/../b",
        "https://hooks.example/%2e%2E/b",
        " https://hooks.example/",
        "https://hooks.example/\n",
        "https://hooks.example:0/",
        "https://hooks.example:65536/",
        "https://hooks.example:+443/",
        "https://hooks.example:\uff14\uff14\uff13/",
        "https://hooks..example/",
        "https://.example/",
        "https://-a.example/",
        "https://*.example/",
        "https://exa%6dple.com/",
        "https://[::1/",
        "https://[fe80::1%25eth0]/",
        "https://[v1.x]/",
        f"https://{'a' * 64}.example/",
        f"https://hooks.example/{'a' * 3000}",
        # Spellings of 127.0.0.1 that resolvers understand.
        "https://127.1/",
        "https://127.0.1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0x7f.0.0.1/",
        "https://0x7F.1/",
        "https://0177.0.0.1/",
        "https://017700000001/",
        "https://127.0.0.01/",
        "https://127.0.0.0x1/",
        "https://0/",
        "https://0x/",
        "https://1.2.3.4.5/",
        "https://256.0.0.1/",
        "https://127.1./",
        "https://①②⑦.1/",
    ],
)
def test_what_an_attacker_writes_is_no_url(url: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the base is what pydantic takes
        canonical_url(url)
    assert "password" not in str(refused.value)


def test_credentials_in_a_url_are_named_as_the_reason() -> None:
    with pytest.raises(ValueError, match="must not carry credentials"):
        canonical_url("https://user:password@hooks.example/")


@given(st.text(max_size=80))
def test_any_text_is_a_url_in_one_spelling_or_refused(text: str) -> None:
    try:
        url = canonical_url(f"https://{text}")
    except ValueError:
        return
    assert url.isascii()
    assert url.isprintable()
    assert canonical_url(url) == url


@given(st.text(alphabet="0123456789abcdefx.", min_size=1, max_size=18))
@example("127.1")
@example("0x7f.0.0.1")
def test_no_spelling_of_an_address_passes_as_a_name(text: str) -> None:
    """What `inet_aton` reads as an IPv4 address is taken in its canonical form or not at all."""
    try:
        packed = socket.inet_aton(text)
    except OSError:
        return
    try:
        name = host_name(text)
    except ValueError:
        return
    assert name == str(ipaddress.IPv4Address(packed))


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "10.0.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "100.64.0.1",
        "::1",
        "fd12::1",
        "64:ff9b::7f00:1",
        "64:ff9b::10.0.0.1",
    ],
)
def test_private_addresses_need_the_setting(address: str) -> None:
    assert "MUSTER_WEBHOOK_PRIVATE" in str(objection(address, private=False))
    assert objection(address, private=True) is None


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",  # noqa: S104 - to be refused
        "0.1.2.3",
        "169.254.169.254",
        "169.254.1.1",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "fd00:ec2::254",
        "fd20:ce::254",
        "fd00:c1::a9fe:a9fe",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "192.0.2.1",
        "198.18.0.1",
        "198.51.100.7",
        "203.0.113.7",
        "192.88.99.1",
        "::",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:8.8.8.8",
        "::ffff:169.254.169.254",
        "::ffff:0:127.0.0.1",
        "64:ff9b::169.254.169.254",
        "64:ff9b:1::7f00:1",
        "2002:7f00:1::",
        "2002:808:808::1",
        "2001:0:7f00:1::",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
        "2001:db8::1",
        "3fff::1",
        "5f00::1",
        "100::1",
        "no address",
        "",
    ],
)
@pytest.mark.parametrize("private", [False, True])
def test_some_addresses_are_never_allowed(address: str, private: bool) -> None:
    assert objection(address, private=private)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "93.184.216.34", "2606:4700::1111", "64:ff9b::808:808"]
)
def test_public_addresses_are_allowed(address: str) -> None:
    assert objection(address, private=False) is None


@given(st.ip_addresses())
def test_what_is_allowed_is_global(address: ipaddress.IPv4Address) -> None:
    if objection(str(address), private=False) is None and address.version == 4:
        assert address.is_global


async def _many(host: str, port: int) -> list[str]:
    return ["93.184.216.34", "127.0.0.1"]


async def _nobody(host: str, port: int) -> list[str]:
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


def test_every_address_of_a_name_is_checked() -> None:
    with pytest.raises(Refused, match=r"hooks.example: its address 127.0.0.1 is private"):
        asyncio.run(checked_addresses(Target.parse("https://hooks.example/"), _many, private=False))


def test_a_name_that_nobody_knows_is_tried_again() -> None:
    with pytest.raises(NotSent, match="cannot be resolved: Name or service not known"):
        asyncio.run(
            checked_addresses(Target.parse("https://hooks.example/"), _nobody, private=False)
        )
