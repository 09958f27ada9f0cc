"""Secrets of one's own in place of the published ones, and mails that are caught."""

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docker.stack import Stack, run, secret
from tests.services.waiting import wait_until

OPTIONAL = {"openai_api_key", "smtp_url", "webhook_secret"}


@pytest.fixture
def own_secrets(tmp_path: Path) -> Path:
    folder = tmp_path / "secrets"
    assert f"SECRETS={folder}" in run("deploy/make-secrets", str(folder))
    return folder


@pytest.fixture
def own_stack(stack: Stack, own_secrets: Path) -> Iterator[Stack]:
    """After `stack`, which knows whether there is an engine."""
    made = Stack(stack.ledger, "own", own_secrets)
    try:
        made.up("agents")
        yield made
    finally:
        made.down()


def test_made_secrets_are_random_and_stay(own_secrets: Path) -> None:
    made = {file.name: file.read_text() for file in own_secrets.iterdir()}
    assert {name for name, text in made.items() if not text.strip()} == OPTIONAL
    assert len({text for text in made.values() if text.strip()}) == len(made) - len(OPTIONAL)
    assert all(len(text) > 40 for name, text in made.items() if name not in OPTIONAL)
    assert stat.S_IMODE(own_secrets.stat().st_mode) == 0o700
    run("deploy/make-secrets", str(own_secrets))
    assert {file.name: file.read_text() for file in own_secrets.iterdir()} == made


def test_the_stack_runs_on_own_secrets(own_stack: Stack, own_secrets: Path) -> None:
    def ping(password: str) -> str:
        login = ("--user", "muster", "--pass", password, "--no-auth-warning")
        return own_stack.inside("redis", "redis-cli", *login, "ping", check=False)

    assert "PONG" in ping(secret("redis_password", own_secrets))
    assert "WRONGPASS" in ping(secret("redis_password"))
    assert "healthy" in own_stack.services()["agents-1"]["Health"]


@pytest.fixture
def with_mail(stack: Stack) -> Iterator[Stack]:
    stack.compose("--profile", "mail", "up", "--detach", "--wait", "mail")
    yield stack
    stack.compose("--profile", "mail", "rm", "--force", "--stop", "mail")


def test_a_mail_sink_takes_what_is_sent(with_mail: Stack) -> None:
    program = """
import smtplib
with smtplib.SMTP("mail", 1025, timeout=5) as server:
    server.sendmail("a@example.com", ["b@example.com"], "Subject: caught\\r\\n\\r\\nHello")
"""
    with_mail.inside("agents", "python", "-c", program)
    wait_until(lambda: "Subject: caught" in with_mail.compose("logs", "mail"), 10, "the mail")
