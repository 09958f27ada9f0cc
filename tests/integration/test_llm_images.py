"""Pictures: the Images API on a real socket, and the banner that needs no model."""

from __future__ import annotations

import asyncio
import base64
import time
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from agents.llm.account import AccountLimits
from agents.llm.clients import new_client
from agents.llm.errors import ModelBusy, ModelNotFound, ModelRejected, ModelTimeout
from agents.llm.factory import image_model
from agents.llm.image_port import DrawnImage, ImageModel, ImagePrompt
from agents.llm.offline_image import OfflineImages
from agents.llm.openai_images import OpenAIImages
from envelope.ports.rates import Rate
from envelope.running import RUNNING, Running, utc_now
from envelope.usage import Usage
from tests.integration.openai_provider import Provider, Reply, error_body, serving
from worker.coordination.rates.in_process import InProcessRates

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
)
PROMPT = ImagePrompt(
    description="A lighthouse at dawn", headline="Nothing is lost", colors=["#1F3A5F", "#e0a458"]
)
SVG = "{http://www.w3.org/2000/svg}"


def body(content: bytes | None, **image: Any) -> dict[str, Any]:
    data = {} if content is None else {"b64_json": base64.b64encode(content).decode()}
    usage = {"input_tokens": 20, "output_tokens": 1_500, "total_tokens": 1_520}
    return {"created": 1, "data": [{**data, **image}], "usage": usage}


def draw(
    provider: Provider, prompt: ImagePrompt = PROMPT, model: str = "gpt-image-1", **changes: Any
) -> DrawnImage:
    images = OpenAIImages(model, base_url=provider.url, **({"timeout_seconds": 10.0} | changes))

    async def drawing() -> DrawnImage:
        try:
            return await images.draw(prompt)
        finally:
            await images.aclose()

    return asyncio.run(drawing())


def test_a_picture_comes_with_what_made_it() -> None:
    with serving(Reply(body=body(PNG))) as provider:
        drawn = draw(provider)
    assert (drawn.content, drawn.media_type, drawn.model) == (PNG, "image/png", "gpt-image-1")
    assert drawn.prompt_sha256 == PROMPT.sha256()
    assert (drawn.usage.requests, drawn.usage.output_tokens) == (1, 1_500)
    asked = provider.asked[0]
    assert asked.path == "/v1/images/generations"
    assert (asked.body["model"], asked.body["size"], asked.body["n"]) == (
        "gpt-image-1",
        "1536x1024",
        1,
    )
    assert asked.body["prompt"] == PROMPT.in_words()


@pytest.mark.parametrize(("shape", "size"), [("square", "1024x1024"), ("portrait", "1024x1536")])
def test_shapes_are_sizes(shape: Any, size: str) -> None:
    with serving(Reply(body=body(PNG))) as provider:
        draw(provider, PROMPT.model_copy(update={"shape": shape}))
    assert provider.asked[0].body["size"] == size


@pytest.mark.parametrize(
    ("content", "kind"),
    [(b"\xff\xd8\xff\xe0", "image/jpeg"), (b"RIFF\x10\0\0\0WEBPVP8 ", "image/webp")],
)
def test_the_kind_is_read_off_the_bytes(content: bytes, kind: str) -> None:
    with serving(Reply(body=body(content))) as provider:
        assert draw(provider).media_type == kind


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (body(None, url="http://169.254.169.254/"), "not fetched"),
        (body(None, b64_json="%%%"), "not base64"),
        (body(b"<svg onload='alert(1)'/>"), "neither PNG nor JPEG nor WebP"),
        (body(b""), "neither PNG nor JPEG nor WebP"),
    ],
)
def test_what_is_no_picture_is_refused(reply: Any, told: str) -> None:
    with serving(Reply(body=reply)) as provider, pytest.raises(ModelRejected, match=told):
        draw(provider)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply(body={"created": 1, "data": []}), ModelBusy),
        (Reply(429, error_body("Slow down"), {"retry-after": "7"}), ModelBusy),
        (Reply(503, "<html>"), ModelBusy),
        (Reply(400, error_body("Rejected by the safety system")), ModelRejected),
        (Reply(404, error_body("None", "model_not_found")), ModelNotFound),
        (Reply(body=body(PNG), reset=True), ModelBusy),
        (Reply(endless=True), ModelRejected),
    ],
)
def test_errors_are_those_of_texts(reply: Reply, kind: type[Exception]) -> None:
    with serving(reply) as provider, pytest.raises(kind):
        draw(provider, max_answer_bytes=1_000_000)
    assert len(provider.asked) == 1


def test_dripping_meets_an_absolute_limit() -> None:
    started = time.monotonic()
    with serving(Reply(drip_seconds=0.05)) as provider:
        with pytest.raises(ModelTimeout):
            draw(provider, timeout_seconds=0.5)
        assert time.monotonic() - started < 8


def test_a_refusal_pauses_the_account() -> None:
    async def drawing() -> float:
        rates = InProcessRates()
        limits = AccountLimits(rates=rates, requests=Rate(amount=9, seconds=1, burst=9))
        images = OpenAIImages("m", base_url=provider.url, limits=limits)
        with pytest.raises(ModelBusy):
            await images.draw(PROMPT)
        await images.aclose()
        (report,) = await rates.report()
        await rates.close()
        return report.paused_seconds

    with serving(Reply(429, error_body("Slow down"), {"retry-after": "40"})) as provider:
        assert asyncio.run(drawing()) == pytest.approx(40, abs=2)


def test_a_known_model_has_a_price_with_its_version() -> None:
    """1,500 tokens of picture at 40 USD and 20 of text at 5 USD a million."""
    with serving(Reply(body=body(PNG))) as provider:
        images = OpenAIImages("gpt-image-1", api_key="sk-x")
        images._server._clients._make = lambda: _client(provider)

        async def drawing() -> Usage:
            drawn = await images.draw(PROMPT)
            await images.aclose()
            return drawn.usage

        usage = asyncio.run(drawing())
    assert usage.cost_usd == pytest.approx(1_500 * 40e-6 + 20 * 5e-6)
    assert usage.price_version is not None


def _client(provider: Provider) -> Any:

    return new_client(
        api_key="sk-x", base_url=provider.url, timeout_seconds=5, max_answer_bytes=10**6
    )


def drawn_offline(prompt: ImagePrompt) -> DrawnImage:
    images: ImageModel = OfflineImages()
    return asyncio.run(images.draw(prompt))


def test_the_banner_has_the_colours_and_the_words() -> None:
    drawn = drawn_offline(PROMPT)
    assert (drawn.media_type, drawn.model) == ("image/svg+xml", "offline-banner-1")
    root = ET.fromstring(drawn.content)  # noqa: S314 - our own
    assert (root.get("width"), root.get("height")) == ("1536", "1024")
    assert root.findall(f"{SVG}rect")[0].get("fill") == "#1F3A5F"
    assert {disc.get("fill") for disc in root.findall(f"{SVG}circle")} == {"#e0a458"}
    assert [text.text for text in root.findall(f"{SVG}text")] == ["Nothing is lost"]


def test_the_same_prompt_gives_the_same_banner_and_another_one_another() -> None:
    other = PROMPT.model_copy(update={"description": "A harbour"})
    assert drawn_offline(PROMPT).content == drawn_offline(PROMPT).content
    assert drawn_offline(other).content != drawn_offline(PROMPT).content


@pytest.mark.parametrize(
    ("ground", "ink"), [("#000000", "#FFFFFF"), ("#FFFF00", "#111111"), ("#0000FF", "#FFFFFF")]
)
def test_words_can_be_read_on_their_ground(ground: str, ink: str) -> None:
    prompt = PROMPT.model_copy(update={"colors": (ground,)})
    root = ET.fromstring(drawn_offline(prompt).content)  # noqa: S314 - our own
    assert root.findall(f"{SVG}text")[0].get("fill") == ink


WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=200)


@given(WORDS.filter(bool), WORDS)
def test_any_words_give_well_formed_xml_without_scripts(description: str, headline: str) -> None:
    hostile = f"</text><script>alert(1)</script>{headline}"[:200]
    for shape in ("square", "landscape", "portrait"):
        prompt = ImagePrompt(description=description, headline=hostile, shape=shape)
        root = ET.fromstring(drawn_offline(prompt).content)  # noqa: S314 - our own
        kinds = {element.tag.removeprefix(SVG) for element in root.iter()}
        assert kinds <= {"svg", "title", "rect", "circle", "text"}


def test_it_counts_itself_in_the_running_step() -> None:
    running = Running("r", "s", "a", 1, None, utc_now(), Usage())
    token = RUNNING.set(running)
    try:
        drawn_offline(PROMPT)
    finally:
        RUNNING.reset(token)
    assert running.usage == Usage(requests=1)


@pytest.mark.parametrize("color", ["red", "#12345", "#12345g", '#123456"/><script>'])
def test_a_colour_is_six_digits(color: str) -> None:
    with pytest.raises(ValidationError):
        ImagePrompt(description="x", colors=(color,))


def test_the_factory_chooses_the_image_model() -> None:
    assert isinstance(image_model(None, None, "m", 1.0), OfflineImages)
    for key, url in (("sk-x", None), (None, "http://127.0.0.1:1/v1")):
        made = image_model(key, url, "m", 1.0)
        assert isinstance(made, OpenAIImages)
        assert made.name == "m"
