"""The asyncio worker pool: `async def` task bodies under Celery's own tracer."""
