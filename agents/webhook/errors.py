"""What can be wrong with the configuration of webhooks."""

from __future__ import annotations

from envelope.errors import Refused


class WebhooksNotConfigured(Refused):
    """The key that webhooks are signed with is missing or malformed. Nothing was sent."""

    code = "WEBHOOKS_NOT_CONFIGURED"
