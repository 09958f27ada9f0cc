"""The port of budgets on Redis, and in this process; and the meter that a running step carries."""
