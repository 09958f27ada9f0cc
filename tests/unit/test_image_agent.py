"""The image agent: brand colours in, a checked picture with its lineage out."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.image import FileImages, ImageRequest, ImageStore, UnknownImage, UnsafeImage
from agents.image.svg import check_svg
from agents.llm.image_port import DrawnImage, ImageModel, ImagePrompt
from agents.llm.offline_image import OfflineImages
from agents.registry import AGENTS
from agents.sql.errors import StoreUnavailable
from envelope import Record
from envelope.errors import InvalidInput, NotRegistered, TooLarge
from envelope.resources import Resources
from envelope.usage import Usage
from tests.rig.agent_step import AgentStep

PARENT = Record.of({"headline": "h"}, source="copywriter")
REQUEST = ImageRequest(
    description="A bridge of steel at dawn",
    headline="Runs that survive",
    colors=("#1af", "#E0A458"),
    campaign="spring",
    derived_from=(PARENT, PARENT),
)
PNG = b"\x89PNG\r\n\x1a\n" + b"x" * 300


class Draws:
    """An image model that returns the bytes it is told to."""

    name = "drawn-1"

    def __init__(self, content: bytes, media_type: str = "image/png") -> None:
        self.content, self.media_type = content, media_type
        self.prompts: list[ImagePrompt] = []

    async def draw(self, prompt: ImagePrompt) -> DrawnImage:
        self.prompts.append(prompt)
        return DrawnImage(
            content=self.content,
            media_type=self.media_type,
            model=self.name,
            usage=Usage(requests=1),
            prompt_sha256=prompt.sha256(),
        )


def step_with(model: ImageModel, folder: Path | None = None) -> AgentStep:
    resources = Resources()
    resources.provide(ImageModel, lambda: model)  # type: ignore[type-abstract] # a port
    if folder:
        resources.provide(ImageStore, lambda: FileImages(folder))  # type: ignore[type-abstract] # as above
    return AgentStep(resources)


def drawn(model: ImageModel, folder: Path | None = None, **values: Any) -> Record:
    request = REQUEST.model_copy(update=values)
    return step_with(model, folder).run("image", request).records[0]


def test_the_offline_banner_carries_colours_text_and_lineage() -> None:
    record = drawn(OfflineImages())
    content = base64.b64decode(str(record.data["content"]))
    assert record.data["sha256"] == hashlib.sha256(content).hexdigest()
    assert record.data["bytes"] == len(content)
    assert (record.data["media_type"], record.data["file"]) == ("image/svg+xml", None)
    assert record.data["colors"] == ["#11aaff", "#e0a458"]
    assert b"#11aaff" in content
    assert b"Runs that survive" in content
    assert record.provenance.derived_from == (PARENT.id,)
    assert str(record.provenance.model).startswith("offline")
    assert record.provenance.prompt_sha256 is not None
    assert drawn(OfflineImages()).id == record.id


HOSTILE = '</text><script>alert(1)</script><image href="http://evil.test/x.png"/>&lol;" onload="x'


def test_hostile_text_is_only_text() -> None:
    record = drawn(OfflineImages(), headline=HOSTILE, description=HOSTILE)
    content = base64.b64decode(str(record.data["content"]))
    root = ET.fromstring(content)  # noqa: S314 - our own bytes, and checked
    names = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert names <= {"svg", "title", "rect", "circle", "text"}
    assert not {"script", "image"} & names


_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=99)


@given(_TEXT, _TEXT)
def test_every_offline_banner_is_a_safe_svg(headline: str, description: str) -> None:
    """Straight to the model: the request would refuse some of these texts."""
    prompt = ImagePrompt(headline=headline, description=f"d{description}", colors=("#000000",))
    check_svg(asyncio.run(OfflineImages().draw(prompt)).content)


SVG = '<svg xmlns="http://www.w3.org/2000/svg">{}</svg>'


@pytest.mark.parametrize(
    "content",
    [
        SVG.format("<script>alert(1)</script>"),
        SVG.format('<rect onload="x()"/>'),
        SVG.format('<image href="x.png"/>'),
        SVG.format('<a href="#x"><text>x</text></a>'),
        SVG.format('<rect fill="url(https://evil.test/x)"/>'),
        SVG.format('<rect fill="URL( evil.svg#a )"/>'),
        SVG.format('<rect fill="javascript:x"/>'),
        SVG.format('<rect style="fill:red"/>'),
        SVG.format("<style>*{}</style>"),
        SVG.format("<foreignObject/>"),
        SVG.format('<use href="#a"/>'),
        SVG.format('<animate attributeName="href"/>'),
        SVG.format('<rect xmlns:xlink="http://www.w3.org/1999/xlink" xlink:href="x"/>'),
        '<!DOCTYPE svg [<!ENTITY a "b">]>' + SVG.format("<title>&a;</title>"),
        '<?xml-stylesheet href="x.css"?>' + SVG.format(""),
        SVG.format("<g>" * 99 + "</g>" * 99),
        "<html xmlns='http://www.w3.org/1999/xhtml'/>",
        "<svg/>",
        "<svg",
        "",
        SVG.format("<title>x</title>" * 70_000),
    ],
)
def test_an_svg_that_could_do_more_than_draw_is_refused(content: str) -> None:
    with pytest.raises(UnsafeImage):
        drawn(Draws(content.encode(), "image/svg+xml"))


@pytest.mark.parametrize(
    "content",
    [
        '<?xml version="1.0" encoding="UTF-8"?>' + SVG.format("<!-- a: //b --><title>a: b</title>"),
        SVG.format('<defs><linearGradient id="a"/></defs><rect fill="url(#a)"/>'),
    ],
)
def test_an_svg_that_draws_is_kept(content: str) -> None:
    assert drawn(Draws(content.encode(), "image/svg+xml")).data["bytes"] == len(content)


def test_another_kind_of_picture_is_refused() -> None:
    with pytest.raises(UnsafeImage, match="no kind of picture"):
        drawn(Draws(b"GIF89a", "image/gif"))


def test_a_large_picture_goes_to_the_store(tmp_path: Path) -> None:
    model = Draws(PNG)
    record = drawn(model, tmp_path / "images", max_inline_bytes=100)
    name = str(record.data["file"])
    assert record.data["content"] is None
    assert name == f"{record.data['sha256']}.png"
    assert FileImages(tmp_path / "images").get(name) == PNG
    assert drawn(model, tmp_path / "images", keep="store").data["file"] == name
    assert [path.name for path in (tmp_path / "images").iterdir()] == [name]


def test_without_a_store_or_by_wish_it_is_too_large() -> None:
    with pytest.raises(TooLarge, match="308 bytes; a record may carry 100"):
        drawn(Draws(PNG), keep="inline", max_inline_bytes=100)
    with pytest.raises(NotRegistered, match="ImageStore"):
        drawn(Draws(PNG), max_inline_bytes=100)


def test_the_prompt_has_one_spelling_of_a_colour() -> None:
    model = Draws(PNG)
    for colors in (("#1AF",), ("#11aaff",)):
        step_with(model).run("image", {"description": "d", "colors": list(colors)})
    assert model.prompts[0] == model.prompts[1]
    assert model.prompts[0].colors == ("#11aaff",)


@pytest.mark.parametrize(
    "values",
    [
        {"colors": []},
        {"colors": ["red"]},
        {"colors": ["#12345"]},
        {"colors": ["#12345g"]},
        {"colors": ['#fff" onload="x']},
        {"colors": ["#fff", "#FFFFFF"]},
        {"colors": ["#fff\n"]},
        {"description": ""},
        {"headline": "a\nb"},
        {"shape": "round"},
        {"max_inline_bytes": 10_000_000},
    ],
)
def test_a_request_of_the_wrong_shape_is_refused(values: dict[str, Any]) -> None:
    request = REQUEST.model_dump(mode="json") | values
    with pytest.raises(InvalidInput, match="ImageRequest"):
        step_with(OfflineImages()).run("image", request)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "x.png", "", f"{'0' * 64}.exe"])
def test_the_store_gives_only_pictures(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnknownImage):
        FileImages(tmp_path).get(name)


def test_a_picture_that_was_changed_or_is_gone_is_noticed(tmp_path: Path) -> None:
    store = FileImages(tmp_path)
    name = store.put(PNG, "image/png")
    (tmp_path / name).write_bytes(PNG + b"!")
    with pytest.raises(UnknownImage, match="was changed"):
        store.get(name)
    (tmp_path / name).unlink()
    with pytest.raises(UnknownImage, match="has no"):
        store.get(name)


def test_a_folder_that_cannot_be_written_is_worth_another_attempt(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreUnavailable):
        FileImages(tmp_path / "file").put(PNG, "image/png")


def test_it_has_its_own_queue() -> None:
    definition = AGENTS.get("image")
    assert (definition.inline, definition.concurrency) == (False, 4)
