"""Passages: whole paragraphs, cut at headings, never overlapping, verbatim."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.knowledge.chunking import Chunk, chunks
from agents.knowledge.document import SourceDocument

MARKDOWN = """\
Intro before any heading.

# Muster

First paragraph.
Still the first.

Second paragraph.

## Locks ##

```python
# not a heading

lock()
```

After the code.

# Next

Last one.
"""


def cut(text: str, *, markdown: bool = True) -> list[Chunk]:
    return chunks(SourceDocument("a.md", text, markdown))


def test_passages_follow_the_headings() -> None:
    made = cut(MARKDOWN)
    assert [chunk.heading for chunk in made] == ["", "Muster", "Muster > Locks", "Next"]
    assert made[1].text == "First paragraph.\nStill the first.\n\nSecond paragraph."
    assert "# not a heading" in made[2].text
    assert made[2].text.startswith("```python")
    assert made[2].text.endswith("After the code.")


def test_a_deeper_heading_ends_with_the_next_higher_one() -> None:
    made = cut("# A\n\n## B\n\n### C\n\nunder c\n\n## D\n\nunder d\n")
    assert [chunk.heading for chunk in made] == ["A > B > C", "A > D"]


def test_plain_text_has_no_headings() -> None:
    assert cut("# one\n\ntwo", markdown=False) == [Chunk(0, "", "# one\n\ntwo")]


def test_paragraphs_are_joined_up_to_the_target_and_long_ones_cut_at_sentences() -> None:
    sentence = "This sentence is exactly as long as all the others are in this text. "
    made = cut(f"{sentence * 5}\n\n{sentence * 5}\n\n{sentence * 60}\n")
    assert max(len(chunk.text) for chunk in made) <= 1_400
    assert len(made[0].text) > 600
    assert all(chunk.text.endswith(".") for chunk in made)


def test_a_text_without_blanks_is_cut_all_the_same() -> None:
    made = cut("x" * 5_000)
    assert "".join(chunk.text for chunk in made) == "x" * 5_000


@pytest.mark.parametrize("text", ["", "\n\n", "***\n\n---\n", "# Only a heading\n"])
def test_nothing_to_say_is_no_passage(text: str) -> None:
    assert cut(text) == []


def test_an_open_fence_runs_to_the_end() -> None:
    made = cut("# A\n\n~~~\ncode\n\n# still code\n")
    assert [chunk.heading for chunk in made] == ["A"]


def test_line_ends_of_every_system() -> None:
    for end in ("\n", "\r\n", "\r"):
        made = cut(f"# A{end}{end}one{end}{end}# B{end}{end}two{end}")
        assert [(chunk.heading, chunk.text) for chunk in made] == [("A", "one"), ("B", "two")]


PIECES = st.sampled_from(
    [
        "# H\n",
        "## Sub\n",
        "word ",
        "word. ",
        "\n",
        "\n\n",
        "```\n",
        "~~~~\n",
        "|a|b|\n",
        "é🙂 ",
        "\r\n",
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.lists(PIECES, max_size=400).map("".join), st.text(max_size=300)), st.booleans())
def test_passages_are_verbatim_and_in_order(text: str, markdown: bool) -> None:
    end = 0
    for chunk in cut(text, markdown=markdown):
        assert text[chunk.offset : chunk.offset + len(chunk.text)] == chunk.text
        assert chunk.offset >= end
        assert 0 < len(chunk.text) <= 1_400
        end = chunk.offset + len(chunk.text)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(["alpha", "beta.", "gamma\n\n", "delta\n"]), max_size=2_000))
def test_no_word_is_lost(words: list[str]) -> None:
    text = " ".join(words)
    kept = " ".join(chunk.text for chunk in cut(text, markdown=False))
    assert kept.split() == text.split()
