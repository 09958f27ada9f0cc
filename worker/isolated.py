"""`python -m worker.isolated WORKER_ID RUN_ID [STEP]`: executes one run or step alone.

Started by a worker for what has cost others their lives; see `worker.engine.isolation`. Exit code 0
says that the journal knows the outcome.
"""

from __future__ import annotations

import asyncio
import sys

from worker.app import MusterCelery, configure
from worker.embedded import ensure_redis
from worker.loading import load_modules
from worker.logs import configure as configure_logs
from worker.process import WorkerProcess
from worker.settings import Settings


async def _execute(settings: Settings, worker_id: str, run_id: str, step: str | None) -> None:
    app = MusterCelery("muster-isolated", set_as_current=False)
    redis = ensure_redis(settings)
    configure(app, redis.url)
    process = WorkerProcess(app, settings, worker_id=worker_id)
    try:
        service = await process.service()
        if step is None:
            await service.engine.execute(run_id)
        else:
            await service.engine.steps.execute(run_id, step)
    finally:
        await process.stop()
        redis.close()


def main(arguments: list[str]) -> None:
    """Execute what the arguments name."""
    worker_id, run_id, *step = arguments
    settings = Settings.load()
    configure_logs(settings)
    load_modules(settings.include)
    asyncio.run(_execute(settings, worker_id, run_id, step[0] if step else None))


if __name__ == "__main__":
    main(sys.argv[1:])
