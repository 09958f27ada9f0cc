"""What a process in a container reads from mounted secrets. Needs no engine."""

import subprocess
import sys
from pathlib import Path

import pytest

import deploy.with_secrets as module
from deploy.with_secrets import with_secrets

SCRIPT = Path(module.__file__)


@pytest.fixture(autouse=True)
def contents(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    found: dict[str, str] = {}
    monkeypatch.setattr(module, "_content", lambda path: found.get(path.name, ""))
    return found


def test_a_file_becomes_the_variable_that_it_is_named_for(contents: dict[str, str]) -> None:
    contents["key"] = "sk-1"
    told = with_secrets({"OPENAI_API_KEY_FILE": "/run/secrets/key", "OTHER": "x"})
    assert told == {"OPENAI_API_KEY": "sk-1", "OTHER": "x"}


def test_a_password_goes_into_its_url_quoted(contents: dict[str, str]) -> None:
    contents["pw"] = "p@ss/w:rd"
    told = with_secrets({"X_URL": "redis://u@redis:6379/0", "X_PASSWORD_FILE": "/run/secrets/pw"})
    assert told == {"X_URL": "redis://u:p%40ss%2Fw%3Ard@redis:6379/0"}


def test_a_password_without_a_url_is_a_variable(contents: dict[str, str]) -> None:
    contents["pw"] = "secret"
    assert with_secrets({"X_PASSWORD_FILE": "/run/secrets/pw"}) == {"X_PASSWORD": "secret"}


def test_an_empty_file_leaves_what_the_environment_says() -> None:
    told = with_secrets({"KEY": "given", "KEY_FILE": "/run/secrets/empty"})
    assert told == {"KEY": "given"}


def test_files_elsewhere_are_no_secrets() -> None:
    assert with_secrets({"SSL_CERT_FILE": "/etc/ssl/ca.pem"}) == {
        "SSL_CERT_FILE": "/etc/ssl/ca.pem"
    }


@pytest.mark.parametrize(
    ("command", "said"), [((), "name the command"), (("no-such-program",), "no-such-program")]
)
def test_a_command_that_cannot_be_run_is_named(command: tuple[str, ...], said: str) -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, *command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert said in done.stderr
