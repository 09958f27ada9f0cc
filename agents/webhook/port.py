"""The port: hands a webhook to its receiver."""

from __future__ import annotations

from typing import Protocol

from agents.webhook.request import WebhookRequest
from envelope.effect import Receipt


class Webhooks(Protocol):
    """Sends webhooks. Safe to use from every event loop of the process."""

    def check(self, request: WebhookRequest) -> None:
        """Judge the URL as far as that is possible without a look-up.

        Raises:
            Refused: Its scheme or IP address is not allowed here.
        """

    def ready(self) -> None:
        """Say whether anything can be sent at all.

        Raises:
            WebhooksNotConfigured: There is no usable secret.
        """

    async def post(self, request: WebhookRequest, message_id: str) -> Receipt:
        """Send the request once, under an id by which the receiver deduplicates.

        Args:
            request: What is sent.
            message_id: As `agents.webhook.signing.webhook_id` makes it.

        Returns:
            `status`, `body_sha256` and `body_bytes` of the answer as far as it was read.

        Raises:
            WebhooksNotConfigured: There is no usable secret.
            NotSent: The receiver could not be reached, or asked to be tried again.
            Refused: The receiver said no, answered with a redirect, or may not be reached.
            ConnectionError: The exchange was cut off; whether it arrived is not known.
            TimeoutError: There was no answer in time; whether it arrived is not known.
        """
