"""Addresses, names and lines that an e-mail may and may not carry."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.email import MailerNotConfigured
from agents.email.address import Mailbox, address, mailbox, recipient
from agents.email.html import html_of
from agents.email.line import one_line
from agents.email.smtp_url import Security, SmtpServer
from agents.email.unsubscribe import unsubscribe_headers, unsubscribe_target

BREAKS = [
    "\r\n", "\n", "\r", "\x00", "\x0b", "\x0c", "\x1b", "\x1c", "\x1d", "\x1e", "\x7f", "\x85",
    "\u2028", "\u2029", "\t", "\u202e", "\u2066",
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "normal", "matched"),
    [
        ("Ada@Example.COM", "Ada@example.com", "ada@example.com"),
        (" ada@example.com ", "ada@example.com", "ada@example.com"),
        ("a.b+c=d@x-y.example", "a.b+c=d@x-y.example", "a.b+c=d@x-y.example"),
        ("ada@BÜCHER.example", "ada@xn--bcher-kva.example", "ada@xn--bcher-kva.example"),
        ("ada@XN--BCHER-KVA.example", "ada@xn--bcher-kva.example", "ada@xn--bcher-kva.example"),
        ("Jörg@example.com", "Jörg@example.com", "jörg@example.com"),
        ("Jo\u0308rg@example.com", "Jörg@example.com", "jörg@example.com"),
        ("用户@例子.example", "用户@xn--fsqu00a.example", "用户@xn--fsqu00a.example"),
        ("ada@ⓔxample.com", "ada@example.com", "ada@example.com"),
        ("root@localhost", "root@localhost", "root@localhost"),
    ],
)
def test_an_address_has_one_spelling(text: str, normal: str, matched: str) -> None:
    assert address(text) == normal
    assert address(normal) == normal
    assert recipient(normal) == matched


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ada",
        "@example.com",
        "ada@",
        "ada@@example.com",
        "a@b@example.com",
        '"ada"@example.com',
        '"ada@x"@example.com',
        "ada(comment)@example.com",
        "ada@(comment)example.com",
        "ada@[127.0.0.1]",
        "ada@127.0.0.1",
        "ada@127.1",
        "ada@example.com.",
        "ada@.example.com",
        "ada@exa mple.com",
        "ada smith@example.com",
        ".ada@example.com",
        "ada.@example.com",
        "a..b@example.com",
        "<ada@example.com>",
        "Ada <ada@example.com>",
        "ada@example.com,eve@example.com",
        "ada@example.com;eve@example.com",
        "ada@example.com eve@example.com",
        "ada@example.com>\r\nRCPT TO:<eve@example.com",
        "ada@example.com> SIZE=1",
        "@relay.example:ada@example.com",
        "=?utf-8?q?ada?=@example.com",
        "ada@=?utf-8?q?example?=.com",
        "ad\u200ba@example.com",
        "ad\u202ea@example.com",
        "💌@example.com",
        "ada@exa\x00mple.com",
        f"{'a' * 65}@example.com",
        f"{'ü' * 33}@example.com",
        f"ada@{'a.' * 130}com",
    ],
)
def test_what_is_no_plain_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the base is what pydantic takes
        address(text)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("ada@Example.com", "ada@example.com"),
        ("Ada Lovelace <ada@Example.com>", "Ada Lovelace <ada@example.com>"),
        ('"Lovelace, Ada" <ada@example.com>', "Lovelace, Ada <ada@example.com>"),
        ("Zoë 💌 <zoe@example.com>", "Zoë 💌 <zoe@example.com>"),
        ("<ada@example.com>", "ada@example.com"),
        ('"" <ada@example.com>', "ada@example.com"),
    ],
)
def test_a_mailbox_has_one_spelling(text: str, normal: str) -> None:
    assert mailbox(text) == normal
    assert mailbox(normal) == normal


@pytest.mark.parametrize(
    "text",
    [
        "Ada ada@example.com",
        "Ada <ada@example.com",
        "Ada <ada@example.com> <eve@example.com>",
        "Ada <ada@example.com>, Eve <eve@example.com>",
        'Ada "the" L <ada@example.com>',
        "Ada \\ <ada@example.com>",
        "=?utf-8?q?Ada=0D=0ABcc:_eve@example.com?= <ada@example.com>",
        "Ada\r\nBcc: eve@example.com <ada@example.com>",
        f"{'a' * 101} <ada@example.com>",
    ],
)
def test_what_is_no_mailbox_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - as above
        Mailbox.parse(text)


@pytest.mark.parametrize("broken", BREAKS)
def test_no_break_stands_in_a_line(broken: str) -> None:
    for text in (f"a{broken}b", broken, f"{broken}a", f"a{broken}"):
        with pytest.raises(ValueError, match=r"control character U\+"):
            one_line(text)


@given(st.text())
def test_a_line_is_one_line_to_everyone(text: str) -> None:
    try:
        line = one_line(text)
    except ValueError:
        return
    assert len(f"{line}.".splitlines()) == 1
    assert not any(unicodedata.category(c) in {"Cc", "Zl", "Zp", "Cs"} for c in line)


@given(st.text(max_size=40))
def test_any_text_is_a_mailbox_in_one_spelling_or_refused(text: str) -> None:
    for made in (f"{text} <ada@example.com>", f"{text}@example.com", f"ada@{text}", text):
        try:
            normal = mailbox(made)
        except ValueError:
            continue
        assert mailbox(normal) == normal
        assert normal.count("@") >= 1
        assert normal.count("<") <= 1


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("mailto:Stop@Example.com", "mailto:Stop@example.com"),
        ("mailto:stop@example.com?subject=no%20more", "mailto:stop@example.com?subject=no%20more"),
        ("https://Example.com/u?id=1", "https://example.com/u?id=1"),
    ],
)
def test_targets_to_unsubscribe_at(text: str, normal: str) -> None:
    assert unsubscribe_target(text) == unsubscribe_target(normal) == normal


@pytest.mark.parametrize(
    "text",
    [
        "http://example.com/u",
        "https://u:p@example.com/",
        "mailto:ada",
        "mailto:ada@example.com>, <https://evil.example",
        "mailto:ada@example.com?subject=a b",
        "mailto:ada@example.com?subject=a%0d%0aBcc:eve@example.com",
        "https://example.com/%0A",
        "mailto:jörg@example.com",
        "javascript:alert(1)",
        "",
    ],
)
def test_what_is_no_target_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - as above
        unsubscribe_target(text)


def test_one_click_is_announced_with_https_only() -> None:
    assert unsubscribe_headers([]) == {}
    assert unsubscribe_headers(["mailto:a@b.example"]) == {
        "List-Unsubscribe": "<mailto:a@b.example>"
    }
    both = unsubscribe_headers(["mailto:a@b.example", "https://b.example/u"])
    assert both == {
        "List-Unsubscribe": "<mailto:a@b.example>,\r\n <https://b.example/u>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }


def test_html_made_of_text_shows_it_as_it_stands() -> None:
    made = html_of('Hi <b>Ada</b> & "co"\nnext\n\n<script>alert(1)</script>\n')
    assert "<p>Hi &lt;b&gt;Ada&lt;/b&gt; &amp; &quot;co&quot;<br>\nnext</p>" in made
    assert "<script>" not in made


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://mail.example", SmtpServer(Security.NONE, "mail.example", 25)),
        (
            "smtp+starttls://u:p@Mail.Example",
            SmtpServer(Security.STARTTLS, "mail.example", 587, "u", "p"),
        ),
        (
            "smtps://u%40x:p%3A%2F@127.0.0.1:4650/",
            SmtpServer(Security.TLS, "127.0.0.1", 4650, "u@x", "p:/"),
        ),
    ],
)
def test_urls_of_mail_servers(url: str, server: SmtpServer) -> None:
    assert SmtpServer.parse(url) == server


@pytest.mark.parametrize(
    "url",
    [
        "",
        "mail.example",
        "http://u:hunter22@mail.example",
        "smtp://",
        "smtp://u:hunter22@mail.example:99999",
        "smtp://u:hunter22@mail.example:port",
        "smtp://u:hunter22@mail.example/path",
        "smtp://u:hunter22@mail.example?x=1",
        "smtp://u:hunter22@[::1",
    ],
)
def test_a_malformed_url_says_what_to_set_and_nothing_else(url: str) -> None:
    with pytest.raises(MailerNotConfigured, match="MUSTER_SMTP_URL") as refused:
        SmtpServer.parse(url)
    assert "hunter22" not in str(refused.value)


def test_the_password_is_not_shown() -> None:
    assert "hunter22" not in repr(SmtpServer.parse("smtp://u:hunter22@mail.example"))
