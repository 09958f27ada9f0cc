"""What the drafts agent is asked for."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from envelope.model import AsTuple, Contract
from envelope.record import RecordId


class DraftsRequest(Contract):
    """Records of an earlier run.

    Attributes:
        run_id: The run, one of the same tenant.
        record_ids: The records, at most 100. None: the first of the run's envelope, which is the
            draft of a run of `lead`.
    """

    run_id: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[\x21-\x7e]+$")]
    record_ids: Annotated[tuple[RecordId, ...], AsTuple, Field(max_length=100)] = ()
