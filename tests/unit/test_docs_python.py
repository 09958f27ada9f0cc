"""Python examples of the documentation compile, and use no name that their page does not give."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
GIVEN = ("present_url", "tables_url", "home")
"""What a reader puts in: where their own Redis, tables and folder are."""

_EXAMPLE = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def examples(page: Path) -> list[str]:
    return _EXAMPLE.findall(page.read_text(encoding="utf-8"))


WITH_EXAMPLES = [page for page in PAGES if examples(page)]


@pytest.mark.parametrize("page", WITH_EXAMPLES, ids=lambda page: page.name)
def test_examples_compile(page: Path) -> None:
    for example in examples(page):
        compile(example, page.name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def test_examples_define_what_they_use(tmp_path: Path) -> None:
    for page in WITH_EXAMPLES:
        module = "_".join(page.relative_to(ROOT).with_suffix("").parts)
        (tmp_path / f"{module}.py").write_text("\n".join(examples(page)), encoding="utf-8")
    found = undefined(tmp_path)
    assert found.returncode == 0, found.stdout


def test_an_undefined_name_is_found(tmp_path: Path) -> None:
    (tmp_path / "page.py").write_text("made = await run_inline(flow, {})\n", encoding="utf-8")
    assert "F821" in undefined(tmp_path).stdout


def undefined(folder: Path) -> subprocess.CompletedProcess[str]:
    """Let ruff look for undefined names."""
    command = [str(Path(sys.executable).with_name("ruff")), "check", "--isolated", "--no-cache"]
    how = ["--select", "F821", "--output-format", "concise", "--config", f"builtins={list(GIVEN)}"]
    return subprocess.run(
        [*command, *how, str(folder)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
