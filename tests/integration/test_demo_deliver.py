"""`muster demo --deliver` as a person sees it: real parts, a real terminal, a mail that arrives."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.services.waiting import wait_until

SECONDS = 90.0
STYLES = re.compile(r"\x1b\[[\d;?]*[A-Za-z]")
MUSTER = str(Path(sys.executable).with_name("muster"))
FIRST = "alder-pike-bank@example.org"

pytestmark = pytest.mark.timeout(300)


class Terminal:
    """A demo that has a terminal."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self._printed = b""
        self._ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [MUSTER, "demo", *arguments],
            cwd=folder,
            env=environment(COLUMNS="160"),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self._reader = Thread(target=self._read)
        self._reader.start()

    @property
    def shown(self) -> str:
        """All that it printed, without colours."""
        return STYLES.sub("", self._printed.decode(errors="replace")).replace("\r\n", "\n")

    def until(self, words: str) -> None:
        wait_until(lambda: words in self.shown or self.process.poll() is not None, SECONDS, words)
        assert words in self.shown, self.shown

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def ended(self) -> int:
        code = self.process.wait(SECONDS)
        self._reader.join()
        os.close(self._ours)
        return code

    def _read(self) -> None:
        with suppress(OSError):  # the last one who held the other end has gone
            while piece := os.read(self._ours, 65_536):
                self._printed += piece


def environment(**more: str) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MUSTER_", "OPENAI_", "REDIS_", "DATABASE_", "UV_"))
    }
    return {**kept, **more}


@pytest.fixture
def demo(tmp_path: Path) -> Callable[..., tuple[int, str]]:
    def finished(*arguments: str, **more: str) -> tuple[int, str]:
        done = subprocess.run(
            [MUSTER, "demo", *arguments],
            cwd=tmp_path,
            env=environment(**more),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
        )
        return done.returncode, done.stdout + done.stderr

    return finished


def told(folder: Path, *command: str) -> Any:
    done = subprocess.run(
        [MUSTER, *command, "--json"],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def sources(tree: dict[str, Any]) -> set[tuple[str, str]]:
    """Pairs of run and source, of a record and all that it was made from."""
    own = {(tree["run"], tree["provenance"]["source"])}
    return own.union(*(sources(parent) for parent in tree["derived_from"]))


def test_it_waits_for_a_person_is_sent_once_approved_and_never_again(
    demo: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    code, out = demo("--deliver", "--limit", "2")
    assert code == 0, out
    assert "Nobody decided." in out
    assert f"to:\n{FIRST}" in out
    assert "The received mail" not in out
    (asked,) = told(tmp_path, "approvals", "list")["approvals"]
    assert told(tmp_path, "runs", "show", asked["run_id"])["status"] == "waiting"
    hint = re.search(r"muster (approvals approve \S+)", out)
    assert hint is not None
    by = ("--yes", "--by", "ada")
    assert told(tmp_path, *hint[1].split(), *by)["status"] == "approved"

    code, out = demo("--deliver", "--limit", "2")
    assert code == 0, out
    assert "2 of 2 runs done before" in out
    assert f"{asked['run_id']}, begun before" in out
    assert f"RCPT TO: {FIRST}" in out
    (effect,) = told(tmp_path, "effects", "list")["effects"]
    assert (effect["status"], effect["approval_id"]) == ("sent", asked["approval_id"])
    assert f"Message-ID: {effect['receipt']['message_id']}" in out
    assert effect["key"] in out
    (tree,) = told(tmp_path, "runs", "explain", asked["run_id"])["records"]
    runs, documents = zip(*sources(tree), strict=True)
    assert len({run for run in runs if run != asked["run_id"]}) == 1
    assert any(name.startswith("docs/") for name in documents)
    assert re.search(r"row docs/\S+#\d+  sha256 \w{12}", out)

    code, out = demo("--deliver", "--limit", "2")
    assert code == 0, out
    assert "Sent before" in out
    assert "The received mail" not in out
    assert effect["key"] in out
    assert re.search(r"row docs/\S+#\d+  sha256 \w{12}", out)
    assert len(told(tmp_path, "effects", "list")["effects"]) == 1
    assert len(told(tmp_path, "approvals", "list", "--state", "any")["approvals"]) == 1


def test_ctrl_c_at_the_question_keeps_the_run_and_a_no_ends_it(tmp_path: Path) -> None:
    first = Terminal(tmp_path, "--deliver", "--limit", "1")
    first.until("Send exactly this? [y/N]")
    os.killpg(first.process.pid, signal.SIGINT)
    assert first.ended() == 130, first.shown
    assert "muster demo --deliver --limit 1" in first.shown
    (asked,) = told(tmp_path, "approvals", "list")["approvals"]

    second = Terminal(tmp_path, "--deliver", "--limit", "1")
    second.until("Send exactly this? [y/N]")
    assert asked["approval_id"] in second.shown
    second.type("n\n")
    assert second.ended() == 0, second.shown
    assert "The mail server received nothing." in second.shown
    assert told(tmp_path, "effects", "list")["effects"] == []
    run = told(tmp_path, "runs", "show", asked["run_id"])
    assert (run["status"], run["error"]["code"]) == ("failed", "APPROVAL_REJECTED")

    third = Terminal(tmp_path, "--deliver", "--limit", "1")
    third.until("Send exactly this? [y/N]")
    assert asked["approval_id"] not in third.shown
    third.type("y\n")
    assert third.ended() == 0, third.shown
    assert f"RCPT TO: {FIRST}" in third.shown


def test_a_named_company_is_written_to_whatever_the_environment_says_of_delivery(
    demo: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    theirs = {
        "MUSTER_SMTP_URL": "smtp://127.0.0.1:1",
        "MUSTER_MAIL_FROM": "me@example.com",
        "MUSTER_DELIVERY_QUIET": "00:00-23:59 UTC",
        "MUSTER_DELIVERY_ALLOW": "*@example.com",
        "MUSTER_APPROVERS": "nobody-here",
    }
    code, out = demo("--deliver", "brnl", "--limit", "2", "--yes", "--by", "ada", **theirs)
    assert code == 0, out
    assert "is approved by ada." in out
    assert "RCPT TO: brennell-diagnostics@example.org" in out
    assert "me@example.com" not in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--deliver", "CORV", "--limit", "2"], "No company 'CORV' is among the 2"),
        (["--yes"], "add --deliver"),
    ],
)
def test_wrong_wishes_are_refused_before_anything_starts(
    demo: Callable[..., tuple[int, str]], tmp_path: Path, arguments: list[str], words: str
) -> None:
    code, out = demo(*arguments)
    assert code == 2
    assert words in out
    assert not (tmp_path / ".muster").exists()
