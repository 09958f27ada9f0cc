"""What `celery -A benchmarks.peers.celery_worker_app worker` finds."""

from __future__ import annotations

import os

from benchmarks.peers.celery_app import BROKER_VARIABLE, VISIBILITY_VARIABLE, plain_app

_visibility = os.environ.get(VISIBILITY_VARIABLE)
app = plain_app(os.environ[BROKER_VARIABLE], float(_visibility) if _visibility else None)
