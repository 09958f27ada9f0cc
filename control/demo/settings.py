"""The demo's own surroundings: embedded parts, whatever else the environment names."""

from __future__ import annotations

import os

from pydantic import SecretStr

from worker.settings import Settings

DOMAIN = "example.org"
"""Set aside for examples (RFC 2606, section 3): nobody can be written to there."""


def demo_settings() -> Settings:
    """Return settings with an embedded Redis and SQLite under the home folder.

    The model's settings stay as they are; a database, Redis or mail server meant for other work is
    not touched.

    Raises:
        ConfigurationError: A setting is wrong.
    """
    return Settings.load(
        redis_url=None,
        database_url=None,
        include=(),
        allow_delivery=False,
        approvers=(),
        smtp_url=None,
    )


def delivery_settings(settings: Settings, smtp_port: int) -> Settings:
    """Return the settings of a worker that may send to the demo's own mail server, nowhere else.

    Args:
        settings: The demo's settings.
        smtp_port: Where that server listens on this machine.
    """
    return settings.model_copy(
        update={
            "allow_delivery": True,
            "delivery_allow": (f"*@{DOMAIN}",),
            "delivery_quiet": None,
            "delivery_cap": None,
            "approval_channels": ("email",),
            "smtp_url": SecretStr(f"smtp://127.0.0.1:{smtp_port}"),
            "mail_from": f"The Muster team <muster@{DOMAIN}>",
        }
    )


def command_prefix(settings: Settings) -> str:
    """Return what stands before `muster` so that it runs, and finds the demo's runs."""
    configured = Settings.load().database_url is not None
    journal = f"MUSTER_DATABASE_URL={settings.journal_url} " if configured else ""
    return f"{journal}{'uv run ' if 'UV_RUN_RECURSION_DEPTH' in os.environ else ''}"
