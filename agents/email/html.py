"""Plain text as HTML."""

from __future__ import annotations

from html import escape


def html_of(text: str) -> str:
    """Return a text as a small HTML page: paragraphs and line breaks, everything else escaped.

    What looks like a tag, a link or an entity in the text is shown as it stands and never works.
    """
    paragraphs = [part.strip("\n") for part in text.split("\n\n")]
    body = "\n".join(f"<p>{_broken(part)}</p>" for part in paragraphs if part)
    head = '<!DOCTYPE html>\n<html><head><meta charset="utf-8"></head><body>'
    return f"{head}\n{body}\n</body></html>\n"


def _broken(paragraph: str) -> str:
    return escape(paragraph).replace("\n", "<br>\n")
