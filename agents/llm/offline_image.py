"""A picture without a model: a banner of brand colours, deterministic and open about it."""

from __future__ import annotations

import hashlib
import textwrap
from collections.abc import Iterator
from typing import Final
from xml.sax.saxutils import escape

from agents.llm.image_port import DrawnImage, ImagePrompt, Shape
from agents.llm.watch import watched_by_step
from envelope.running import RUNNING
from envelope.usage import Usage

OFFLINE_BANNER_NAME: Final = "offline-banner-1"

_SIZES: Final[dict[Shape, tuple[int, int]]] = {
    "square": (1024, 1024),
    "landscape": (1536, 1024),
    "portrait": (1024, 1536),
}
_COLORS: Final = ("#1F3A5F", "#E0A458", "#4D7C8A")
_DARK, _LIGHT = "#111111", "#FFFFFF"
_DISCS = 7
_MOST_LINES = 4
_UNPRINTABLE: Final = dict.fromkeys([*range(32), *range(127, 160), 0xFFFE, 0xFFFF])


class OfflineImages:
    """An `ImageModel` that calls nothing: an SVG of brand colours, discs and the headline."""

    @property
    def name(self) -> str:
        """`offline-banner-1`; another number means another picture of the same prompt."""
        return OFFLINE_BANNER_NAME

    async def draw(self, prompt: ImagePrompt) -> DrawnImage:
        """Draw the banner; the same prompt gives the same bytes. See `ImageModel.draw`."""
        usage = Usage(requests=1)
        with watched_by_step(OFFLINE_BANNER_NAME, "", "generate_content") as answered:
            content = _banner(prompt).encode()
            answered(OFFLINE_BANNER_NAME, usage)
        running = RUNNING.get()
        if running is not None:
            running.add_usage(usage)
        return DrawnImage(
            content=content,
            media_type="image/svg+xml",
            model=OFFLINE_BANNER_NAME,
            usage=usage,
            prompt_sha256=prompt.sha256(),
        )


def _banner(prompt: ImagePrompt) -> str:
    width, height = _SIZES[prompt.shape]
    ground, *others = prompt.colors or _COLORS
    size = f'width="{width}" height="{height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {width} {height}">',
        f"<title>{_plain(prompt.headline or prompt.description)}</title>",
        f'<rect {size} fill="{ground}"/>',
        *_discs(prompt, width, height, others or [_readable_on(ground)]),
        *_headline(prompt.headline, width, height, _readable_on(ground)),
        "</svg>",
    ]
    return "\n".join(parts)


def _discs(prompt: ImagePrompt, width: int, height: int, colors: list[str]) -> Iterator[str]:
    """Places and sizes come from the prompt's hash, so that two prompts look different."""
    numbers = hashlib.sha512(prompt.sha256().encode()).digest()
    for disc in range(_DISCS):
        across, down, size = numbers[disc * 3 : disc * 3 + 3]
        yield (
            f'<circle cx="{across * width // 255}" cy="{down * height // 255}" '
            f'r="{height // 12 + size * height // 1024}" fill="{colors[disc % len(colors)]}" '
            'fill-opacity="0.35"/>'
        )


def _headline(text: str, width: int, height: int, color: str) -> Iterator[str]:
    lines = textwrap.wrap(text.translate(_UNPRINTABLE), width=width // 56, max_lines=_MOST_LINES)
    size = min(width, height) // 12
    top = height // 2 - (len(lines) - 1) * size * 6 // 10
    for number, line in enumerate(lines):
        yield (
            f'<text x="{width // 2}" y="{top + number * size * 12 // 10}" font-size="{size}" '
            'font-family="Helvetica, Arial, sans-serif" font-weight="bold" text-anchor="middle" '
            f'dominant-baseline="middle" fill="{color}">{escape(line)}</text>'
        )


def _plain(text: str) -> str:
    return escape(text.translate(_UNPRINTABLE))


def _readable_on(color: str) -> str:
    """Dark or light, whichever contrasts more with `color` (relative luminance of WCAG 2.1)."""
    red, green, blue = (_linear(int(color[at : at + 2], 16) / 255) for at in (1, 3, 5))
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    # Black and white contrast equally with a luminance of 0.179.
    return _DARK if luminance > 0.179 else _LIGHT  # noqa: PLR2004 - as said above


def _linear(channel: float) -> float:
    """Undo the sRGB transfer curve."""
    if channel <= 0.04045:  # noqa: PLR2004 - the standard's constants
        return channel / 12.92
    return float(((channel + 0.055) / 1.055) ** 2.4)
