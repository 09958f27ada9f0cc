"""No secret leaves: by key, by value, by looks."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.redaction import MASK, Redactor, is_secret_key, mask_text, mask_url, url_password

CANARY = "CANARY-7c1e/9@x y"


@pytest.mark.parametrize(
    "key",
    [
        "password",
        "Password",
        "db_password",
        "passwd",
        "secret",
        "client_secret",
        "webhook-secret",
        "token",
        "access_token",
        "authToken",
        "api_key",
        "apikey",
        "apiKey",
        "X-Api-Key",
        "OPENAI_API_KEY",
        "Authorization",
        "proxy-authorization",
        "Set-Cookie",
        "private_key",
        "signing_key",
        "credentials",
    ],
)
def test_keys_that_hold_secrets(key: str) -> None:
    assert is_secret_key(key)
    assert Redactor().value({key: "whatever"}) == {key: MASK}


@pytest.mark.parametrize(
    "key",
    ["tokens", "total_tokens", "max_tokens", "idempotency_key", "key", "author", "passage", "run"],
)
def test_keys_that_do_not(key: str) -> None:
    assert not is_secret_key(key)
    assert Redactor().value({key: "plain"}) == {key: "plain"}


@pytest.mark.parametrize(
    "text",
    [
        "redis://:hunter22@localhost:6379/0",
        "postgresql+psycopg://muster:hunter22@db/x",
        "at postgresql://u:hunter22@db:5432/x, port closed",
        "amqp://u:pa@hunter22@db",
        "Authorization: Bearer hunter22hunter22",
        "authorization=Basic hunter22hunter22==",
        "got bearer hunter22.abc-DEF_1",
        "key sk-proj-hunter22hunter22 rejected",
        "host=db user=u password=hunter22 dbname=x",
        'body {"api_key": "hunter22", "model": "m"}',
        "https://h/p?x=1&access_token=hunter22&y=2",
        "redis://h/0?password=hunter22",
        "OPENAI_API_KEY=hunter22",
    ],
)
def test_text_that_looks_like_a_secret(text: str) -> None:
    masked = mask_text(text)
    assert "hunter22" not in masked
    assert MASK in masked


@pytest.mark.parametrize(
    "text",
    [
        "Task run.lead[1f] succeeded in 0.1 s",
        "redis://localhost:6379/0",
        "postgresql://muster@db/x",
        "wrote to a@b.example at 12:30",
        "total_tokens: 300",
        "see https://h/p?page=2",
        "bearer of bad news",
    ],
)
def test_ordinary_text_stays(text: str) -> None:
    assert Redactor().text(text) == text


def test_the_host_of_a_masked_url_stays_readable() -> None:
    assert mask_url("redis://u:hunter22@h:1/0") == f"redis://u:{MASK}@h:1/0"


def test_masking_twice_changes_nothing() -> None:
    once = mask_text("password=hunter22 redis://:hunter22@h Bearer hunter22hunter22")
    assert mask_text(once) == once


def test_a_configured_secret_is_masked_wherever_it_stands() -> None:
    redactor = Redactor([CANARY])
    assert redactor.value({"note": [f"<{CANARY}>", {"deep": CANARY}]}) == {
        "note": [f"<{MASK}>", {"deep": MASK}]
    }
    assert redactor.text("as in a URL: CANARY-7c1e%2F9%40x%20y") == f"as in a URL: {MASK}"


def test_a_short_secret_does_not_blot_out_everything() -> None:
    assert Redactor(["a", ""]).text("a task") == "a task"


def test_values_of_other_types() -> None:
    class Broken:
        def __str__(self) -> str:
            raise RuntimeError

    given_values = {"n": 1, "f": 1.5, "none": None, "yes": True, "pin": b"sk-hunter22hunter22"}
    assert Redactor().value(given_values) == {**given_values, "pin": MASK}
    assert Redactor().value({"password": 12345, "token": None}) == {"password": MASK, "token": None}
    assert Redactor().value({"odd": Broken()}) == {"odd": "<Broken>"}
    assert Redactor().value({"password": ["a", {"x": "b"}]}) == {"password": [MASK, {"x": "b"}]}


def test_the_given_value_is_not_changed() -> None:
    event = {"password": "hunter22", "inner": {"token": "hunter22"}}
    Redactor().value(event)
    assert event == {"password": "hunter22", "inner": {"token": "hunter22"}}


def test_a_value_that_contains_itself_ends() -> None:
    loop: list[Any] = []
    loop.append(loop)
    assert "…" in str(Redactor().value(loop))


def test_the_password_of_a_url() -> None:
    assert url_password("redis://u:p%40ss@h") == "p@ss"
    assert url_password("redis://h") is None
    assert url_password("http://[broken") is None
    assert url_password(None) is None


@pytest.mark.parametrize("secret", ['quo"ted\\slash', "umläut-geheim", "tab\there", "it's-secret"])
def test_a_configured_secret_is_known_inside_json_and_inside_quotes(secret: str) -> None:
    redactor = Redactor([secret])
    for text in (json.dumps(secret), json.dumps(secret, ensure_ascii=False), repr(secret), secret):
        assert redactor.text(f"said {text}.").replace('"', "").replace("'", "") == f"said {MASK}."


def test_a_secret_may_be_a_name() -> None:
    masked = Redactor([CANARY]).value({CANARY: 1, "sk-hunter22hunter22": 2, "fine": 3, 4: 5})
    assert masked == {MASK: 2, "fine": 3, 4: 5}


def test_so_many_levels_are_shown_as_is_asked_for() -> None:
    deep: Any = "bottom"
    for _ in range(40):
        deep = {"in": deep}
    assert "bottom" not in str(Redactor().value(deep))
    assert Redactor().value(deep, deepest=40) == deep
    assert "bottom" not in str(Redactor().value(deep, deepest=39))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.just(f"x{CANARY}y"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(JSON)
def test_a_canary_never_survives(value: Any) -> None:
    masked = Redactor([CANARY]).value(value)
    assert CANARY not in json.dumps(masked, ensure_ascii=False)
