"""Webhooks to a real receiver that answers, redirects, drips, cuts off, or is not who it was."""

from __future__ import annotations

import asyncio
import base64
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest
from pydantic import JsonValue
from standardwebhooks import Webhook, WebhookVerificationError

from agents.webhook import WebhookRequest, Webhooks
from agents.webhook.http_webhooks import HttpWebhooks
from agents.webhook.signing import webhook_id
from envelope.effect import Receipt
from envelope.errors import NotSent, Refused
from envelope.resources import Resources
from tests.rig.faults.http import Request, head
from tests.services.certificates import Certificate
from tests.services.delivering_step import DeliveringStep
from tests.services.http_sink import (
    Behaviour,
    HttpSink,
    answering,
    cutting,
    dripping_body,
    dripping_head,
    flooding_body,
    silent,
)
from tests.services.ports import free_port
from tests.services.recording_effects import RecordingEffects

T = TypeVar("T")
SECRET = "whsec_" + base64.b64encode(b"a key of thirty-two bytes, no more").decode()


def _request(url: str, **more: Any) -> WebhookRequest:
    payload: dict[str, JsonValue] = {"lead": "ACME", "note": "Grüße\n"}
    return WebhookRequest(url=url, event="lead.qualified", payload=payload, **more)


def _post(
    behaviour: Behaviour, seconds: float = 30.0, **more: Any
) -> tuple[Receipt, list[Request]]:
    async def scenario() -> tuple[Receipt, list[Request]]:
        async with HttpSink(behaviour) as sink:
            webhooks = HttpWebhooks(SECRET, private=True, seconds=seconds)
            url = f"http://127.0.0.1:{sink.port}/in?a=%20b"
            return await webhooks.post(_request(url, **more), "run-1:mail"), sink.requests

    return asyncio.run(scenario())


def _answers(*addresses: str) -> tuple[Callable[[str, int], Awaitable[Sequence[str]]], list[str]]:
    """A resolver whose answer changes from look-up to look-up, and what it was asked for."""
    asked: list[str] = []

    async def resolve(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return [addresses[min(len(asked), len(addresses)) - 1]]

    return resolve, asked


def test_an_independent_library_accepts_the_signature() -> None:
    receipt, [request] = _post(answering(202, body=b'{"fine": true}'), headers={"X-Team": "a"})
    assert receipt["status"] == 202
    assert receipt["body_bytes"] == 14
    headers = dict(request.headers)
    assert Webhook(SECRET).verify(request.body, headers) == {
        "type": "lead.qualified",
        "data": {"lead": "ACME", "note": "Grüße\n"},
    }
    assert request.path == "/in?a=%20b"
    assert headers["webhook-id"] == headers["idempotency-key"] == "run-1:mail"
    assert headers["content-type"] == "application/json"
    assert headers["x-team"] == "a"
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(request.body + b" ", headers)


def test_name_stays_in_tls_and_host_while_the_address_is_ours(tmp_path: Path) -> None:
    certificate = Certificate(tmp_path, "hooks.invalid")

    async def scenario() -> tuple[list[str | None], Request, list[str], int]:
        async with HttpSink(tls=certificate.server()) as sink:
            resolve, asked = _answers("127.0.0.1")
            webhooks = HttpWebhooks(
                SECRET, private=True, resolve=resolve, tls=certificate.trusting()
            )
            await webhooks.post(_request(f"https://hooks.invalid:{sink.port}/in"), "k")
            return sink.names, sink.requests[0], asked, sink.port

    names, request, asked, port = asyncio.run(scenario())
    assert names == ["hooks.invalid"]
    assert request.headers["host"] == f"hooks.invalid:{port}"
    assert asked == ["hooks.invalid"]


@pytest.mark.parametrize("name", ["another.invalid", "hooks.invalid"])
def test_a_wrong_certificate_is_refused(tmp_path: Path, name: str) -> None:
    """Of another name, or trusted by nobody."""
    certificate = Certificate(tmp_path, "another.invalid")

    async def scenario() -> list[Request]:
        async with HttpSink(tls=certificate.server()) as sink:
            tls = certificate.trusting() if name == "hooks.invalid" else None
            resolve, _ = _answers("127.0.0.1")
            webhooks = HttpWebhooks(SECRET, private=True, resolve=resolve, tls=tls)
            with pytest.raises(Refused, match="certificate is wrong"):
                await webhooks.post(_request(f"https://{name}:{sink.port}/in"), "k")
            return sink.requests

    assert asyncio.run(scenario()) == []


def test_a_name_that_rebinds_leads_nowhere_else() -> None:
    """What was looked up and checked is what is connected to; the second answer is never asked."""

    async def scenario() -> tuple[int, int, list[str]]:
        port = free_port()
        async with HttpSink(port=port) as first, HttpSink(host="127.0.0.2", port=port) as second:
            resolve, asked = _answers("127.0.0.1", "127.0.0.2")
            webhooks = HttpWebhooks(SECRET, private=True, resolve=resolve)
            await webhooks.post(_request(f"http://hooks.invalid:{port}/in"), "k")
            return len(first.requests), len(second.requests), asked

    assert asyncio.run(scenario()) == (1, 0, ["hooks.invalid"])


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "0.0.0.0"])  # noqa: S104 - to be refused
def test_a_public_name_of_a_private_address_is_never_connected_to(
    tmp_path: Path, address: str
) -> None:
    certificate = Certificate(tmp_path, "hooks.invalid")

    async def scenario() -> list[Request]:
        async with HttpSink(tls=certificate.server()) as sink:
            resolve, _ = _answers(address)
            webhooks = HttpWebhooks(SECRET, resolve=resolve, tls=certificate.trusting())
            with pytest.raises(Refused, match="its address"):
                await webhooks.post(_request(f"https://hooks.invalid:{sink.port}/"), "k")
            return sink.requests

    assert asyncio.run(scenario()) == []


def test_the_next_address_is_tried_where_one_does_not_listen() -> None:
    async def both(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.2", "127.0.0.1"]

    async def scenario() -> int:
        async with HttpSink() as sink:
            webhooks = HttpWebhooks(SECRET, private=True, resolve=both)
            await webhooks.post(_request(f"http://hooks.invalid:{sink.port}/"), "k")
            return len(sink.requests)

    assert asyncio.run(scenario()) == 1


def test_an_address_of_version_six() -> None:
    async def scenario() -> Request:
        async with HttpSink(host="::1") as sink:
            webhooks = HttpWebhooks(SECRET, private=True)
            await webhooks.post(_request(f"http://[::1]:{sink.port}/in"), "k")
            return sink.requests[0]

    if not _has_version_six():
        pytest.skip("this machine has no IPv6 loopback")
    assert asyncio.run(scenario()).headers["host"].startswith("[::1]:")


def _has_version_six() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    assert _post(answering())[0]["status"] == 200


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308, 304])
def test_a_redirect_is_refused_and_says_so(status: int) -> None:
    async def scenario() -> tuple[str, int]:
        async with HttpSink() as elsewhere:
            to = {"location": f"http://127.0.0.1:{elsewhere.port}/secret"}
            async with HttpSink(answering(status, to)) as sink:
                webhooks = HttpWebhooks(SECRET, private=True)
                with pytest.raises(Refused) as refused:
                    await webhooks.post(_request(f"http://127.0.0.1:{sink.port}/"), "k")
            return str(refused.value), len(elsewhere.requests)

    message, followed = asyncio.run(scenario())
    assert "Redirects are not followed" in message
    assert "/secret" not in message
    assert followed == 0


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 422])
def test_no_is_no(status: int) -> None:
    with pytest.raises(Refused, match=f"answered {status}") as refused:
        _post(answering(status))
    assert ("gone for good" in str(refused.value)) == (status == 410)


@pytest.mark.parametrize(
    ("status", "said", "wait"),
    [
        (408, None, None),
        (425, None, None),
        (429, "7", 7.0),
        (500, None, None),
        (503, "0", 0.0),
        (503, "1000000000", 3_600.0),
        (503, "NaN", None),
        (503, "-1", None),
        (503, "soon", None),
        (503, "1e3", None),
        (503, "9" * 500, None),
        (503, "1 Jan 0001 00:00:00 +99999999999", None),
        (503, "Fri, 31 Dec 9999 23:59:59 GMT", 3_600.0),
        (503, "Sun, 06 Nov 1994 08:49:37 GMT", 0.0),
    ],
)
def test_not_now_is_tried_again(status: int, said: str | None, wait: float | None) -> None:
    headers = {"retry-after": said} if said else {}
    with pytest.raises(NotSent, match=f"answered {status}") as not_sent:
        _post(answering(status, headers))
    assert not_sent.value.retry_after == wait


def test_who_does_not_listen_is_tried_again() -> None:
    async def scenario() -> None:
        await HttpWebhooks(SECRET, private=True).post(
            _request(f"http://127.0.0.1:{free_port()}/"), "k"
        )

    with pytest.raises(NotSent, match="cannot be connected to"):
        asyncio.run(scenario())


def test_cut_off_is_not_known() -> None:
    with pytest.raises(ConnectionError, match="broke off"):
        _post(cutting)


@pytest.mark.parametrize("behaviour", [silent, dripping_head])
def test_the_deadline_is_absolute(behaviour: Behaviour) -> None:
    begun = time.monotonic()
    with pytest.raises(TimeoutError, match="no answer within 0.5 s"):
        _post(behaviour, seconds=0.5)
    assert time.monotonic() - begun < 8.0


@pytest.mark.parametrize("behaviour", [dripping_body, flooding_body])
def test_a_body_without_end_does_not_hide_the_answer(
    monkeypatch: pytest.MonkeyPatch, behaviour: Behaviour
) -> None:
    monkeypatch.setattr("agents.webhook.http_webhooks._BODY_SECONDS", 0.3)
    begun = time.monotonic()
    receipt, _ = _post(behaviour)
    assert receipt["status"] == 200
    assert 0 < int(str(receipt["body_bytes"])) <= 64 * 1024
    assert time.monotonic() - begun < 8.0


async def _garbage(request: Request, writer: asyncio.StreamWriter) -> None:
    writer.write(b"\x00\xff not HTTP at all\r\n\r\n")


async def _endless_headers(request: Request, writer: asyncio.StreamWriter) -> None:
    writer.write(head(200, 0, {"x": "y" * 1_000_000}))


@pytest.mark.parametrize("behaviour", [_garbage, _endless_headers])
def test_what_is_not_http_is_not_known(behaviour: Behaviour) -> None:
    with pytest.raises(ConnectionError, match="broke off"):
        _post(behaviour)


def test_what_was_cut_off_goes_again_under_the_same_id() -> None:
    async def scenario() -> tuple[list[Request], list[float], str]:
        async with HttpSink(cutting) as sink:
            resources = Resources()
            resources.provide(Webhooks, lambda: HttpWebhooks(SECRET, private=True))  # type: ignore[type-abstract] # a port
            step = DeliveringStep(resources, RecordingEffects())

            async def then_fine(request: Request, writer: asyncio.StreamWriter) -> None:
                sink.behaviour = answering()
                await cutting(request, writer)

            sink.behaviour = then_fine
            request = _request(f"http://127.0.0.1:{sink.port}/", key="lead-7")
            done = await step.run("webhook", request)
            return sink.requests, step.waits, str(done.records[0].data["key"])

    requests, waits, key = asyncio.run(scenario())
    ids = [request.headers["webhook-id"] for request in requests]
    assert ids == [webhook_id("t1", "lead-7")] * 2
    assert requests[0].body == requests[1].body
    assert len(waits) == 1
    assert key == "lead-7"
