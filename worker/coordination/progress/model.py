"""What is told about progress."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, ValidationError

from envelope.canonical import canonical_json
from envelope.errors import InvalidInput, TooLarge
from envelope.model import Contract

_LARGEST_DATA = 64 * 1024


class Progress(Contract):
    """How far a step is.

    Attributes:
        step: What is being done.
        progress: How much of it is done, from 0 to 1.
        data: Whatever readers should know; JSON.
    """

    step: Annotated[str, Field(min_length=1, max_length=200)]
    progress: Annotated[float, Field(ge=0, le=1)]
    data: dict[str, Any] = Field(default_factory=dict)

    @classmethod
    def of(cls, event: Progress | Mapping[str, Any]) -> Progress:
        """Return the event that a mapping describes.

        Raises:
            InvalidInput: It does not; says where.
        """
        if isinstance(event, Progress):
            return event
        if not isinstance(event, Mapping):
            raise InvalidInput(f"Progress is a mapping, not {type(event).__name__}.")
        try:
            return cls.model_validate(dict(event))
        except ValidationError as error:
            raise InvalidInput(f"This is not progress: {_complaints(error)}.") from None

    def data_json(self) -> str:
        """Return the data as JSON.

        Raises:
            InvalidInput: It is not JSON.
            TooLarge: It exceeds 64 KiB.
        """
        text = canonical_json(self.data)
        if len(text.encode()) > _LARGEST_DATA:
            raise TooLarge(
                f"The data of a progress event exceeds {_LARGEST_DATA} bytes as JSON. Store the "
                "bulk elsewhere and pass a reference."
            )
        return text


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressEvent:
    """A step's progress as readers get it.

    Attributes:
        number: From 1, in order, without gap; hand it to `after` to go on from here.
        step: What is being done.
        progress: How much of it is done, from 0 to 1.
        data: Whatever the emitter added.
        at: When it was emitted, in seconds since 1970 by Redis's clock.
    """

    number: int
    step: str
    progress: float
    data: Mapping[str, Any]
    at: float


def _complaints(error: ValidationError) -> str:
    return "; ".join(
        f"{'.'.join(map(str, part['loc']))}: {part['msg']}"
        for part in error.errors(include_url=False, include_input=False)
    )
