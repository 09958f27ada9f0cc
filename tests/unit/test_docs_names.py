"""The table of names leads to things that exist, and the pages that list others leave none out."""

from __future__ import annotations

import re
from pathlib import Path
from pkgutil import resolve_name

import pytest

DOCS = Path(__file__).parents[2] / "docs"
_OURS = re.compile(r"`((?:agents|control|envelope|orchestrators|worker)\.[\w.]+)`")
_LINK = re.compile(r"\]\(([^)#:]+\.md)")


def ours() -> list[str]:
    page = (DOCS / "reference" / "names.md").read_text(encoding="utf-8")
    rows = [line.replace(r"\|", "/").split("|") for line in page.splitlines() if line[:1] == "|"]
    return sorted({name for row in rows for name in _OURS.findall(row[2])})


@pytest.mark.parametrize("name", ours())
def test_a_name_of_the_table_exists(name: str) -> None:
    assert resolve_name(name) is not None


def test_the_table_names_the_parts() -> None:
    assert len(ours()) > 40


@pytest.mark.parametrize("folder", [".", "howto", "operations", "reference", "decisions"])
def test_the_index_links_every_page(folder: str) -> None:
    index = DOCS / "README.md"
    linked = {index.parent / path for path in _LINK.findall(index.read_text(encoding="utf-8"))}
    assert set((DOCS / folder).glob("*.md")) - {index} <= linked
