"""The text within JSON, however the pieces are cut."""

from __future__ import annotations

import json

from hypothesis import example, given
from hypothesis import strategies as st

from agents.tasks.text_pieces import TextPieces


def passed_on(pieces: list[str]) -> list[str]:
    got: list[str] = []
    text = TextPieces("text", got.append)
    for piece in pieces:
        text.take(piece)
    return got


def cut(text: str, cuts: list[int]) -> list[str]:
    places = sorted({place % (len(text) + 1) for place in cuts})
    return [text[a:b] for a, b in zip([0, *places], [*places, len(text)], strict=True)]


@given(st.text(), st.booleans(), st.lists(st.integers(0, 1_000), max_size=12))
@example('say "text": "no"', True, [3, 7, 9])
@example("\N{GRINNING FACE}\N{GRINNING FACE}", True, list(range(40)))
@example("back\\slash\n\u2028", True, list(range(40)))
def test_the_pieces_are_the_text(text: str, ascii_only: bool, cuts: list[int]) -> None:
    written = json.dumps({"text": text}, ensure_ascii=ascii_only)
    assert "".join(passed_on(cut(written, cuts))) == text


def test_pieces_come_as_early_as_they_can() -> None:
    assert passed_on(['{"te', 'xt" : "Hel', "lo \\", "nyou", '!"}']) == ["Hel", "lo ", "\nyou", "!"]


def test_an_answer_that_is_repaired_begins_anew() -> None:
    assert passed_on(['{"text": "one"}', '{"text": "two"}']) == ["one", "two"]
    assert passed_on(['{"other": "x", "text": "one", "more": "y"}']) == ["one"]


def test_what_is_no_json_passes_nothing_wrong_on() -> None:
    assert passed_on(["no json at all"]) == []
    assert passed_on(['{"text": "a\\x b"}']) == ["a"]
