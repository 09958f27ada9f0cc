"""The queue port on Celery over Redis, and in this process."""
