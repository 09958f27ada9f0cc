# ruff: noqa: INP001 - mkdocs loads it by its path
"""A hook of mkdocs: files of the repository that pages link to become part of the site.

On the repository's own pages a link such as `../../deploy/prometheus/alerts.yml` works as it
stands. The site is made of `docs/` alone, so each such file is added as `repository/…` and the link
is turned to it. A link to what is not there stays as it is, and the strict build stops at it.

Besides, a pipe in code within a table, which GitHub wants escaped, loses its escape here.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"

_LINK = re.compile(r"(?<=\]\()(?![a-z]+:|[#/<])[^)#\s]+")
_CODE = re.compile(r"`[^`\n]*`")
_ROW = re.compile(r"^\|.*", re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what pages link to outside of `docs/`."""
    linked = {path for file in files.documentation_pages() for path in _outside(file)}
    for path in sorted(linked):
        files.append(File.generated(config, _uri(path), abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Turn the page's links to where their targets are in the site, and take escapes away."""
    here = posixpath.dirname(page.file.src_uri)

    def turned(link: re.Match[str]) -> str:
        target = _target(page.file, link[0])
        return posixpath.relpath(_uri(target), here) if target.is_file() else link[0]

    return _ROW.sub(_plain_pipes, _LINK.sub(turned, markdown))


def _plain_pipes(row: re.Match[str]) -> str:
    return _CODE.sub(lambda code: code[0].replace(r"\|", "|"), row[0])


def _outside(file: File) -> Iterator[Path]:
    for link in _LINK.findall(file.content_string):
        target = _target(file, link)
        if target.is_file() and not target.is_relative_to(DOCS):
            yield target


def _target(file: File, link: str) -> Path:
    return (Path(str(file.abs_src_path)).parent / link).resolve()


def _uri(path: Path) -> str:
    if path.is_relative_to(DOCS):
        return path.relative_to(DOCS).as_posix()
    return f"repository/{path.relative_to(ROOT).as_posix()}"
