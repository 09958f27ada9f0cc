"""What is thrown into an awaiting task body from outside."""

import asyncio

from billiard.exceptions import SoftTimeLimitExceeded as CelerySoftTimeLimitExceeded


class SoftTimeLimitExceeded(CelerySoftTimeLimitExceeded, asyncio.CancelledError):
    """The soft time limit of a task, as an exception that a task body can catch.

    It is also a cancellation, so that `asyncio.TaskGroup` cancels its children before it lets
    the exception through; thrown as a plain exception it would leave them running.
    """


class TaskExit(RuntimeError):  # named after the SystemExit that it stands for
    """A task body asked its process to exit. The process runs other tasks too, so it does not."""


class TaskCancelled(RuntimeError):  # named after asyncio's CancelledError
    """A task body ended by a cancellation that nobody ordered from outside."""
