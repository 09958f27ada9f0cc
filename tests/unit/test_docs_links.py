"""Every link of every page leads somewhere, anchors included, and every page can be reached."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.markdown_pages import DOCS, ROOT, anchors, links, name_of, pages

PAGES = pages()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    assert broken(page, page.read_text("utf-8")) == []


def test_there_are_pages_and_links() -> None:
    assert len(PAGES) > 40
    assert sum(len(links(page.read_text("utf-8"))) for page in PAGES) > 200


def test_every_page_of_the_documentation_can_be_reached_from_the_readme() -> None:
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached:
            continue
        reached.add(page)
        targets = [page.parent / link.partition("#")[0] for link in links(page.read_text("utf-8"))]
        waiting += [target.resolve() for target in targets if target.suffix == ".md"]
    assert {name_of(page) for page in DOCS.rglob("*.md")} <= {name_of(page) for page in reached}


def test_the_site_has_every_page() -> None:
    site = (ROOT / "mkdocs.yml").read_text("utf-8")
    left = [page for page in DOCS.rglob("*.md") if f": {page.relative_to(DOCS)}\n" not in site]
    assert left == []


def test_the_built_site_stays_out_of_the_repository() -> None:
    assert "site_dir: site\n" in (ROOT / "mkdocs.yml").read_text("utf-8")
    assert "/site/" in (ROOT / ".gitignore").read_text("utf-8").splitlines()


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("[a](deploy.md)", []),
        ("[a](deploy.md#bare-celery)", []),
        ("[a](#here)\n\n## Here", []),
        ("`[a](nowhere.md)`\n\n```\n[a](nowhere.md)\n```\n", []),
        ("[a](nowhere.md)", ["nowhere.md"]),
        ("[a](deploy.md#nowhere)", ["deploy.md#nowhere"]),
        ("[a](#nowhere)", ["#nowhere"]),
        ("[a](/docs/README.md)", ["/docs/README.md"]),
    ],
)
def test_a_broken_link_is_found(text: str, wrong: list[str]) -> None:
    assert broken(DOCS / "operations" / "new.md", text) == wrong


def test_anchors_are_those_of_github() -> None:
    text = "# A run's `key`, and more\n## Twice\n## Twice\n### [A link](x.md): `muster_runs`\n"
    assert anchors(text) == {"a-runs-key-and-more", "twice", "twice-1", "a-link-muster_runs"}


def broken(page: Path, text: str) -> list[str]:
    return [link for link in links(text) if not leads_somewhere(page, text, link)]


def leads_somewhere(page: Path, text: str, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = page.parent / path
    if path.startswith("/") or (path and not target.exists()):
        return False
    if not anchor:
        return True
    return anchor in anchors(target.read_text("utf-8") if path else text)
