"""The lock port on Redis, and in this process."""
