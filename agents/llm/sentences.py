"""Plain sentences out of Markdown: what a person could say aloud."""

from __future__ import annotations

import re

_CODE_BLOCK = re.compile(
    r"^ {0,3}(`{3,}|~{3,}).*?(?:^ {0,3}\1[`~]*[ \t]*$|\Z)", re.DOTALL | re.MULTILINE
)
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_TAG = re.compile(r"</?[A-Za-z][^<>]{0,500}>")
_IMAGE = re.compile(r"!\[[^\[\]]*\]\([^()]*\)")
_LINK = re.compile(r"\[(?P<text>[^\[\]]+)\](?:\([^()]*\)|\[[^\[\]]*\])")
_STRONG = re.compile(r"(?P<marks>\*{1,3}|`+)(?P<text>[^*`\n]+?)(?P=marks)")
_SLANTED = re.compile(r"(?<!\w)(?P<marks>_{1,3})(?=\S)(?P<text>[^_\n]+?)(?P=marks)(?!\w)")
_NO_PROSE = re.compile(r"^\s*(?:\||#{1,6}\s|={3,}|-{3,}|:?-+:?\s*\||\[[^\]]+\]:)")
_ITEM = re.compile(r"^\s*(?:[-*+]|\d{1,3}[.)])\s+|^\s*>\s?")
_END = re.compile(r"(?<=[.!?])\s+(?=[\"(]?[A-Z0-9])")
_SHORT_FORMS = re.compile(r"\b(?:e\.g|i\.e|etc|vs|cf|Inc|Ltd|Co|Corp|No|St|Dr|Mr|Ms|approx)\.$")


def sentences(markdown: str) -> list[str]:
    """Return the sentences of the prose in `markdown`, in order, free of its marks.

    Code blocks, tables, headings and comments are left out; lines of a paragraph are joined.
    """
    prose = _TAG.sub("", _COMMENT.sub("", _CODE_BLOCK.sub("\n\n", markdown)))
    return [sentence for block in _blocks(prose) for sentence in _split(_unmarked(block))]


def fragments(markdown: str) -> list[str]:
    """Return the lines of `markdown` free of its marks, a table's cells joined by `: `.

    For texts that hold no sentences, such as tables and lists of key words.
    """
    lines = (_COMMENT.sub("", markdown)).splitlines()
    plain = (_unmarked(": ".join(_cells(_ITEM.sub("", line.lstrip("# "))))) for line in lines)
    return [line for line in plain if any(character.isalnum() for character in line)]


def _cells(line: str) -> list[str]:
    if "|" not in line:
        return [line.strip()]
    return [cell.strip() for cell in line.split("|") if cell.strip(" :-")]


def _blocks(prose: str) -> list[str]:
    """Join wrapped lines; a list item starts a block of its own."""
    blocks: list[list[str]] = [[]]
    for line in prose.splitlines():
        if not line.strip() or _NO_PROSE.match(line):
            blocks.append([])
        elif _ITEM.match(line):
            blocks.append([_ITEM.sub("", line).strip()])
        else:
            blocks[-1].append(line.strip())
    return [" ".join(block) for block in blocks if block]


def _unmarked(block: str) -> str:
    block = _LINK.sub(r"\g<text>", _IMAGE.sub("", block))
    for _ in range(2):  # emphasis stands inside emphasis at most once
        block = _SLANTED.sub(r"\g<text>", _STRONG.sub(r"\g<text>", block))
    return " ".join(block.split())


def _split(block: str) -> list[str]:
    found: list[str] = []
    for part in _END.split(block):
        if found and _SHORT_FORMS.search(found[-1]):
            found[-1] = f"{found[-1]} {part}"
        else:
            found.append(part)
    return [sentence.strip() for sentence in found if sentence.strip()]
