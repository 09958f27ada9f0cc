"""Pages run as they stand, each as one file, and print what they say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_EXAMPLE = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
_OUTPUT = re.compile(r"^```text\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(
    "name",
    [
        "howto/add-a-tool",
        "howto/compose-a-flow",
        "howto/deliver",
        "howto/send-email-and-webhooks",
        "howto/wait-signal-cancel",
        "reference/limits",
        "reference/llm",
    ],
)
def test_the_page_runs_as_one_file(tmp_path: Path, name: str) -> None:
    page = (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    examples = [one for one in _EXAMPLE.findall(page) if "Muster()" not in one]  # needs a journal
    (tmp_path / "page.py").write_text("\n\n".join(examples), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", "page.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "".join(_OUTPUT.findall(page))
