"""What a call will use, before anybody knows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

_BYTES_PER_TOKEN = 4
_FIRST_SHARE = 0.25
_NEWEST_WEIGHT = 0.2


@dataclass(frozen=True, slots=True)
class Estimate:
    """Tokens sent and received."""

    input_tokens: int
    output_tokens: int

    @property
    def tokens(self) -> int:
        """All of them."""
        return self.input_tokens + self.output_tokens


class Estimates:
    """Guesses the tokens of calls from their texts and from how long earlier outputs were.

    Four bytes of text count as one token. An output is expected to be as long as the moving average
    of the same kind; the first of its kind takes a quarter of what it may.
    """

    def __init__(self) -> None:
        self._outputs: dict[str, float] = {}

    def of(self, kind: str, texts: Iterable[str], most: int) -> Estimate:
        """Return the estimate of a call that sends `texts` and may receive `most` tokens."""
        size = sum(len(text.encode("utf-8", "replace")) for text in texts)
        usual = self._outputs.get(kind, most * _FIRST_SHARE)
        return Estimate(size // _BYTES_PER_TOKEN + 1, int(min(usual, most)) + 1)

    def learn(self, kind: str, output_tokens: int) -> None:
        """Note how long an output was; a provider that does not say teaches nothing."""
        if output_tokens:
            usual = self._outputs.get(kind, float(output_tokens))
            self._outputs[kind] = usual + _NEWEST_WEIGHT * (output_tokens - usual)
