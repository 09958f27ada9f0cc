"""The `image` agent."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from typing import Any

from pydantic import JsonValue

from agents.image.request import ImageRequest
from agents.image.store import EXTENSIONS, ImageStore
from agents.image.svg import UnsafeImage, check_svg
from agents.llm.image_port import DrawnImage, ImageModel, ImagePrompt
from agents.registry import agent
from envelope.envelope import Envelope
from envelope.errors import TooLarge
from envelope.ports.context import AgentContext
from envelope.record import Record


@agent("image", concurrency=4)
async def image(ctx: AgentContext, request: ImageRequest) -> Envelope:
    """Draw a picture and return it as one record: its type, hash, size, and bytes or name.

    `content` is base64 where the bytes stand in the record, `file` the name in the image store
    where they stand there; the other one is None.
    """
    model = ctx.resource(ImageModel)  # type: ignore[type-abstract] # a port is asked for by its Protocol
    drawn = await model.draw(_prompt(request))
    _check(drawn)
    data = {**_described(request, drawn), **await _kept(ctx, request, drawn)}
    record = Record.of(
        data,
        source="image",
        row_id=str(data["sha256"])[:16],
        model=drawn.model,
        prompt_sha256=drawn.prompt_sha256,
        derived_from=tuple(dict.fromkeys(parent.id for parent in request.derived_from)),
    )
    return Envelope.from_records([record], source="image")


def _prompt(request: ImageRequest) -> ImagePrompt:
    return ImagePrompt(
        description=request.description,
        headline=request.headline,
        colors=request.colors,
        shape=request.shape,
    )


def _check(drawn: DrawnImage) -> None:
    if drawn.media_type not in EXTENSIONS:
        raise UnsafeImage(f"{drawn.media_type[:80]!r} is no kind of picture that is kept.")
    if drawn.media_type == "image/svg+xml":
        check_svg(drawn.content)


def _described(request: ImageRequest, drawn: DrawnImage) -> dict[str, JsonValue]:
    return {
        "campaign": request.campaign,
        "description": request.description,
        "headline": request.headline,
        "colors": [*request.colors],
        "shape": request.shape,
        "media_type": drawn.media_type,
        "sha256": hashlib.sha256(drawn.content).hexdigest(),
        "bytes": len(drawn.content),
    }


async def _kept(ctx: AgentContext, request: ImageRequest, drawn: DrawnImage) -> dict[str, Any]:
    size, cap = len(drawn.content), request.max_inline_bytes
    if request.keep != "store" and size <= cap:
        return {"content": base64.b64encode(drawn.content).decode(), "file": None}
    if request.keep == "inline":
        raise TooLarge(
            f"The picture has {size:,} bytes; a record may carry {cap:,}. Use keep='store', or "
            "raise max_inline_bytes."
        )
    store = ctx.resource(ImageStore)  # type: ignore[type-abstract] # a port is asked for by its Protocol
    name = await asyncio.to_thread(store.put, drawn.content, drawn.media_type)
    return {"content": None, "file": name}
