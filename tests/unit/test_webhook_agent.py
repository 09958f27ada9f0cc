"""The webhook agents: what they take, prepare and send."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agents.registry import AGENTS
from agents.webhook import WebhookRequest, Webhooks, WebhooksNotConfigured
from agents.webhook.http_webhooks import HttpWebhooks
from agents.webhook.signing import signing_key, webhook_id
from envelope.canonical import sha256_hex
from envelope.effect import Receipt
from envelope.envelope import Status
from envelope.errors import InvalidInput, Refused
from envelope.resources import Resources
from envelope.signature import from_canonical, to_canonical
from tests.services.delivering_step import DeliveringStep
from tests.services.recording_effects import RecordingEffects

URL = "https://Hooks.Example/in"
REQUEST = {"url": URL, "event": "lead.qualified", "payload": {"lead": "ACME"}, "key": "k-1"}
SECRET = "whsec_" + "A" * 43 + "="


class _Posted:
    """A `Webhooks` that keeps what it is given."""

    def __init__(self) -> None:
        self.posted: list[tuple[WebhookRequest, str]] = []

    def check(self, request: WebhookRequest) -> None:
        HttpWebhooks(None).check(request)

    def ready(self) -> None:
        return

    async def post(self, request: WebhookRequest, message_id: str) -> Receipt:
        self.posted.append((request, message_id))
        return {"status": 202}


def _resources(webhooks: Webhooks) -> Resources:
    resources = Resources()
    resources.provide(Webhooks, lambda: webhooks)  # type: ignore[type-abstract] # a port
    return resources


def test_what_is_prepared_is_what_is_sent() -> None:
    effects, webhooks = RecordingEffects(), _Posted()
    step = DeliveringStep(_resources(webhooks), effects)
    prepared = asyncio.run(step.run("webhook_prepare", REQUEST)).records[0].data
    assert effects.effects == []
    content = str(prepared["content"])
    sent = asyncio.run(step.run(str(prepared["agent"]), json.loads(content))).records[0]
    effect = effects.effects[0]
    assert prepared == {
        "agent": "webhook",
        "channel": "webhook",
        "recipients": ["hooks.example"],
        "content": effect.content,
        "sha256": effect.sha256,
        "title": "Webhook lead.qualified to hooks.example",
    }
    assert sha256_hex(content) == effect.sha256
    assert (effect.key, effect.deduplicates, list(effect.recipients)) == (
        "k-1",
        True,
        ["hooks.example"],
    )
    assert sent.data["receipt"] == {"status": 202}
    assert sent.provenance.row_id == "k-1"
    assert [key for _, key in webhooks.posted] == [webhook_id("t1", "k-1")]


def test_without_a_key_the_steps_own_is_used() -> None:
    webhooks = _Posted()
    step = DeliveringStep(_resources(webhooks), RecordingEffects())
    asyncio.run(step.run("webhook", {**REQUEST, "key": None}))
    assert [key for _, key in webhooks.posted] == [webhook_id("t1", "run-1:step-1")]


def test_what_the_gate_keeps_back_is_not_sent() -> None:
    webhooks = _Posted()
    step = DeliveringStep(_resources(webhooks), RecordingEffects(gated=True))
    assert asyncio.run(step.run("webhook", REQUEST)).status is Status.GATED
    assert webhooks.posted == []


def test_a_missing_secret_is_told_before_the_gate_is_asked() -> None:
    effects = RecordingEffects()
    step = DeliveringStep(_resources(HttpWebhooks(None)), effects)
    with pytest.raises(WebhooksNotConfigured, match="MUSTER_WEBHOOK_SECRET"):
        asyncio.run(step.run("webhook", REQUEST))
    assert effects.effects == []


@pytest.mark.parametrize("agent", ["webhook", "webhook_prepare"])
@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://hooks.example/", "Use https"),
        ("https://127.0.0.1/", "private"),
        ("https://[::ffff:127.0.0.1]/", "wraps"),
        ("https://169.254.169.254/", "credentials"),
    ],
)
def test_targets_that_are_not_allowed_are_refused_at_once(
    agent: str, url: str, reason: str
) -> None:
    effects = RecordingEffects()
    step = DeliveringStep(_resources(HttpWebhooks(SECRET)), effects)
    with pytest.raises(Refused, match=reason):
        asyncio.run(step.run(agent, {**REQUEST, "url": url}))
    assert effects.effects == []


_DEEP: Any = "x"
for _ in range(5_000):
    _DEEP = [_DEEP]


@pytest.mark.parametrize(
    "change",
    [
        {"url": "https://127.1/"},
        {"url": "https://u:p@hooks.example/"},
        {"url": None},
        {"event": ""},
        {"event": "lead qualified"},
        {"event": "lead\r\nx"},
        {"event": "a" * 200},
        {"key": ""},
        {"key": "a b"},
        {"key": "a\r\nx: y"},
        {"key": "ü"},
        {"key": "k" * 201},
        {"payload": float("nan")},
        {"payload": "\ud800"},
        {"payload": "\x00"},
        {"payload": _DEEP},
        {"payload": "x" * 300_000},
        {"headers": {"Authorization": "Bearer x"}},
        {"headers": {"X-Api-Key": "x"}},
        {"headers": {"Cookie": "a=b"}},
        {"headers": {"X-Auth-Token": "x"}},
        {"headers": {"Host": "evil.example"}},
        {"headers": {"host": "evil.example"}},
        {"headers": {"Content-Length": "0"}},
        {"headers": {"Transfer-Encoding": "chunked"}},
        {"headers": {"webhook-id": "another"}},
        {"headers": {"Webhook-Signature": "v1,x"}},
        {"headers": {"Idempotency-Key": "another"}},
        {"headers": {"X-Forwarded-For": "127.0.0.1"}},
        {"headers": {"X-A": "1\r\nX-B: 2"}},
        {"headers": {"X-A": "1\n2"}},
        {"headers": {"X-A": "ü"}},
        {"headers": {"X-A": ""}},
        {"headers": {"X-A": " 1"}},
        {"headers": {"X-A": "\u2028"}},
        {"headers": {"X A": "1"}},
        {"headers": {"X-A:": "1"}},
        {"headers": {"X-A\r\n": "1"}},
        {"headers": {"": "1"}},
        {"headers": {"X-A": "1", "x-a": "2"}},
        {"headers": {f"X-{n}": "1" for n in range(30)}},
        {"method": "DELETE"},
        {"timeout": 5},
    ],
)
def test_attacks_get_a_typed_error(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        to_canonical({**REQUEST, **change}, WebhookRequest)


@given(st.text(max_size=30), st.text(max_size=30))
def test_a_header_is_visible_ascii_or_refused(name: str, value: str) -> None:
    try:
        text = to_canonical({**REQUEST, "headers": {name: value}}, WebhookRequest)
    except InvalidInput:
        return
    ((name, value),) = json.loads(text)["headers"].items()
    assert name == name.lower()
    assert (name + value).isascii()
    assert (name + value).isprintable()


_JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@given(_JSON)
def test_reading_a_request_back_changes_nothing(payload: Any) -> None:
    """Or the hash that was approved would not be that of what is sent."""
    try:
        text = to_canonical({**REQUEST, "payload": payload}, WebhookRequest)
    except InvalidInput:
        return
    asked = from_canonical(text, WebhookRequest)
    assert isinstance(asked, WebhookRequest)
    assert asked.effect.content == text
    assert json.loads(asked.body)["data"] == asked.payload


KEYS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=400)
TENANTS = st.sampled_from(["default", "acme", "sha256-"])


@given(st.tuples(TENANTS, KEYS), st.tuples(TENANTS, KEYS))
@example(("default", "k"), ("acme", "k"))
@example(("default", webhook_id("acme", "k")), ("acme", "k"))
@example(("default", "k" * 201), ("acme", "k" * 201))
def test_keys_stay_apart_in_the_header(one: tuple[str, str], other: tuple[str, str]) -> None:
    ids = webhook_id(*one), webhook_id(*other)
    assert all(name.isascii() and name.isprintable() and " " not in name for name in ids)
    assert (ids[0] == ids[1]) == (one == other)


@pytest.mark.parametrize(
    "secret",
    [None, "", "whsec_", "whsec_AAAA", "A" * 44, "whsec_!!!", "whsec_" + "A" * 120, "whsec_ü"],
)
def test_a_secret_is_well_formed_or_not_used(secret: str | None) -> None:
    with pytest.raises(WebhooksNotConfigured) as refused:
        signing_key(secret)
    assert not secret or len(secret) < 8 or secret not in str(refused.value)


def test_prepare_runs_inline_and_send_on_its_queue() -> None:
    assert AGENTS.get("webhook_prepare").inline
    assert not AGENTS.get("webhook").inline
