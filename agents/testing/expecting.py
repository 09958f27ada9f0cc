"""Fails a test. An `assert` statement would be gone under `python -O`."""

from __future__ import annotations


def expect(fits: bool, message: str) -> None:
    """Fail with `message` unless `fits`.

    Raises:
        AssertionError: It does not fit.
    """
    if not fits:
        raise AssertionError(message)
