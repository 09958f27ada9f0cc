"""The demo's own surroundings: embedded parts, whatever else the environment names."""

from __future__ import annotations

from pathlib import Path

from worker.settings import Settings


def demo_settings(home: Path | None) -> Settings:
    """Return settings with an embedded Redis and SQLite under the home folder.

    The model's settings stay as they are; a database or Redis meant for other work is not touched.

    Raises:
        ConfigurationError: A setting is wrong.
    """
    chosen = {"home": home} if home is not None else {}
    return Settings.load(redis_url=None, database_url=None, include=(), **chosen)
