"""The port of rate limits on Redis, and in this process."""
