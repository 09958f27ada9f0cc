"""The acceptance in containers: it needs an engine and minutes; MUSTER_TEST_DOCKER=1 runs it."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docker.browser import Browser
from tests.docker.leftovers import clear_away
from tests.docker.stack import Stack

# They have a pytest process of their own: pytest-celery takes a plug-in's name that we switch off.
collect_ignore = ["celery"]


def _engine_answers() -> bool:
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The whole stack, up and healthy, as `docker compose up` makes it."""
    if os.environ.get("MUSTER_TEST_DOCKER") != "1":
        pytest.skip("set MUSTER_TEST_DOCKER=1, with a Docker engine, to test the containers")
    if not _engine_answers():
        pytest.fail("MUSTER_TEST_DOCKER=1 is set and no Docker engine answers")
    clear_away()
    ledger: Path = tmp_path_factory.mktemp("ledger")
    ledger.chmod(0o777)  # the agents are a user that the host does not have
    made = Stack(ledger)
    try:
        made.build()
        made.up()
        yield made
    finally:
        made.down()


@pytest.fixture(scope="session")
def informed(stack: Stack) -> Stack:
    """The stack, with the documents that `lead` cites."""
    said = stack.compose("run", "--rm", "-T", "knowledge")
    assert "added=" in said
    return stack


@pytest.fixture(scope="session")
def browser(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Browser:
    """After `stack`, which knows whether there is an engine."""
    return Browser(tmp_path_factory.mktemp("pages"))
