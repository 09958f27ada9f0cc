"""Webhooks over HTTP/1.1: one connection each, to an address that was checked."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import cached_property
from typing import Final

import httpx2

from agents.webhook.addresses import objection
from agents.webhook.answer import Answer, receipt_of
from agents.webhook.request import WebhookRequest
from agents.webhook.resolving import Resolve, checked_addresses, system_resolve
from agents.webhook.signing import signed_headers, signing_key
from agents.webhook.target import Target
from envelope.effect import Receipt
from envelope.errors import NotSent, Refused

_CONNECT_SECONDS: Final = 10.0
_BODY_SECONDS: Final = 5.0
_MOST_BODY_BYTES: Final = 64 * 1024


class HttpWebhooks:
    """A `Webhooks` that follows no redirect, uses no proxy and connects only to what it checked.

    Args:
        secret: `whsec_` and 24 to 64 bytes in base64; None: nothing is sent.
        private: Whether private and loopback targets, and `http`, are allowed.
        seconds: Absolute limit of one attempt until the answer's headers, look-up included.
        resolve: Finds the addresses of a host.
        tls: Verifies the receiver's certificate; None: by the system's authorities.
        clock: Seconds since 1970, for the signature.
    """

    def __init__(
        self,
        secret: str | None,
        *,
        private: bool = False,
        seconds: float = 30.0,
        resolve: Resolve = system_resolve,
        tls: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._secret = secret
        self._private = private
        self._seconds = seconds
        self._resolve = resolve
        self._given_tls = tls
        self._clock = clock

    def check(self, request: WebhookRequest) -> None:
        """Judge scheme and IP address; see `Webhooks.check`."""
        target = request.target
        if target.scheme != "https" and not self._private:
            raise Refused(
                f"Nothing was sent to {target.host}: http is for private targets, which "
                "MUSTER_WEBHOOK_PRIVATE=true allows. Use https."
            )
        problem = objection(target.host, private=self._private) if target.is_address else None
        if problem is not None:
            raise Refused(f"Nothing was sent to {target.host}: it {problem}.")

    def ready(self) -> None:
        """Raise WebhooksNotConfigured where there is no usable secret."""
        signing_key(self._secret)

    async def post(self, request: WebhookRequest, message_id: str) -> Receipt:
        """Send the request once; see `Webhooks.post`."""
        self.check(request)
        target, headers = request.target, self._headers(request, message_id)
        async with AsyncExitStack() as open_until_read:
            response = await self._answered(open_until_read, target, headers, request.body)
            answer = Answer(response.status_code, response.headers, await _beginning(response))
        return receipt_of(answer, target.host)

    async def _answered(
        self, stack: AsyncExitStack, target: Target, headers: Mapping[str, str], body: bytes
    ) -> httpx2.Response:
        try:
            async with asyncio.timeout(self._seconds):
                addresses = await checked_addresses(target, self._resolve, private=self._private)
                return await self._exchange(stack, target, addresses, headers, body)
        except TimeoutError as problem:
            raise TimeoutError(
                f"{target.host} gave no answer within {self._seconds:g} s."
            ) from problem
        except httpx2.TransportError as problem:
            raise ConnectionError(
                f"{target.host} broke off ({type(problem).__name__}) before it answered."
            ) from problem

    def _headers(self, request: WebhookRequest, message_id: str) -> Mapping[str, str]:
        timestamp = int(self._clock())
        return {
            **request.headers,
            "host": request.target.place,
            "user-agent": "Muster",
            "content-type": "application/json",
            "accept-encoding": "identity",
            "idempotency-key": message_id,
            **signed_headers(signing_key(self._secret), message_id, timestamp, request.body),
        }

    async def _exchange(
        self,
        stack: AsyncExitStack,
        target: Target,
        addresses: Sequence[str],
        headers: Mapping[str, str],
        body: bytes,
    ) -> httpx2.Response:
        """Ask the first address that can be connected to."""
        # A transport alone knows neither redirects nor proxies, cookies or `.netrc`.
        transport = httpx2.AsyncHTTPTransport(verify=self._tls, trust_env=False)
        await stack.enter_async_context(transport)
        problem: Exception | None = None
        for address in addresses:
            try:
                response = await transport.handle_async_request(
                    _pinned(target, address, headers, body)
                )
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as failed:
                problem = failed
            else:
                stack.push_async_callback(response.aclose)
                return response
        raise _unreachable(target, problem)

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return self._given_tls or ssl.create_default_context()


def _pinned(
    target: Target, address: str, headers: Mapping[str, str], body: bytes
) -> httpx2.Request:
    """Make a request to the address that keeps the name in TLS and in the Host header."""
    return httpx2.Request(
        "POST",
        Target(target.scheme, address, target.port, target.path).url,
        headers=headers,
        content=body,
        extensions={"sni_hostname": target.host, "timeout": {"connect": _CONNECT_SECONDS}},
    )


async def _beginning(response: httpx2.Response) -> bytes:
    """Read the body up to a cap. The status was the answer: a body that stalls changes nothing."""
    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            async for piece in response.aiter_raw():
                body += piece
                if len(body) >= _MOST_BODY_BYTES:
                    break
    except (TimeoutError, httpx2.TransportError):
        return bytes(body)
    return bytes(body[:_MOST_BODY_BYTES])


def _unreachable(target: Target, problem: Exception | None) -> Exception:
    cause: BaseException | None = problem
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            reason = cause.verify_message
            return Refused(f"Nothing was sent to {target.host}: its certificate is wrong: {reason}")
        cause = cause.__cause__ or cause.__context__
    return NotSent(f"{target.host} cannot be connected to ({type(problem).__name__}).")
