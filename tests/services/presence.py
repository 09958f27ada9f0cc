"""What a test does when a service that it needs is not installed."""

import os
from typing import NoReturn

import pytest


def missing(service: str, remedy: str) -> NoReturn:
    """Skips on a laptop. In CI a skipped test would be a test that nobody runs, so it fails."""
    message = f"{service} is missing: {remedy}"
    if os.environ.get("CI"):
        pytest.fail(f"{message} (CI must provide it)")
    pytest.skip(message)
