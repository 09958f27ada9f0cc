"""The wake-up port on Redis, and in this process."""
