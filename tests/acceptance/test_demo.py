"""The demo as a newcomer runs it: real Redis, real worker, real journal, in a folder of its own."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.services.waiting import wait_until

SECONDS = 120.0
MANY = 400  # enough for the demo to be in the middle of it when the test steps in
MUSTER = str(Path(sys.executable).with_name("muster"))
ROOT = Path(__file__).parents[2]

Demo = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def demo(tmp_path: Path) -> Demo:
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MUSTER_", "OPENAI_", "REDIS_", "DATABASE_"))
    }

    def start(*arguments: str, **more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [MUSTER, "demo", *arguments],
            cwd=tmp_path,
            env=environment | more,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    return start


def finished(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=SECONDS)
    return process.returncode, out, err


def until_some_runs_ended(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if re.match(r"runs [1-9]", line):
            return
    pytest.fail(f"The demo ended before a run did: {process.communicate()[1]}")


def companies(folder: Path, count: int) -> Path:
    file = folder / "companies.csv"
    sectors = ["Energy", "Financials", "Health Care", "Utilities"]
    with file.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["Symbol", "Security", "GICS Sector"])
        writer.writerows([f"C{n}", f"Company {n}", sectors[n % 4]] for n in range(count))
    return file


def runs_of(folder: Path, *options: str) -> list[dict[str, Any]]:
    """The demo's runs, as a user lists them afterwards."""
    done = subprocess.run(
        [MUSTER, "runs", "list", "--json", "--limit", "1000", *options],
        env={**os.environ, "MUSTER_HOME": str(folder / ".muster")},
        capture_output=True,
        text=True,
        check=True,
    )
    runs: list[dict[str, Any]] = json.loads(done.stdout)["runs"]
    return runs


def workers_of(folder: Path) -> dict[int, str]:
    """Pids and commands of processes whose folder is the demo's home."""
    home, found = str(folder / ".muster"), {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if str((entry / "cwd").readlink()) == home:
                found[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue  # it has just ended
    return found


needs_proc = pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="needs /proc")


@needs_proc
def test_the_sample_campaign_succeeds_and_everything_it_names_can_be_looked_up(
    demo: Demo, tmp_path: Path
) -> None:
    code, out, err = finished(demo())
    assert code == 0, out + err
    assert err == ""
    assert "12: 12 succeeded" in out
    assert "36 committed" in out
    assert "model: offline" in out
    assert "docs/" in out  # passages that the draft quotes
    assert workers_of(tmp_path) == {}
    environment = {**os.environ, "MUSTER_HOME": str(tmp_path / ".muster")}
    for command in re.findall(r"muster (runs (?:show|explain) \S+(?: rec_\w+)?)", out):
        done = subprocess.run(
            [MUSTER, *command.split(), "--json"],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert json.loads(done.stdout)["run_id"] in out


@needs_proc
def test_ctrl_c_stops_it_and_the_same_command_goes_on_without_repeating_anything(
    demo: Demo, tmp_path: Path
) -> None:
    leads = companies(tmp_path, MANY)
    first = demo("--leads", str(leads))
    until_some_runs_ended(first)
    os.killpg(first.pid, signal.SIGINT)
    code, out, err = finished(first)
    assert code == 130, out + err
    assert "muster demo --continue" in out
    assert workers_of(tmp_path) == {}
    done = {run["run_id"]: run["finished_at"] for run in runs_of(tmp_path, "--state", "succeeded")}
    assert 0 < len(done) < MANY
    code, out, err = finished(demo("--leads", str(leads)))
    assert code == 0, out + err
    assert f"{len(done)} of {MANY} runs done before" in out
    assert f"{MANY}: {MANY} succeeded" in out
    assert f"{3 * MANY:,} committed" in out
    after = {run["run_id"]: run for run in runs_of(tmp_path)}
    assert len(after) == MANY
    assert {run_id: after[run_id]["finished_at"] for run_id in done} == done
    assert {run["losses"] for run in after.values()} == {0}  # given back in order is not lost


@needs_proc
def test_a_demo_that_is_killed_leaves_no_worker_and_nothing_is_lost(
    demo: Demo, tmp_path: Path
) -> None:
    leads = companies(tmp_path, MANY)
    first = demo("--leads", str(leads))
    until_some_runs_ended(first)
    first.kill()
    first.communicate()
    wait_until(lambda: not workers_of(tmp_path), SECONDS, "the worker has ended")
    code, out, err = finished(demo("--leads", str(leads), "--continue"))
    assert code == 0, out + err
    assert f"{MANY}: {MANY} succeeded" in out
    assert f"{3 * MANY:,} committed" in out


@needs_proc
def test_a_worker_that_is_killed_is_reported_and_the_campaign_can_go_on(
    demo: Demo, tmp_path: Path
) -> None:
    leads = companies(tmp_path, MANY)
    first = demo("--leads", str(leads))
    until_some_runs_ended(first)
    for pid in workers_of(tmp_path):
        os.kill(pid, signal.SIGKILL)
    code, out, err = finished(first)
    assert code == 3, out + err
    assert err.startswith("WORKER_DIED: ")
    assert "muster demo --continue" in err
    code, out, err = finished(demo("--leads", str(leads), "--continue"))
    assert code == 0, out + err
    assert f"{MANY}: {MANY} succeeded" in out


def test_a_finished_campaign_is_repeated_or_shown_as_asked(demo: Demo, tmp_path: Path) -> None:
    assert finished(demo("--limit", "2"))[0] == 0
    code, out, _ = finished(demo("--limit", "2", "--continue"))
    assert code == 0
    assert "2 of 2 runs done before" in out
    assert len(runs_of(tmp_path)) == 2
    assert finished(demo("--limit", "2"))[0] == 0
    assert len(runs_of(tmp_path)) == 4


def test_configured_servers_are_left_alone(demo: Demo, tmp_path: Path) -> None:
    away = {"REDIS_URL": "redis://127.0.0.1:1/0", "DATABASE_URL": "postgresql://u:p@127.0.0.1:1/x"}
    (tmp_path / ".env").write_text("MUSTER_REDIS_URL=redis://127.0.0.1:1/0\n")
    code, out, err = finished(demo("--limit", "1", **away))
    assert code == 0, out + err
    journal = f"sqlite:///{tmp_path}/.muster/journal.sqlite3"
    assert re.search(f"MUSTER_DATABASE_URL={journal} (uv run )?muster runs", out)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--leads", "nowhere.csv"], "CORRUPT_LEADS", "nowhere.csv"),
        (["--leads", "corrupt.csv"], "CORRUPT_LEADS", "corrupt.csv, line 3"),
        (["--knowledge", "empty"], "NO_KNOWLEDGE", "empty"),
        (["--knowledge", "nowhere"], "NO_KNOWLEDGE", "nowhere"),
    ],
)
def test_wrong_input_is_refused_before_anything_starts(
    demo: Demo, tmp_path: Path, arguments: list[str], code: str, words: str
) -> None:
    (tmp_path / "corrupt.csv").write_text("Symbol,Security,GICS Sector\nA,B,C\nD,E\n")
    (tmp_path / "empty").mkdir()
    status, out, err = finished(demo(*arguments))
    assert (status, out) == (2, "")
    assert err.startswith(f"{code}: ")
    assert words in err
    assert "Traceback" not in err
    assert not (tmp_path / ".muster").exists()
