"""Writes `.env.example` and the settings page from the settings themselves.

`python -m worker.settings_docs` in a checkout writes both anew; a test fails when they drift.
"""

from __future__ import annotations

from pathlib import Path

from worker.settings import Settings
from worker.settings_names import allowed_values, default_shown, plain_text, variable_names

ENV_EXAMPLE = Path(".env.example")
PAGE = Path("docs/reference/settings.md")

_ENV_HEAD = """\
# Settings of Muster. Copy to .env and uncomment what you change; the environment wins over .env.
# Written by `python -m worker.settings_docs`.
"""
_ENV_TAIL = """\
# What follows is read by Docker Compose alone, for docker-compose.yml.

# Folder of the secrets. The default's are published: deploy/make-secrets makes others.
#SECRETS=./deploy/secrets/local

# Image of the workers: yours, made from this one.
#WORKER_IMAGE=muster:local

# Where Flower is published.
#FLOWER_AT=127.0.0.1:5555

# Where Prometheus is published.
#PROMETHEUS_AT=127.0.0.1:9090

# Where Grafana is published.
#GRAFANA_AT=127.0.0.1:3000
"""
_PAGE_HEAD = """\
# Settings

<!-- Written by `python -m worker.settings_docs`; a test keeps it true. -->

Read once at start from the environment and from `.env` in the current folder; the environment
wins. An empty value counts as not set. A wrong value stops the start with an error that names the
variable and what it takes. A `MUSTER_…` variable that no setting reads is reported with the nearest
name. `muster config show` prints what is in force, where each value comes from, and no secret.

| variable | default | takes | meaning |
|---|---|---|---|
"""
_PAGE_TAIL = """
Durations are seconds and may have a fraction. Where two names are given, the first one wins if both
are set in the same place.
"""


def env_example() -> str:
    """The text of `.env.example`: every setting, commented out, with its default; compose's too."""
    return "\n".join((_ENV_HEAD, *map(_example, Settings.model_fields), _ENV_TAIL))


def settings_page() -> str:
    """The text of the reference page: a row for each setting."""
    return _PAGE_HEAD + "".join(map(_row, Settings.model_fields)) + _PAGE_TAIL


def write(root: Path) -> None:
    """Writes both files under the root of a checkout."""
    for path, text in ((ENV_EXAMPLE, env_example()), (PAGE, settings_page())):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, "utf-8")


def _example(field: str) -> str:
    info = Settings.model_fields[field]
    variable = variable_names(Settings, field)[0]
    lines = (
        f"# {info.description}",
        f"# Takes: {allowed_values(Settings, field)}",
        f"#{variable}={plain_text(info.default)}",
        "",
    )
    return "\n".join(lines)


def _row(field: str) -> str:
    names = " or ".join(f"`{name}`" for name in variable_names(Settings, field))
    default = default_shown(Settings, field) or "not set"
    description = Settings.model_fields[field].description
    return f"| {names} | {default} | {allowed_values(Settings, field)} | {description} |\n"


if __name__ == "__main__":
    write(Path.cwd())
