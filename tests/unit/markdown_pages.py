"""The Markdown pages of the repository, taken apart for tests: links, anchors, code."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

_MADE = {"dist", "node_modules", "site"}
_FENCE = re.compile(
    r"^(?P<mark>```+|~~~+)(?P<language>\w*).*?\n(?P<code>.*?)^(?P=mark)[ ]*$",
    re.MULTILINE | re.DOTALL,
)
_SPAN = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)
_LINK = re.compile(r"\]\((?![a-z]+:|//|<)([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} (.+?)(?: #*)?$", re.MULTILINE)
_TEXT_OF_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")


def pages() -> list[Path]:
    """Every Markdown page that belongs to the repository."""
    found = []
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if name[0] != "." and name not in _MADE]
        found += [Path(folder) / name for name in names if name.endswith(".md")]
    return sorted(found)


def name_of(page: Path) -> str:
    """How a test calls a page."""
    return page.relative_to(ROOT).as_posix()


def blocks(text: str) -> list[tuple[str, str]]:
    """The fenced blocks: language and code of each."""
    return [(found["language"], found["code"]) for found in _FENCE.finditer(text)]


def spans(text: str) -> list[str]:
    """What stands between backticks in a line; in tables a pipe is escaped there."""
    return [code.replace(r"\|", "|").strip() for _, code in _SPAN.findall(_FENCE.sub("", text))]


def prose(text: str) -> str:
    """The text without its code."""
    return _SPAN.sub("`code`", _FENCE.sub("", text))


def links(text: str) -> list[str]:
    """Links that name no other server."""
    return _LINK.findall(prose(text))


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives to a page's headings."""
    return set(_numbered(_slug(heading) for heading in _HEADING.findall(_FENCE.sub("", text))))


def _slug(heading: str) -> str:
    text = _TEXT_OF_LINK.sub(r"\1", heading).lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def _numbered(slugs: Iterator[str]) -> Iterator[str]:
    seen: dict[str, int] = {}
    for slug in slugs:
        seen[slug] = seen.get(slug, -1) + 1
        yield f"{slug}-{seen[slug]}" if seen[slug] else slug
