"""A folder `agents` beside the user, as many projects have one: both commands explain it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(sys.executable).parent


@pytest.mark.parametrize(
    "command",
    [
        ("celery", "-A", "worker", "report"),
        ("muster", "enqueue", "lead", "--payload", "{}"),
    ],
    ids=" ".join,
)
def test_a_shadowed_start_is_explained(tmp_path: Path, command: tuple[str, ...]) -> None:
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "__init__.py").write_text("", encoding="utf-8")
    done = subprocess.run(
        [str(SCRIPTS / command[0]), *command[1:]],
        env={**os.environ, "PYTHONPATH": str(tmp_path), "MUSTER_HOME": str(tmp_path / "home")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode != 0
    assert "Python finds the package 'agents' in" in said
    assert "Rename that folder" in said
