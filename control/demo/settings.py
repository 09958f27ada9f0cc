"""The demo's own surroundings: embedded parts, whatever else the environment names."""

from __future__ import annotations

import os

from worker.settings import Settings


def demo_settings() -> Settings:
    """Return settings with an embedded Redis and SQLite under the home folder.

    The model's settings stay as they are; a database or Redis meant for other work is not touched.

    Raises:
        ConfigurationError: A setting is wrong.
    """
    return Settings.load(redis_url=None, database_url=None, include=())


def command_prefix(settings: Settings) -> str:
    """Return what stands before `muster` so that it runs, and finds the demo's runs."""
    configured = Settings.load().database_url is not None
    journal = f"MUSTER_DATABASE_URL={settings.journal_url} " if configured else ""
    return f"{journal}{'uv run ' if 'UV_RUN_RECURSION_DEPTH' in os.environ else ''}"
