"""The port of shared values on Redis, and in this process."""
