"""The examples of the how-to pages about agents run as they stand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "howto"
_EXAMPLE = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
_OUTPUT = re.compile(r"^```text\n(.*?)^```", re.MULTILINE | re.DOTALL)


def test_an_agent_is_added_in_one_file(tmp_path: Path) -> None:
    page = (PAGES / "add-an-agent.md").read_text()
    for example in _EXAMPLE.findall(page):
        path = tmp_path / example.splitlines()[0].removeprefix("# ")
        path.parent.mkdir(exist_ok=True)
        path.write_text(example)
    assert _run(tmp_path, "try_it.py").stdout == _OUTPUT.findall(page)[0]
    loading = (
        "from worker.loading import load_modules; load_modules(['mycompany.flows']);"
        "from agents import AGENTS; print(AGENTS.get('scoring').rate)"
    )
    assert _run(tmp_path, "-c", loading).stdout == "60/min\n"


def _run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done


def test_the_tests_of_the_page_pass(tmp_path: Path) -> None:
    page = (PAGES / "test-your-agent.md").read_text()
    (tmp_path / "conftest.py").write_text(_OUTPUT.findall(page)[0])
    (tmp_path / "test_page.py").write_text("\n\n".join(_EXAMPLE.findall(page)))
    command = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:celery"]
    done = _run(tmp_path, *command, "--strict-markers", "--rootdir", str(tmp_path), str(tmp_path))
    assert "6 passed" in done.stdout
