"""What an aborted test run left is taken away, and nothing else."""

import subprocess
from collections.abc import Iterator

import pytest

from tests.docker.leftovers import LABEL, clear_away, owned_name
from tests.docker.stack import Stack, run


def made(label: str) -> list[tuple[str, str]]:
    """One of each kind: its kind and its name or id."""
    network, volume = owned_name("net"), owned_name("volume")
    run("docker", "network", "create", "--label", label, network)
    run("docker", "volume", "create", "--label", label, volume)
    words = (
        "--label",
        label,
        "--network",
        network,
        "--volume",
        f"{volume}:/data",
        "redis:7-alpine",
    )
    container = run("docker", "create", *words).strip()
    return [("container", container), ("network", network), ("volume", volume)]


def there(things: list[tuple[str, str]]) -> list[bool]:
    commands = [("docker", kind, "inspect", name) for kind, name in things]
    return [
        subprocess.run(command, capture_output=True, check=False).returncode == 0
        for command in commands
    ]


@pytest.fixture
def ended() -> int:
    """The id of a process that is no more."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


@pytest.fixture
def kept() -> Iterator[list[tuple[str, str]]]:
    things = made(f"{LABEL}={owned_name('kept')}") + made("another.label=muster-test-x-1-ab")
    yield things
    for kind, name in things:
        run("docker", kind, "rm", name)


@pytest.mark.parametrize("label", [LABEL, "com.docker.compose.project"])
def test_only_what_a_dead_process_made_is_taken_away(
    stack: Stack, ended: int, kept: list[tuple[str, str]], label: str
) -> None:
    left = made(f"{label}=muster-test-stack-{ended}-0a1b2c")
    assert there(left + kept) == [True] * 9
    clear_away()
    assert there(left) == [False] * 3
    assert there(kept) == [True] * 6
    assert stack.services()
