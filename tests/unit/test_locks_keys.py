"""Lock keys: no two sets of parts collide, whatever users put into them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envelope.errors import InvalidInput
from envelope.ports.locks import lock_key
from worker.coordination.locks.keys import keys_of, quoted, unquoted

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


def test_parts_are_quoted_and_the_template_is_not() -> None:
    assert lock_key("run:{user}:{thread}", user="u1", thread=7) == "run:u1:7"
    assert lock_key("run:{user}:{thread}", user="a:b", thread="*/é") == "run:a%3Ab:%2A%2F%C3%A9"
    assert lock_key("plain") == "plain"
    assert lock_key("{{literal}}:{x}", x="1", unused=None) == "{literal}:1"
    assert lock_key("{template}", template="x") == "x"


@given(TEXT, TEXT, TEXT, TEXT)
def test_different_parts_give_different_keys(a: str, b: str, c: str, d: str) -> None:
    one = lock_key("run:{user}:{thread}", user=a, thread=b)
    two = lock_key("run:{user}:{thread}", user=c, thread=d)
    assert (one == two) == ((a, b) == (c, d))


@given(TEXT, TEXT)
def test_different_keys_use_different_keys_of_redis(a: str, b: str) -> None:
    assert unquoted(quoted(a)) == a
    internal = {"muster:locks", "muster:locks:era", "muster:fence"}
    assert not internal & set(keys_of(quoted(a)))
    assert bool(set(keys_of(quoted(a))) & set(keys_of(quoted(b)))) == (a == b)


@pytest.mark.parametrize(
    ("template", "parts", "said"),
    [
        ("run:{user}:{thread}", {"user": "u"}, "'thread'"),
        ("run:{user}", {"user": None}, "'user'"),
        ("run:{user}", {"user": ""}, "'user'"),
        ("run:{user}", {"user": 1.5}, "float"),
        ("run:{user}", {"user": True}, "bool"),
        ("run:{user}", {"user": "\ud800"}, "surrogate"),
        ("run:{user", {"user": "u"}, "malformed"),
        ("run:user}", {}, "malformed"),
        ("run:{}", {}, "plain name"),
        ("run:{0}", {}, "plain name"),
        ("run:{user.name}", {"user": "u"}, "plain name"),
        ("run:{user!r}", {"user": "u"}, "plain name"),
        ("run:{user:>9}", {"user": "u"}, "plain name"),
    ],
)
def test_what_is_missing_or_malformed_is_said(
    template: str, parts: dict[str, object], said: str
) -> None:
    with pytest.raises(InvalidInput, match=said):
        lock_key(template, **parts)
