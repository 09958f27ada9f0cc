"""The `webhook` agents: signed webhooks to addresses that were checked."""

from agents.webhook.agent import webhook, webhook_prepare
from agents.webhook.errors import WebhooksNotConfigured
from agents.webhook.port import Webhooks
from agents.webhook.request import WebhookRequest

__all__ = ["WebhookRequest", "Webhooks", "WebhooksNotConfigured", "webhook", "webhook_prepare"]
