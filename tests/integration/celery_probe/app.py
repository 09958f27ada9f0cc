"""A Celery app like the product's, with tasks that leave traces in Redis for the tests to read."""

import os

from worker.app import MusterCelery, configure

REDIS_URL = os.environ["PROBE_REDIS_URL"]

app = MusterCelery("probe")
configure(
    app,
    REDIS_URL,
    concurrency=200,
    soft_shutdown_seconds=float(os.environ.get("PROBE_SOFT_SHUTDOWN", "0")),
    visibility_seconds=int(os.environ.get("PROBE_VISIBILITY", "86400")),
    restore_seconds=1,
)
app.conf.include = (
    "tests.integration.celery_probe.tasks",
    "tests.integration.celery_probe.signals",
)
