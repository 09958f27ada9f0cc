"""Imports the shipped agents, so that they register."""

import agents.tasks.builtin  # noqa: F401 - its tasks register as agents
from agents.coordinator import coordinator
from agents.copywriter import copywriter
from agents.db_write import db_write
from agents.db_write.tables import table_write
from agents.drafts import drafts
from agents.email import email, email_prepare
from agents.image import image
from agents.rag import rag
from agents.webhook import webhook, webhook_prepare

__all__ = [
    "coordinator",
    "copywriter",
    "db_write",
    "drafts",
    "email",
    "email_prepare",
    "image",
    "rag",
    "table_write",
    "webhook",
    "webhook_prepare",
]
