"""The demo's input: one payload of the flow `lead` for each row of a CSV."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from control.leads import SAMPLE, read_leads

STEPS = ("research", "draft", "store")
"""The steps of the flow `lead`, in order."""


def read_work(leads: Path | None, limit: int | None) -> Sequence[dict[str, Any]]:
    """Read the companies of a CSV, or those of the sample.

    Raises:
        CorruptLeads: The file cannot be read; the message names the line.
    """
    found = read_leads(leads if leads is not None else SAMPLE)
    return [lead.model_dump(mode="json") for lead in found[:limit]]
