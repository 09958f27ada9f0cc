"""The Celery app that `celery -A worker worker`, `flower`, `beat` and `inspect` find."""

from __future__ import annotations

from worker.shadowing import check_not_shadowed

check_not_shadowed()

from worker.composition import build  # noqa: E402 - a shadowed package must be explained first

app = build()
