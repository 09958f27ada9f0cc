"""What an aborted test run left on the engine: everything that names a process which is no more."""

import os
import re
import secrets
import subprocess

LABEL = "muster.test"
"""Its value, and the project of each stack, is an `owned_name`."""

_PROJECT = "com.docker.compose.project"
_OURS = re.compile(r"muster-test-[a-z]+-(\d+)-[0-9a-f]+")
_KINDS = (
    (("ps", "--all"), "{{.ID}}", ("rm", "--force", "--volumes")),
    (("network", "ls"), "{{.ID}}", ("network", "rm")),
    (("volume", "ls"), "{{.Name}}", ("volume", "rm", "--force")),
)


def owned_name(kind: str) -> str:
    """A name like no other, that says which process made what bears it."""
    return f"muster-test-{kind}-{os.getpid()}-{secrets.token_hex(3)}"


def clear_away() -> None:
    """Removes containers first: networks and volumes in use stay."""
    for words, name, remove in _KINDS:
        found = [
            line.partition(" ")[0]
            for label in (LABEL, _PROJECT)
            for line in _lines(*words, "--filter", f"label={label}", "--format", _row(name, label))
            if _is_left(line.partition(" ")[2])
        ]
        if found:
            _lines(*remove, *found)


def _row(name: str, label: str) -> str:
    return f'{name} {{{{.Label "{label}"}}}}'


def _is_left(project: str) -> bool:
    owned = _OURS.fullmatch(project)
    return owned is not None and not _lives(int(owned[1]))


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _lines(*command: str) -> list[str]:
    done = subprocess.run(["docker", *command], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()
